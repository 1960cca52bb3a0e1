package oracle

import "tokentest/cases/uapi"

// BTFLoad is BPF_BTF_LOAD of a well-formed BTF, except for what the fields say.
type BTFLoad struct {
	Token  TokenRef
	Flags  uint32
	BadLog bool // the log attributes do not fit together
	Junk   bool // the data is not BTF
	Loop   bool // a type is of itself
	Fault  Fault
	NoFD   bool // the process has no free descriptor
}

type btfCall = call[*BTFLoad]

const badLogText = "btf_log_level, btf_log_size and btf_log_buf do not fit together"

// btfLoadRules are the checks of BPF_BTF_LOAD in the kernel's order: __sys_bpf,
// bpf_btf_load of kernel/bpf/syscall.c, then btf_parse and btf_new_fd of
// kernel/bpf/btf.c. The command has no mask but that of commands.
var btfLoadRules = rulesOf([]rule[*BTFLoad]{
	sysctlAnyCommand[*BTFLoad](),
	attrTooLong[*BTFLoad](),
	attrUnreadable[*BTFLoad](),
}, commonRules[*BTFLoad](), []rule[*BTFLoad]{
	lsmBPF[*BTFLoad](),
	commonUnknown[*BTFLoad](),
	// 7.2 checks the log first: "bpf: Add syscall common attributes support".
	{id: "log", fn: "bpf_log_attr_init", errno: eINVAL, since: linux(7, 2), text: badLogText,
		holds: func(c *btfCall) bool { return c.req.BadLog || c.req.Fault.Common.refused() }},
	attrTail[*BTFLoad]("bpf_btf_load"),
	{id: "flag-unknown", fn: "bpf_btf_load", errno: eINVAL, until: linux(6, 9),
		text:  "btf_flags has BPF_F_TOKEN_FD, which kernels without tokens do not know",
		holds: func(c *btfCall) bool { return c.req.Token.Flag }},
	{id: "flags", fn: "bpf_btf_load", errno: eINVAL, since: linux(6, 9),
		text:  "btf_flags has flags that the kernel does not know",
		holds: func(c *btfCall) bool { return c.req.Flags&^uapi.BPF_F_TOKEN_FD != 0 }},
	tokenBadFD[*BTFLoad]("btf_token_fd").from(6, 9),
	tokenNotToken[*BTFLoad]("btf_token_fd").from(6, 9),
	tokenCmd[*BTFLoad]("token-not-covering", uapi.BPF_BTF_LOAD).from(6, 9),
	lsmTokenCmd[*BTFLoad](uapi.BPF_BTF_LOAD).from(6, 9),
	{id: "no-cap-bpf", fn: "bpf_btf_load", errno: ePERM,
		text:  "the caller lacks CAP_BPF " + checkedNS,
		holds: func(c *btfCall) bool { return !c.tokenCapable(uapi.CAP_BPF) }},
	{id: "log-late", fn: "bpf_vlog_init", errno: eINVAL, until: linux(7, 2), text: badLogText,
		holds: func(c *btfCall) bool { return c.req.BadLog }},
	{id: "junk", fn: "btf_parse_hdr", errno: eINVAL, text: "the data is not BTF", opens: true,
		holds: func(c *btfCall) bool { return c.req.Junk }},
	{id: "loop", fn: "env_stack_push", errno: eEXIST, text: "a type is of itself", opens: true,
		holds: func(c *btfCall) bool { return c.req.Loop }},
}, logRules(func(*btfCall) bool { return false }, Common.uses), []rule[*BTFLoad]{
	noFD[*BTFLoad]("btf_new_fd"),
})

func (r *BTFLoad) command() uapi.Cmd  { return uapi.BPF_BTF_LOAD }
func (r *BTFLoad) tokenRef() TokenRef { return r.Token }
func (r *BTFLoad) fault() Fault       { return r.Fault }
func (r *BTFLoad) noFD() bool         { return r.NoFD }

func (r *BTFLoad) decide(w *World, trace *[]Line) Verdict {
	return run(w, "btf_load", r, r.Token.token(), btfLoadRules, trace)
}
