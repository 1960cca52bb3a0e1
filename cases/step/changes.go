package step

import "tokentest/cases/uapi"

// ChangeKind says what a Change is about.
type ChangeKind string

// The kinds of changes.
const (
	ChangeMount     ChangeKind = "mount"
	ChangeModule    ChangeKind = "module"
	ChangeDirectory ChangeKind = "directory"
	ChangeLimit     ChangeKind = "limit"
	ChangeSetting   ChangeKind = "setting"
	// ChangeStatistics is BPF_ENABLE_STATS.
	ChangeStatistics ChangeKind = "statistics"
)

// Change is something that the guest changed in the kernel before the first
// case, or could not change.
type Change struct {
	Kind ChangeKind `json:"kind"`
	// Name is the directory, the module's file, the limit or the setting.
	Name string `json:"name"`
	// To is the file system that was mounted, or the value that was set.
	To string `json:"to,omitempty"`
	// Errno is the error with which the kernel refused it, 0 for none.
	Errno uapi.Errno `json:"errno,omitempty"`
}

// Mount is a file system that the guest mounts before anything else.
type Mount struct {
	FS, Dir  string
	Devices  bool // with device files
	Programs bool // programs can be executed from it
	Why      string
}

// Mounts are made in this order: later ones lie inside earlier ones.
var Mounts = []Mount{
	{FS: "proc", Dir: "/proc", Why: "settings, descriptors, mountinfo"},
	{FS: "sysfs", Dir: "/sys", Why: "the kernel's BTF"},
	{FS: "devtmpfs", Dir: "/dev", Devices: true, Programs: true, Why: "the control channel, /dev/kmsg"},
	{FS: "bpf", Dir: "/sys/fs/bpf", Why: "a bpffs of the initial user namespace, without delegation"},
	{FS: "cgroup2", Dir: "/sys/fs/cgroup", Why: "cgroups to attach to, memory limits"},
	{FS: "securityfs", Dir: "/sys/kernel/security", Why: "the active security modules, lockdown"},
	{FS: "selinuxfs", Dir: "/sys/fs/selinux", Why: "the state of SELinux, where it is active"},
	{FS: "tmpfs", Dir: "/tmp", Programs: true, Why: "files of the cases"},
}

// Limit is a resource limit that the guest lifts for itself and its actors.
type Limit struct{ Name, Why string }

// Memlock is the limit that the guest lifts.
var Memlock = Limit{"RLIMIT_MEMLOCK", "before 5.11 maps and programs count against it"}

// Statistics is what the guest turns on and keeps on while it runs cases.
var Statistics = Limit{"BPF_STATS_RUN_TIME", "the first and the last call of BPF_ENABLE_STATS patch the kernel's code"}

// Unlimited is the value of a lifted limit.
const Unlimited = "unlimited"
