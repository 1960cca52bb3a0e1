package uapi

// Hook is an LSM hook that a decision on bpf(2) asks, include/linux/lsm_hook_defs.h.
type Hook uint8

// The hooks.
const (
	HookBPF Hook = iota + 1
	HookTokenCreate
	HookTokenCmd
	HookTokenCapable
	HookMapCreate
	HookProgLoad
	HookMap
	HookProg
	HookInodePermission
	HookLockedDown
	HookCapable
	HookTokenFree
	HookMapFree
	HookProgFree
	HookPathMknod
	HookInodeInit
)

// Hooks are the hooks as the kernel spells them.
var Hooks = []string{
	HookBPF: "bpf", HookTokenCreate: "bpf_token_create", HookTokenCmd: "bpf_token_cmd",
	HookTokenCapable: "bpf_token_capable", HookMapCreate: "bpf_map_create", HookProgLoad: "bpf_prog_load",
	HookMap: "bpf_map", HookProg: "bpf_prog", HookInodePermission: "inode_permission", HookLockedDown: "locked_down",
	HookCapable:   "capable",
	HookTokenFree: "bpf_token_free", HookMapFree: "bpf_map_free", HookProgFree: "bpf_prog_free",
	HookPathMknod: "path_mknod", HookInodeInit: "inode_init_security",
}

// Frees reports whether a hook runs when an object is freed. It then runs in no process of a case, and can
// refuse nothing.
func (h Hook) Frees() bool { return h == HookTokenFree || h == HookMapFree || h == HookProgFree }
