package uapi

// Perms is a set of permissions that SELinux asks its policy for when a process calls bpf(2),
// security/selinux/include/classmap.h.
type Perms uint16

// The permissions.
const (
	PermMapCreate Perms = 1 << iota
	PermMapRead
	PermMapWrite
	PermProgLoad
	PermProgRun
	PermMapCreateAs
	PermProgLoadAs
	PermNetAdmin
	PermSysAdmin
	PermPerfmon
	PermBPF
)

// PermNames are the permissions by their bit, with the classes that the kernel has them in.
var PermNames = []struct{ Class, Name string }{
	{"bpf", "map_create"}, {"bpf", "map_read"}, {"bpf", "map_write"}, {"bpf", "prog_load"}, {"bpf", "prog_run"},
	{"bpf", "map_create_as"}, {"bpf", "prog_load_as"},
	{"cap_userns", "net_admin"}, {"cap_userns", "sys_admin"}, {"cap2_userns", "perfmon"}, {"cap2_userns", "bpf"},
}

// PermOf is the permission that stands for a capability in a user namespace, 0 if none of PermNames does.
func PermOf(c Cap) Perms {
	switch c {
	case CAP_NET_ADMIN:
		return PermNetAdmin
	case CAP_SYS_ADMIN:
		return PermSysAdmin
	case CAP_PERFMON:
		return PermPerfmon
	case CAP_BPF:
		return PermBPF
	}
	return 0
}
