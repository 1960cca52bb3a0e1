package lab

import (
	"slices"
	"strings"
)

// lsmArgs returns the kernel arguments that enable the BPF LSM if it is compiled in and
// missing in CONFIG_LSM, which lists the LSMs that are enabled by default. Without them
// BPF LSM programs load and attach, but the kernel never calls them.
func lsmArgs(config map[string]string) []string {
	list := strings.Split(strings.Trim(config["LSM"], `"`), ",")
	if config["BPF_LSM"] != "y" || slices.Contains(list, "bpf") {
		return nil
	}
	list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	return []string{"lsm=" + strings.Join(append(list, "bpf"), ",")}
}
