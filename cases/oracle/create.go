package oracle

import (
	"slices"

	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
)

const (
	ePERM       = uapi.Errno(unix.EPERM)
	eNOENT      = uapi.Errno(unix.ENOENT)
	eBADF       = uapi.Errno(unix.EBADF)
	eINVAL      = uapi.Errno(unix.EINVAL)
	eRANGE      = uapi.Errno(unix.ERANGE)
	eOPNOTSUPP  = uapi.Errno(unix.EOPNOTSUPP)
	tokenGetFn  = "bpf_token_get_from_fd"
	tokenFirst  = 9 // 6.9: the release that has tokens
	tokenMajor  = 6
	unprivText  = "the caller lacks CAP_BPF where it counts and kernel.unprivileged_bpf_disabled is not 0"
	unknownText = "the kernel does not know the command"
)

var (
	tokenSince  = uapi.Release{Major: tokenMajor, Minor: tokenFirst}
	anyCmdUntil = uapi.Release{Major: 5, Minor: 19} // "bpf: refine kernel.unprivileged_bpf_disabled behaviour"
)

// TokenCreate is BPF_TOKEN_CREATE: Flags and the bpffs_fd.
type TokenCreate struct {
	Flags uint32
	BPFFS FD
	Fault Fault
	NoFD  bool // the process may open no more descriptors
}

// tokenCreateRules follow bpf_token_create of kernel/bpf/token.c.
var tokenCreateRules = slices.Concat(tokenFaults[:2], []rule[*TokenCreate]{bpfHook(constant[*TokenCreate](uapi.BPF_TOKEN_CREATE))}, tokenUnknown, tokenFaults[2:], tokenChecks, []rule[*TokenCreate]{tokenNoFD, tokenHook, tokenNoFDLate})

var tokenFaults = faultRules("token_create", func(r *TokenCreate) Fault { return r.Fault })

var tokenUnknown = []rule[*TokenCreate]{
	{id: "unprivileged-disabled", text: "kernel.unprivileged_bpf_disabled is not 0 and the caller lacks CAP_BPF; before 5.19 that refused every command", fn: "__sys_bpf", errno: ePERM, until: anyCmdUntil,
		holds: func(c *call[*TokenCreate]) bool { return c.UnprivDisabled != 0 && !c.tokenCapable(uapi.CAP_BPF) }},
	{id: "unknown", text: unknownText, fn: "__sys_bpf", errno: eINVAL,
		holds: func(c *call[*TokenCreate]) bool { return !c.Kernel.Token }},
}

var tokenChecks = []rule[*TokenCreate]{
	{id: "flags", text: "flags are not 0", fn: "token_create", errno: eINVAL,
		holds: func(c *call[*TokenCreate]) bool { return c.req.Flags != 0 }},
	{id: "bad-fd", text: "bpffs_fd is not open, or is an O_PATH descriptor", fn: "bpf_token_create", errno: eBADF,
		holds: func(c *call[*TokenCreate]) bool { return c.req.BPFFS.Kind == Closed || c.req.BPFFS.Kind == Path }},
	{id: "not-root", text: "bpffs_fd is not the root of a bpffs", fn: "bpf_token_create", errno: eINVAL,
		holds: func(c *call[*TokenCreate]) bool { return c.req.BPFFS.Kind != BPFFSRoot }},
	{id: "foreign-userns", text: "the bpffs belongs to another user namespace than the caller's", fn: "bpf_token_create", errno: ePERM,
		holds: func(c *call[*TokenCreate]) bool { return c.bpffsUserns() != c.Caller.Userns }},
	{id: "no-cap-bpf", text: "the caller lacks CAP_BPF in the bpffs's user namespace (CAP_SYS_ADMIN does not stand in)", fn: "bpf_token_create", errno: ePERM,
		holds: func(c *call[*TokenCreate]) bool { return !c.Caller.capable(c.bpffsUserns(), uapi.CAP_BPF) }},
	{id: "initial-userns", text: "the bpffs belongs to the initial user namespace", fn: "bpf_token_create", errno: eOPNOTSUPP,
		holds: func(c *call[*TokenCreate]) bool { return c.bpffsUserns() == Initial }},
	{id: "nothing-delegated", text: "all four delegation masks are 0", fn: "bpf_token_create", errno: eNOENT,
		holds: func(c *call[*TokenCreate]) bool {
			b := c.req.BPFFS.BPFFS // nil in an explanation of a call that failed before
			return b != nil && b.Delegate == Masks{}
		}},
}

// fdPrepareSince is the release that takes the token's descriptor before the
// LSM is asked: "bpf: convert bpf_token_create() to FD_PREPARE()".
var fdPrepareSince = uapi.Release{Major: 6, Minor: 19}

var (
	tokenNoFD = rule[*TokenCreate]{id: "no-fd", text: "the process may open no more descriptors", fn: "bpf_token_create", errno: uapi.Errno(unix.EMFILE), since: fdPrepareSince,
		holds: func(c *call[*TokenCreate]) bool { return c.req.NoFD }}
	tokenNoFDLate = rule[*TokenCreate]{id: "no-fd-late", text: tokenNoFD.text, fn: tokenNoFD.fn, errno: tokenNoFD.errno, until: fdPrepareSince, holds: tokenNoFD.holds}
)

func (c *call[R]) bpffsUserns() *Userns {
	if r, ok := any(c.req).(*TokenCreate); ok && r.BPFFS.BPFFS != nil {
		return r.BPFFS.BPFFS.Userns
	}
	return Initial
}

func (r *TokenCreate) decide(w *World, trace *[]Line) Verdict {
	return run(w, "token_create", r, nil, tokenCreateRules, trace)
}

// TokenRef is how a request names a token: the flag bit and the descriptor.
// Without the flag the kernel does not look at the descriptor.
type TokenRef struct {
	Flag bool
	FD   FD
}

func (t TokenRef) token() *Token {
	if t.Flag && t.FD.Kind == TokenFD {
		return t.FD.Token
	}
	return nil
}

func (t TokenRef) badFD() bool {
	return t.Flag && (t.FD.Kind == Closed || t.FD.Kind == Path)
}

func (t TokenRef) notToken() bool { return t.Flag && t.FD.Kind != TokenFD }

// BTFLoad is BPF_BTF_LOAD of a well-formed BTF, but for what the rest says.
type BTFLoad struct {
	Token  TokenRef
	Flags  uint32
	BadLog bool // the log attributes do not go together
	Junk   bool // no BTF
	Fault  Fault
	NoFD   bool // the process may open no more descriptors
}

// btfLoadRules follow bpf_btf_load of kernel/bpf/syscall.c.
var btfLoadRules = slices.Concat(btfFaults[:2], []rule[*BTFLoad]{
	bpfHook(constant[*BTFLoad](uapi.BPF_BTF_LOAD)),
	{id: "unprivileged-disabled", text: "kernel.unprivileged_bpf_disabled is not 0 and the caller lacks CAP_BPF; before 5.19 that refused every command", fn: "__sys_bpf", errno: ePERM, until: anyCmdUntil,
		holds: func(c *call[*BTFLoad]) bool { return c.UnprivDisabled != 0 && !c.tokenCapable(uapi.CAP_BPF) }},
	{id: "log", text: "the log attributes do not go together", fn: "bpf_log_attr_init", errno: eINVAL, since: lateChecks,
		holds: func(c *call[*BTFLoad]) bool { return c.req.BadLog }},
}, btfFaults[2:], []rule[*BTFLoad]{
	{id: "flag-unknown", text: "BPF_F_TOKEN_FD is not known before tokens", fn: "bpf_btf_load", errno: eINVAL, until: tokenSince,
		holds: func(c *call[*BTFLoad]) bool { return c.req.Token.Flag }},
	{id: "flags", text: "there are flags that the kernel does not know", fn: "bpf_btf_load", errno: eINVAL, since: tokenSince,
		holds: func(c *call[*BTFLoad]) bool { return c.req.Flags&^uapi.BPF_F_TOKEN_FD != 0 }},
	{id: "token-bad-fd", text: "btf_token_fd is not open, or is an O_PATH descriptor", fn: tokenGetFn, errno: eBADF, since: tokenSince,
		holds: func(c *call[*BTFLoad]) bool { return c.req.Token.badFD() }},
	{id: "token-not-a-token", text: "btf_token_fd is not a token", fn: tokenGetFn, errno: eINVAL, since: tokenSince,
		holds: func(c *call[*BTFLoad]) bool { return c.req.Token.notToken() }},
	{id: "token-not-covering", text: "the token does not allow btf_load, and is ignored", fn: "bpf_token_allow_cmd", drop: true, since: tokenSince,
		holds: func(c *call[*BTFLoad]) bool {
			return c.tok != nil && !bit(c.tok.Allowed.Cmds, uint32(uapi.BPF_BTF_LOAD), c.Kernel.MaxCmd)
		}},
	cmdHook[*BTFLoad](uapi.BPF_BTF_LOAD),
	{id: "no-cap-bpf", text: "the caller lacks CAP_BPF where it counts", fn: "bpf_btf_load", errno: ePERM,
		holds: func(c *call[*BTFLoad]) bool { return !c.tokenCapable(uapi.CAP_BPF) }},
	{id: "log-late", text: "the log attributes do not go together", fn: "bpf_vlog_init", errno: eINVAL, until: lateChecks,
		holds: func(c *call[*BTFLoad]) bool { return c.req.BadLog }},
	{id: "junk", text: "it is no BTF", fn: "btf_parse_hdr", errno: eINVAL,
		holds: func(c *call[*BTFLoad]) bool { return c.req.Junk }},
	noFDRule("btf_new_fd", func(r *BTFLoad) bool { return r.NoFD }),
})

var btfFaults = faultRules("bpf_btf_load", func(r *BTFLoad) Fault { return r.Fault })

func (r *BTFLoad) decide(w *World, trace *[]Line) Verdict {
	return run(w, "btf_load", r, r.Token.token(), btfLoadRules, trace)
}
