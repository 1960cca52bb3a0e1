package oracle

import "tokentest/cases/uapi"

// Symbol asks whether /proc/kallsyms has an entry for a loaded program.
type Symbol struct {
	Loaded bool   // the program exists
	Token  *Token // the token that it was loaded with
	Loader Cred   // the credentials of the thread that loaded it, at that time
	Sub    bool   // ask for a function of the program other than its first
	// Interpreted says that it was not compiled, and Blinded that its constants were hidden.
	Interpreted, Blinded bool
}

var symbolRules = []rule[*Symbol]{
	{id: "no-program", fn: "bpf_prog_ksym_set_name", errno: eNOENT, text: "no program has the name",
		holds: func(c *call[*Symbol]) bool { return !c.req.Loaded }},
	{id: "not-compiled", fn: "bpf_prog_kallsyms_candidate", errno: eNOENT,
		text: "net.core.bpf_jit_enable was 0, or net.core.bpf_jit_limit used up for a loader without CAP_BPF " + initialNS +
			": a program that is not compiled has no symbol",
		holds: func(c *call[*Symbol]) bool { return c.req.Interpreted }},
	{id: "no-cap-bpf", fn: "bpf_prog_kallsyms_add", errno: eNOENT,
		text:  "the loader lacked CAP_BPF " + checkedNS,
		holds: func(c *call[*Symbol]) bool { return !c.req.loaderHas(c.Kernel, uapi.CAP_BPF, c.req.Token) }},
	// 7.1 asks the program's token for sub-programs too.
	{id: "sub-no-cap-bpf", fn: "jit_subprogs", errno: eNOENT, until: linux(7, 1),
		text:  "the loader lacked CAP_BPF " + initialNS + "; before 7.1 a sub-program needs it there",
		holds: func(c *call[*Symbol]) bool { return c.req.Sub && !c.req.loaderHas(c.Kernel, uapi.CAP_BPF, nil) }},
	{
		id:    "hidden",
		fn:    "bpf_jit_kallsyms_enabled",
		errno: eNOENT,
		when:  func(s *Settings) bool { return s.HidesSymbols || s.Blinds != 0 },
		text:  "net.core.bpf_jit_kallsyms is 0, or net.core.bpf_jit_harden is not 0",
		holds: func(*call[*Symbol]) bool { return true },
	},
}

// loaderHas reports whether the loader had a capability where the kernel
// checks it with this token.
func (r *Symbol) loaderHas(k *Kernel, want uapi.Cap, tok *Token) bool {
	if !r.Loaded {
		return true // only in an explanation, after no-program decided
	}
	loader := call[*Symbol]{World: &World{Kernel: k, Caller: r.Loader}, req: r, tok: tok}
	return loader.tokenCapable(want)
}

// BypassesSpecV4 reports whether the verifier adds no protection against
// Speculative Store Bypass to the program, bpf_bypass_spec_v4 of include/linux/bpf.h.
func (r *Symbol) BypassesSpecV4(k *Kernel) bool { return k.BypassesV4 || r.BypassesSpecV1(k) }

// BypassesSpecV1 mirrors bpf_bypass_spec_v1 of include/linux/bpf.h.
func (r *Symbol) BypassesSpecV1(k *Kernel) bool {
	loader := call[*Symbol]{World: &World{Kernel: k, Caller: r.Loader}, req: r, tok: r.Token}
	return k.trustsCPU() || loader.tokenCapable(uapi.CAP_PERFMON)
}

func (r *Symbol) decide(w *World, trace *[]Line) Verdict {
	return run(w, "kallsyms", r, nil, symbolRules, trace)
}
