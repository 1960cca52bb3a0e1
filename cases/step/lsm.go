package step

// The operations on BPF-LSM programs. They are the broker's: it loads a
// program and attaches it to a hook; it refuses nothing once its world ends.
const (
	OpLSM    Op = iota + 60 // load and attach
	OpLSMOff                // take off
	OpLSMRan                // ask whether its conditions ever held
)

func init() {
	opNames[OpLSM], opNames[OpLSMOff], opNames[OpLSMRan] = "lsm", "lsm_off", "lsm_ran"
}

// The arguments of OpLSM: the hook, whose calls count, what the program
// returns, and the conditions that must all hold for it to return that.
const (
	KeyHook      Key = iota + 200 // a Hook
	KeyOf                         // the actor whose calls it is about
	KeyErrno                      // what the hook returns, 0 for nothing
	KeyHookCmd                    // the command is this one: bpf, bpf_token_cmd
	KeyHookCap                    // the capability is this one: bpf_token_capable
	KeyGiven                      // the token argument is 0: NULL, 1: a token
	KeyKernel                     // the kernel argument is 0 or 1
	KeyOfCmds                     // the token's allowed_cmds are these
	KeyOfMaps                     // allowed_maps
	KeyOfProgs                    // allowed_progs
	KeyOfAttachs                  // allowed_attachs
)

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
var TokenMembers = map[Key]string{
	KeyOfCmds: "allowed_cmds", KeyOfMaps: "allowed_maps", KeyOfProgs: "allowed_progs", KeyOfAttachs: "allowed_attachs",
}

// HookFunc is the kernel function that a BPF-LSM program of a hook attaches to.
func HookFunc(h Hook) string { return "bpf_lsm_" + Hooks[h] }
