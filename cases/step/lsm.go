package step

// Hook is an LSM hook of bpf(2), include/linux/lsm_hook_defs.h.
type Hook uint8

// The hooks.
const (
	HookBPF Hook = iota + 1
	HookTokenCreate
	HookTokenCmd
	HookTokenCapable
	HookMapCreate
	HookProgLoad
)

// Hooks are the hooks as the kernel spells them.
var Hooks = []string{
	HookBPF: "bpf", HookTokenCreate: "bpf_token_create", HookTokenCmd: "bpf_token_cmd",
	HookTokenCapable: "bpf_token_capable", HookMapCreate: "bpf_map_create", HookProgLoad: "bpf_prog_load",
}

// HookArgs says at which place a hook has the arguments that a condition can
// ask for, -1 for none. Kernel has been there since 6.15.
type HookArgs struct{ Cmd, Cap, Token, Kernel int }

// ArgsOf returns where a hook's arguments are.
func ArgsOf(h Hook) HookArgs {
	a := HookArgs{-1, -1, -1, -1}
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
	}
	return a
}

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
