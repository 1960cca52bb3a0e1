package guest

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

const cpuFile = "/proc/cpuinfo"

// readISA returns the value of the first line "isa" or "Features" in the kernel's description of the CPUs, "" if there
// is none.
func readISA(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	names := []string{"isa", "Features"}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && slices.Contains(names, strings.TrimSpace(key)) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// refusedArena asks for an arena as root of the initial namespace. It returns the errno of a kernel that has none:
// EOPNOTSUPP of bpf_jit_supports_arena, or ENOMEM of range_tree_set, whose kmalloc_nolock needs an exchange of 16
// bytes. An older kernel does not know the type, and says EINVAL.
func refusedArena() string {
	var c caller
	fd, errno := c.mapCreate(uapi.BPF_MAP_TYPE_ARENA, tokenArg{}, &step.Step{}, fdArgs{})
	if errno == 0 {
		unix.Close(fd)
	}
	if slices.Contains([]unix.Errno{unix.EOPNOTSUPP, unix.ENOMEM}, unix.Errno(errno)) {
		return errno.String()
	}
	return ""
}
