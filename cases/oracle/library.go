package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// Library is an application that uses cilium/ebpf v0.22: before its first map,
// program or BTF the library tries to make a token from every bpffs that is
// mounted, in the order of /proc/self/mountinfo, and gives the first that it
// gets along with every load of a map, a program or a BTF, and with nothing else.
type Library struct {
	Mounts []*BPFFS
	// Requests are what it asks of the kernel, each for a token.
	Requests []func(TokenRef) Request
}

// passedOver are the refusals after which the library tries the next bpffs:
// findToken of internal/sys/token.go.
var passedOver = []uapi.Errno{ePERM, eACCES, eINVAL, eNOENT, eOPNOTSUPP}

// token returns the token that the library finds, or how the search fails.
func (r *Library) token(w *World) (TokenRef, uapi.Errno) {
	for _, b := range r.Mounts {
		root := FD{Kind: BPFFSRoot, BPFFS: b}
		if v := (&Open{FD: root, Place: true}).decide(w, nil); slices.Contains(passedOver, v.Errno) {
			continue
		}
		v := (&TokenCreate{BPFFS: root}).decide(w, nil)
		switch {
		case v.Errno == 0:
			return TokenRef{Flag: true, FD: FD{Kind: TokenFD, Token: &Token{b.Userns, b.Delegate}}}, 0
		case !slices.Contains(passedOver, v.Errno):
			return TokenRef{}, v.Errno
		}
	}
	return TokenRef{}, 0
}

func (r *Library) decide(w *World, trace *[]Line) Verdict {
	if v, ok := beforeTokens(w, "library"); !ok {
		return v
	}
	ref, errno := r.token(w)
	if errno != 0 {
		return Verdict{Known: true, Errno: errno, Rule: "the search for a token fails", Func: "findToken", ID: "library/search"}
	}
	for _, request := range r.Requests {
		if v := request(ref).decide(w, trace); v.Errno != 0 || !v.Known {
			return v
		}
	}
	return Verdict{Known: true, Rule: "nothing refuses what the library asks", Func: "cilium/ebpf", ID: "library/allowed"}
}

// LibraryQueue makes a queue.
func LibraryQueue() []func(TokenRef) Request {
	return []func(TokenRef) Request{func(t TokenRef) Request { return &MapCreate{Type: uapi.BPF_MAP_TYPE_QUEUE, Token: t} }}
}

// LibraryBTF makes a map that names a BTF, and loads the BTF before.
func LibraryBTF() []func(TokenRef) Request {
	return []func(TokenRef) Request{
		func(t TokenRef) Request { return &BTFLoad{Token: t} },
		func(t TokenRef) Request { return &MapCreate{Type: uapi.BPF_MAP_TYPE_HASH, Token: t} },
	}
}

// LibraryProg loads an XDP program that calls helpers for CAP_BPF and CAP_PERFMON.
func LibraryProg() []func(TokenRef) Request {
	return []func(TokenRef) Request{func(t TokenRef) Request {
		return &ProgLoad{Type: uapi.BPF_PROG_TYPE_XDP, Attach: uapi.BPF_XDP, Token: t, Attr: &ProgAttr{Insns: 4, Body: CallsGetCurrentTask}}
	}}
}

// LibraryFreplace loads an XDP program with its BTF and one that replaces its
// function, which the library looks up in the BTF that it still holds.
func LibraryFreplace() []func(TokenRef) Request {
	return []func(TokenRef) Request{
		func(t TokenRef) Request { return &BTFLoad{Token: t} },
		func(t TokenRef) Request {
			return &ProgLoad{Type: uapi.BPF_PROG_TYPE_XDP, Attach: uapi.BPF_XDP, Token: t}
		},
		func(t TokenRef) Request { return &ProgLoad{Type: uapi.BPF_PROG_TYPE_EXT, Token: t} },
	}
}

// Symbol asks whether a program that was loaded has an entry in /proc/kallsyms.
type Symbol struct {
	Loaded bool   // there is such a program
	Token  *Token // that it remembers
	Loader Cred   // who loaded it, as it was then
	Sub    bool   // a function of the program beside its first
}

// subSymbolSince is the release that gives the symbols of sub-programs by the
// program's token; before, by the initial namespace alone.
var subSymbolSince = uapi.Release{Major: 7, Minor: 1}

var symbolRules = []rule[*Symbol]{
	{id: "no-program", text: "no program has the name", fn: "bpf_get_prog_name", errno: eNOENT,
		holds: func(c *call[*Symbol]) bool { return !c.req.Loaded }},
	{id: "no-cap-bpf", text: "whoever loaded it lacked CAP_BPF where it counts", fn: "bpf_prog_kallsyms_add", errno: eNOENT,
		holds: func(c *call[*Symbol]) bool { return !c.loaderCapable(c.req.Token) }},
	{id: "sub-no-cap-bpf", text: "whoever loaded it lacked CAP_BPF in the initial user namespace, where alone it counts for a sub-program", fn: "jit_subprogs", errno: eNOENT, until: subSymbolSince,
		holds: func(c *call[*Symbol]) bool { return c.req.Sub && !c.loaderCapable(nil) }},
}

func (c *call[R]) loaderCapable(tok *Token) bool {
	r, ok := any(c.req).(*Symbol)
	if !ok || !r.Loaded {
		return true // only an explanation comes here
	}
	loader := call[R]{World: &World{Kernel: c.Kernel, Caller: r.Loader}, req: c.req, tok: tok}
	return loader.tokenCapable(uapi.CAP_BPF)
}

// BypassesSpecV4 reports whether the verifier trusts the program with
// Speculative Store Bypass, bpf_bypass_spec_v4 of include/linux/bpf.h.
func (r *Symbol) BypassesSpecV4(k *Kernel) bool {
	loader := call[*Symbol]{World: &World{Kernel: k, Caller: r.Loader}, req: r, tok: r.Token}
	return k.trustsCPU() || loader.tokenCapable(uapi.CAP_PERFMON)
}

// trustsCPU reports whether the verifier guards against no speculation,
// whoever loads a program: cpu_mitigations_off() in bpf_bypass_spec_v1 and
// bpf_bypass_spec_v4, since 6.7.
func (k *Kernel) trustsCPU() bool {
	return k.MitigationsOff && !k.Release.Less(uapi.Release{Major: 6, Minor: 7})
}

func (r *Symbol) decide(w *World, trace *[]Line) Verdict {
	return run(w, "kallsyms", r, nil, symbolRules, trace)
}
