package oracle

import "tokentest/cases/uapi"

// TokenCreate is BPF_TOKEN_CREATE.
type TokenCreate struct {
	Flags uint32
	BPFFS FD // bpffs_fd
	Fault Fault
	NoFD  bool // the process has no free descriptor
}

type tokenCall = call[*TokenCreate]

// tokenCreateRules are the checks of BPF_TOKEN_CREATE in the kernel's order:
// __sys_bpf and token_create of kernel/bpf/syscall.c, then bpf_token_create of
// kernel/bpf/token.c. The capability here is CAP_BPF alone: ns_capable, not
// bpf_token_capable, so that CAP_SYS_ADMIN does not replace it.
var tokenCreateRules = rulesOf([]rule[*TokenCreate]{
	sysctlAnyCommand[*TokenCreate](),
	attrTooLong[*TokenCreate](),
	attrUnreadable[*TokenCreate](),
}, commonRules[*TokenCreate](), []rule[*TokenCreate]{
	lsmBPF[*TokenCreate](),
	commonUnknown[*TokenCreate](),
	{id: "unknown", fn: "__sys_bpf", errno: eINVAL, text: unknownText,
		holds: func(c *tokenCall) bool { return !c.Kernel.Token }},
	attrTail[*TokenCreate]("token_create"),
	{id: "flags", fn: "token_create", errno: eINVAL, text: "flags is not 0",
		holds: func(c *tokenCall) bool { return c.req.Flags != 0 }},
	{id: "bad-fd", fn: "bpf_token_create", errno: eBADF,
		text:  "bpffs_fd is not open, or is an O_PATH descriptor",
		holds: func(c *tokenCall) bool { return c.req.BPFFS.notOpen() }},
	{id: "not-root", fn: "bpf_token_create", errno: eINVAL,
		text:  "bpffs_fd is not the root directory of a bpffs",
		holds: func(c *tokenCall) bool { return c.req.BPFFS.Kind != BPFFSRoot }},
	lsmRule("lsm-inode", "path_permission", "the LSM hook inode_permission refuses the root of the bpffs",
		uapi.HookInodePermission, func(*tokenCall) hookArgs { return hookArgs{mask: mayAccess} }),
	{id: "foreign-userns", fn: "bpf_token_create", errno: ePERM,
		text:  "the bpffs belongs to another user namespace than the caller's",
		holds: func(c *tokenCall) bool { return c.req.userns() != c.Caller.Userns }},
	{id: "no-cap-bpf", fn: "bpf_token_create", errno: ePERM,
		text:  "the caller lacks CAP_BPF in the bpffs's user namespace (CAP_SYS_ADMIN does not replace it)",
		holds: func(c *tokenCall) bool { return !c.Caller.capable(c.req.userns(), uapi.CAP_BPF) }},
	{id: "initial-userns", fn: "bpf_token_create", errno: eOPNOTSUPP,
		text:  "the bpffs belongs to the initial user namespace",
		holds: func(c *tokenCall) bool { return c.req.userns() == Initial }},
	{id: "nothing-delegated", fn: "bpf_token_create", errno: eNOENT,
		text:  "all four delegation masks are 0",
		holds: func(c *tokenCall) bool { return c.req.BPFFS.BPFFS != nil && c.req.BPFFS.BPFFS.Delegate == Masks{} }},
	// 6.19 takes the descriptor before it calls the LSM: "bpf: convert bpf_token_create() to FD_PREPARE()".
	noFD[*TokenCreate]("bpf_token_create").from(6, 19),
	{id: "no-file", fn: "alloc_empty_file", errno: eNFILE,
		text:  "fs.file-max is used up, and the caller lacks CAP_SYS_ADMIN " + initialNS,
		holds: func(c *tokenCall) bool { return c.NoFiles && !c.initialCapable(uapi.CAP_SYS_ADMIN) }},
	selinuxToken("selinux-map-create-as", uapi.BPF_MAP_CREATE, uapi.PermMapCreateAs),
	selinuxToken("selinux-prog-load-as", uapi.BPF_PROG_LOAD, uapi.PermProgLoadAs),
	lsmTokenCreate,
	{id: "no-fd-late", fn: "bpf_token_create", errno: eMFILE, until: linux(6, 19),
		text:  "the process has no free descriptor (RLIMIT_NOFILE)",
		holds: func(c *tokenCall) bool { return c.req.NoFD }},
})

const unknownText = "the kernel does not know the command"

// lsmTokenCreate is called when the masks are copied into the new token.
var lsmTokenCreate = lsmRule("lsm", "security_bpf_token_create",
	"the LSM hook bpf_token_create refuses the token", uapi.HookTokenCreate,
	func(c *tokenCall) hookArgs {
		b := c.req.BPFFS.BPFFS
		if b == nil { // only in an explanation, after another rule decided
			return hookArgs{}
		}
		return hookArgs{tok: &Token{b.Userns, b.Delegate}}
	})

func (r *TokenCreate) command() uapi.Cmd { return uapi.BPF_TOKEN_CREATE }
func (r *TokenCreate) fault() Fault      { return r.Fault }
func (r *TokenCreate) noFD() bool        { return r.NoFD }

// userns is the user namespace of the bpffs. If there is no bpffs, an earlier rule decides.
func (r *TokenCreate) userns() *Userns {
	if r.BPFFS.BPFFS == nil {
		return Initial
	}
	return r.BPFFS.BPFFS.Userns
}

func (r *TokenCreate) decide(w *World, trace *[]Line) Verdict {
	return run(w, "token_create", r, nil, tokenCreateRules, trace)
}
