package oracle

import "tokentest/cases/uapi"

// Rules that several commands share. A command's list names them in its order.

const (
	// checkedNS is where bpf_token_capable looks a capability up.
	checkedNS = "in the token's user namespace (without a token: in the initial one)"
	initialNS = "in the initial user namespace"

	badFDText     = "the descriptor is not open, or is an O_PATH descriptor"
	progOtherText = "the program is not of the type that the attach type names"
	progBadFDText = "the program's descriptor is not open, or is an O_PATH descriptor"
)

// command is a request that reaches __sys_bpf.
type command interface{ command() uapi.Cmd }

// attrRequest is a command whose whole attribute can be wrong.
type attrRequest interface {
	command
	fault() Fault
}

// tokenTaker is a command that takes a token.
type tokenTaker interface {
	command
	tokenRef() TokenRef
}

// Fault says how union bpf_attr is wrong as a whole.
type Fault struct {
	Tail       bool // a byte after the command's last field is not 0
	TooLong    bool // a byte after the kernel's attribute is not 0, or the size is over a page
	Unreadable bool
	Common     Common // the attributes of BPF_COMMON_ATTRS, and what is wrong with them
}

// attrTooLong is bpf_check_uarg_tail_zero, the first check of every command since 5.19.
func attrTooLong[R attrRequest]() rule[R] {
	return rule[R]{id: "attr-too-long", fn: "bpf_check_uarg_tail_zero", errno: e2BIG,
		text:  "the attribute has non-zero bytes after the last field that the kernel knows, or is longer than a page",
		holds: func(c *call[R]) bool { return c.req.fault().TooLong }}
}

func attrUnreadable[R attrRequest]() rule[R] {
	return rule[R]{id: "attr-unreadable", fn: "__sys_bpf", errno: eFAULT,
		text:  "the attribute cannot be read",
		holds: func(c *call[R]) bool { return c.req.fault().Unreadable }}
}

// attrTail is CHECK_ATTR, which each command's function makes for itself.
func attrTail[R attrRequest](fn string) rule[R] {
	return rule[R]{id: "attr-tail", fn: fn, errno: eINVAL,
		text:  "a byte after the command's last field is not 0",
		holds: func(c *call[R]) bool { return c.req.fault().Tail }}
}

// lsmBPF is the LSM hook bpf, which every command calls once its attribute is read.
func lsmBPF[R command]() rule[R] {
	return lsmRule("lsm-bpf", "security_bpf", "the LSM hook bpf refuses the command", uapi.HookBPF,
		func(c *call[R]) hookArgs { return hookArgs{cmd: shown(c, c.req.command()), kernel: fromKernel(c.req)} })
}

// sysctlAnyCommand is how kernels before 5.19 used the sysctl: for every
// command, before they read the attribute. 5.19 has "bpf: refine
// kernel.unprivileged_bpf_disabled behaviour".
func sysctlAnyCommand[R any]() rule[R] {
	return rule[R]{id: "unprivileged-disabled", fn: "__sys_bpf", errno: ePERM, until: linux(5, 19),
		text: "kernel.unprivileged_bpf_disabled is not 0 and the caller lacks CAP_BPF; " +
			"kernels before 5.19 then refuse every command",
		holds: func(c *call[R]) bool { return c.UnprivDisabled != 0 && !c.tokenCapable(uapi.CAP_BPF) }}
}

// sysctlNew is how later kernels use the sysctl: to refuse new maps and programs.
func sysctlNew[R any](fn string) rule[R] {
	return rule[R]{id: "unprivileged-disabled", fn: fn, errno: ePERM,
		text:  "kernel.unprivileged_bpf_disabled is not 0 and the caller lacks CAP_BPF " + checkedNS,
		holds: func(c *call[R]) bool { return c.UnprivDisabled != 0 && !c.tokenCapable(uapi.CAP_BPF) }}
}

// tokenBadFD is one result of bpf_token_get_from_fd. field is the token's
// descriptor in union bpf_attr.
func tokenBadFD[R tokenTaker](field string) rule[R] {
	return rule[R]{id: "token-bad-fd", fn: "bpf_token_get_from_fd", errno: eBADF,
		text:  field + " is not open, or is an O_PATH descriptor",
		holds: func(c *call[R]) bool { return c.req.tokenRef().badFD() }}
}

// tokenNotToken is the other result of bpf_token_get_from_fd.
func tokenNotToken[R tokenTaker](field string) rule[R] {
	return rule[R]{id: "token-not-a-token", fn: "bpf_token_get_from_fd", errno: eINVAL,
		text:  field + " is not a token",
		holds: func(c *call[R]) bool { return c.req.tokenRef().notToken() }}
}

// tokenCmd is the mask of bpf_token_allow_cmd: a token that does not allow the
// command is ignored.
func tokenCmd[R tokenTaker](id string, cmd uapi.Cmd) rule[R] {
	return rule[R]{id: id, fn: "bpf_token_allow_cmd", drop: true,
		text: "the token does not allow " + cmd.String() + " and is ignored",
		holds: func(c *call[R]) bool {
			return c.tok != nil && !bit(c.tok.Allowed.Cmds, uint32(cmd), c.Kernel.MaxCmd)
		}}
}

// lsmTokenCmd is the LSM hook bpf_token_cmd, which bpf_token_allow_cmd calls
// after the mask: its errno is lost, the token is ignored.
func lsmTokenCmd[R tokenTaker](cmd uapi.Cmd) rule[R] {
	return rule[R]{id: "lsm-token-cmd", fn: "bpf_token_allow_cmd", drop: true,
		text: "the LSM hook bpf_token_cmd refuses the command, and the token is ignored",
		holds: func(c *call[R]) bool {
			return c.tok != nil && c.hook(uapi.HookTokenCmd, hookArgs{cmd: cmd, tok: c.tok}) != 0
		}}
}

// noFD is the last check of a command that makes an object. The object exists then,
// but the process gets no descriptor for it.
func noFD[R interface{ noFD() bool }](fn string) rule[R] {
	return rule[R]{id: "no-fd", fn: fn, errno: eMFILE,
		text:  "the process has no free descriptor (RLIMIT_NOFILE)",
		holds: func(c *call[R]) bool { return c.req.noFD() }}
}
