package step

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

// HookNeeds is the option that compiles in the hook of a step.
func HookNeeds(s *Step) string {
	if h, _ := s.Num(KeyHook); s.Op == OpLSM && Hook(h) == HookPathMknod {
		return "SECURITY_PATH"
	}
	return ""
}

// HookArgs says at which place a hook has the arguments that a condition can
// ask for, -1 for none. Kernel has been there since 6.15. Mask is of a file's permissions, or of a map's
// file mode; Named is the map or the program whose name can be compared.
type HookArgs struct{ Cmd, Cap, Token, Kernel, Mask, Named int }

// ArgsOf returns where a hook's arguments are.
func ArgsOf(h Hook) HookArgs {
	a := HookArgs{-1, -1, -1, -1, -1, -1}
	switch h {
	case HookBPF:
		a.Cmd, a.Kernel = 0, 3
	case HookTokenCreate:
		a.Token = 0
	case HookTokenCmd:
		a.Token, a.Cmd = 0, 1
	case HookTokenCapable:
		a.Token, a.Cap = 0, 1
	case HookMapCreate, HookProgLoad:
		a.Token, a.Kernel = 2, 3
	case HookMap, HookInodePermission:
		a.Mask = 1
	case HookCapable:
		a.Cap = 2
	case HookTokenFree:
		a.Token = 0
	case HookMapFree, HookProgFree:
		a.Named = 0
	}
	return a
}

// Frees reports whether a hook runs when an object is freed. It then runs in no process of a case, and can
// refuse nothing.
func (h Hook) Frees() bool { return h == HookTokenFree || h == HookMapFree || h == HookProgFree }

// NameMembers are the struct members on the way from a map or a program to its name.
func NameMembers(h Hook) [][2]string {
	if h == HookMapFree {
		return [][2]string{{MapStruct, "name"}}
	}
	return [][2]string{{ProgStruct, "aux"}, {ProgAuxStruct, "name"}}
}

// The kernel's maps and programs.
const (
	MapStruct     = "bpf_map"
	ProgStruct    = "bpf_prog"
	ProgAuxStruct = "bpf_prog_aux"
)

// HookNameLen is how much of a name a condition compares.
const HookNameLen = 8

// TokenStruct is the kernel's token, and TokenMembers its masks by condition.
const TokenStruct = "bpf_token"

// TokenMembers are the members of TokenStruct that conditions compare.
var TokenMembers = []struct {
	Key  Key
	Name string
}{
	{KeyOfCmds, "allowed_cmds"}, {KeyOfMaps, "allowed_maps"}, {KeyOfProgs, "allowed_progs"}, {KeyOfAttachs,
		"allowed_attachs"},
}

// HookFunc is the kernel function that a BPF-LSM program of a hook attaches to.
func HookFunc(h Hook) string { return "bpf_lsm_" + Hooks[h] }
