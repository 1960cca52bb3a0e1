package oracle

import (
	"slices"

	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
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

// LSM is a BPF-LSM program on a hook. Where its conditions hold it returns
// Errno, else 0.
type LSM struct {
	Hook   Hook
	Errno  uapi.Errno
	Cmd    *uapi.Cmd
	Cap    *uapi.Cap
	Given  *bool // there is a token
	Kernel *bool // the kernel itself calls
	// Allowed are masks of the token, nil for those that it does not compare.
	Cmds, Maps, Progs, Attachs *uint64
	// Ran says that the conditions held at least once.
	Ran bool
}

// hookArgs are what a hook is called with.
type hookArgs struct {
	cmd    uapi.Cmd
	cap    uapi.Cap
	tok    *Token
	kernel bool // the kernel itself calls, not a process
}

func (l *LSM) matches(a hookArgs) bool {
	mask := func(want *uint64, of func(m *Masks) uint64) bool {
		return want == nil || a.tok != nil && of(&a.tok.Allowed) == *want
	}
	return (l.Cmd == nil || *l.Cmd == a.cmd) && (l.Cap == nil || *l.Cap == a.cap) &&
		(l.Given == nil || *l.Given == (a.tok != nil)) && (l.Kernel == nil || *l.Kernel == a.kernel) &&
		mask(l.Cmds, func(m *Masks) uint64 { return m.Cmds }) && mask(l.Maps, func(m *Masks) uint64 { return m.Maps }) &&
		mask(l.Progs, func(m *Masks) uint64 { return m.Progs }) && mask(l.Attachs, func(m *Masks) uint64 { return m.Attachs })
}

// hook calls the programs on a hook and returns what it comes to. The last one
// attached runs first, and the first that refuses ends it: bpf_trampoline_get_progs
// and invoke_bpf_mod_ret.
func (c *call[R]) hook(h Hook, a hookArgs) uapi.Errno {
	for _, l := range slices.Backward(c.LSM) {
		if l.Hook != h || !l.matches(a) {
			continue
		}
		l.Ran = l.Ran || !c.decided // where it has decided only an explanation comes
		if l.Errno != 0 {
			return l.Errno
		}
	}
	return 0
}

// hookRule is a hook whose answer is the call's.
func hookRule[R any](h Hook, text, fn string, args func(c *call[R]) hookArgs) rule[R] {
	return rule[R]{id: "lsm", text: text, fn: fn, holds: func(c *call[R]) bool {
		c.refused = c.hook(h, args(c))
		return c.refused != 0
	}, answer: func(c *call[R]) uapi.Errno { return c.refused }}
}

// bpfHook is what every command passes first, once its attribute is read.
func bpfHook[R any](cmd func(r R) uapi.Cmd) rule[R] {
	r := hookRule(HookBPF, "the LSM hook bpf refuses the command", "security_bpf", func(c *call[R]) hookArgs { return hookArgs{cmd: cmd(c.req), kernel: fromKernel(c.req)} })
	r.id = "lsm-bpf"
	return r
}

func constant[R any](cmd uapi.Cmd) func(R) uapi.Cmd { return func(R) uapi.Cmd { return cmd } }

// cmdHook is bpf_token_cmd, asked behind the command's bit: what it refuses
// only takes the token away.
func cmdHook[R any](cmd uapi.Cmd) rule[R] {
	return rule[R]{id: "lsm-token-cmd", text: "the LSM hook bpf_token_cmd refuses the command, and the token is ignored", fn: "bpf_token_allow_cmd", drop: true, since: tokenSince,
		holds: func(c *call[R]) bool {
			return c.tok != nil && c.hook(HookTokenCmd, hookArgs{cmd: cmd, tok: c.tok}) != 0
		}}
}

// btfTokenHook is bpf_token_cmd of the command that takes a token since 6.15.
var btfTokenHook = func() callRule {
	r := cmdHook[*Call](uapi.BPF_BTF_GET_FD_BY_ID)
	r.since = btfTokenSince
	return r
}()

// progHookSince is the release that calls bpf_prog_load behind the verifier's
// first steps and with the token; before, the program had none yet.
var progHookSince = uapi.Release{Major: 7, Minor: 3}

var (
	mapHook = hookRule(HookMapCreate, "the LSM hook bpf_map_create refuses the map", "security_bpf_map_create",
		func(c *call[*MapCreate]) hookArgs { return hookArgs{tok: c.tok, kernel: c.req.FromKernel} })
	tokenHook = hookRule(HookTokenCreate, "the LSM hook bpf_token_create refuses the token", "security_bpf_token_create",
		func(c *call[*TokenCreate]) hookArgs {
			b := c.req.BPFFS.BPFFS // nil in an explanation of a call that failed before
			if b == nil {
				return hookArgs{}
			}
			return hookArgs{tok: &Token{b.Userns, b.Delegate}}
		})
)

// progHook is bpf_prog_load, and beside it what bpf_check asks of every program
// before it looks at an instruction: whatever is answered, bpf_token_capable runs.
func progHook() rule[*ProgLoad] {
	r := hookRule(HookProgLoad, "the LSM hook bpf_prog_load refuses the program", "security_bpf_prog_load",
		func(c *call[*ProgLoad]) hookArgs {
			if c.Kernel.Release.Less(progHookSince) {
				return hookArgs{}
			}
			return hookArgs{tok: c.tok}
		})
	hook := r.holds
	r.holds = func(c *call[*ProgLoad]) bool {
		late := !c.Kernel.Release.Less(progHookSince)
		if late {
			c.verifierAsks()
		}
		refused := hook(c)
		if !late && !refused {
			c.verifierAsks()
		}
		return refused
	}
	return r
}

func (c *call[R]) verifierAsks() {
	if !c.decided {
		c.tokenCapable(uapi.CAP_PERFMON)
		c.tokenCapable(uapi.CAP_BPF)
	}
}

// hookedCall is the hook bpf, which before 7.2 sees BPF_COMMON_ATTRS as part of the command.
var hookedCall = func() callRule {
	r := hookRule(HookBPF, "the LSM hook bpf refuses the command", "security_bpf", func(c *callCall) hookArgs {
		cmd := c.req.Cmd
		if c.req.Common && c.Kernel.Release.Less(commonSince) {
			cmd |= uapi.BPF_COMMON_ATTRS
		}
		return hookArgs{cmd: cmd}
	})
	r.id = "lsm-bpf"
	return r
}()

// LSMAttach is the loading and attaching of a BPF-LSM program by root.
type LSMAttach struct{ Program LSM }

// kernelArgSince is the release whose hooks say whether the kernel itself calls.
var kernelArgSince = uapi.Release{Major: 6, Minor: 15}

var lsmRules = []rule[*LSMAttach]{
	{id: "no-kernel-argument", text: "the hook has no argument behind the token: it does not say whether the kernel calls", fn: "btf_ctx_access", errno: eACCES, until: kernelArgSince,
		holds: func(c *call[*LSMAttach]) bool { return c.req.Program.Kernel != nil }},
}

func (r *LSMAttach) decide(w *World, trace *[]Line) Verdict {
	return run(w, "lsm", r, nil, lsmRules, trace)
}

// LSMRan asks whether the conditions of a BPF-LSM program ever held.
type LSMRan struct{ Program *LSM }

var lsmRanRules = []rule[*LSMRan]{
	{id: "never", text: "the hook was never called so that the program's conditions held", fn: "the BPF-LSM program", errno: eNODATA,
		holds: func(c *call[*LSMRan]) bool { return c.req.Program == nil || !c.req.Program.Ran }},
}

const eNODATA = uapi.Errno(unix.ENODATA)

func (r *LSMRan) decide(w *World, trace *[]Line) Verdict {
	return run(w, "lsm_ran", r, nil, lsmRanRules, trace)
}
