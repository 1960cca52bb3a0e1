package lab

import (
	"slices"
	"strings"
)

// lsmArgs returns the kernel arguments that make the BPF LSM active where it is
// compiled in and not among CONFIG_LSM, which lists those that are by default.
// Without it BPF-LSM programs load and attach, and are never called.
func lsmArgs(config map[string]string) []string {
	list := strings.Split(strings.Trim(config["LSM"], `"`), ",")
	if config["BPF_LSM"] != "y" || slices.Contains(list, "bpf") {
		return nil
	}
	return []string{"lsm=" + strings.Join(append(slices.DeleteFunc(list, func(s string) bool { return s == "" }), "bpf"), ",")}
}
