package step

import "tokentest/cases/uapi"

// HookNeeds is the option that compiles in the hook of a step.
func HookNeeds(s *Step) string {
	if h, _ := s.Num(KeyHook); s.Op == OpLSM && uapi.Hook(h) == uapi.HookPathMknod {
		return "SECURITY_PATH"
	}
	return ""
}

// HookArgs says at which place a hook has the arguments that a condition can
// ask for, -1 for none. Kernel has been there since 6.15. Mask is of a file's permissions, or of a map's
// file mode; Named is the map or the program whose name can be compared.
type HookArgs struct{ Cmd, Cap, Token, Kernel, Mask, Named int }

// ArgsOf returns where a hook's arguments are.
func ArgsOf(h uapi.Hook) HookArgs {
	a := HookArgs{-1, -1, -1, -1, -1, -1}
	switch h {
	case uapi.HookBPF:
		a.Cmd, a.Kernel = 0, 3
	case uapi.HookTokenCreate:
		a.Token = 0
	case uapi.HookTokenCmd:
		a.Token, a.Cmd = 0, 1
	case uapi.HookTokenCapable:
		a.Token, a.Cap = 0, 1
	case uapi.HookMapCreate, uapi.HookProgLoad:
		a.Token, a.Kernel = 2, 3
	case uapi.HookMap, uapi.HookInodePermission:
		a.Mask = 1
	case uapi.HookCapable:
		a.Cap = 2
	case uapi.HookTokenFree:
		a.Token = 0
	case uapi.HookMapFree, uapi.HookProgFree:
		a.Named = 0
	}
	return a
}

// NameMembers are the struct members on the way from a map or a program to its name.
func NameMembers(h uapi.Hook) [][2]string {
	if h == uapi.HookMapFree {
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
func HookFunc(h uapi.Hook) string { return "bpf_lsm_" + uapi.Hooks[h] }
