package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// Library is a program that uses cilium/ebpf v0.22. Before its first map,
// program or BTF, the library tries to create a token on every mounted bpffs,
// in the order of /proc/self/mountinfo. It passes the first token that it gets
// to every load of a map, a program or a BTF, and to no other command.
type Library struct {
	Mounts []*BPFFS
	// Requests are what the program asks of the kernel. Each takes the token.
	Requests []func(TokenRef) Request
}

// passedOver are the errnos after which the library tries the next bpffs:
// findToken of its internal/sys/token.go.
var passedOver = []uapi.Errno{ePERM, eACCES, eINVAL, eNOENT, eOPNOTSUPP}

// token returns the token that the library finds, or the errno that ends its search.
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
		return Verdict{Known: true, Errno: errno, Rule: "the search for a token fails", Func: "findToken",
			ID: "library/search"}
	}
	for _, request := range r.Requests {
		if v := request(ref).decide(w, trace); v.Errno != 0 || !v.Known {
			return v
		}
	}
	return Verdict{Known: true, Rule: "no check refuses the library's requests", Func: "cilium/ebpf",
		ID: "library/allowed"}
}

func libraryMap(t uapi.MapType) func(TokenRef) Request {
	return func(ref TokenRef) Request { return &MapCreate{Type: t, Token: ref} }
}

func libraryBTF(ref TokenRef) Request { return &BTFLoad{Token: ref} }

func libraryXDP(attr *ProgAttr) func(TokenRef) Request {
	return func(ref TokenRef) Request {
		return &ProgLoad{Type: uapi.BPF_PROG_TYPE_XDP, Attach: uapi.BPF_XDP, Token: ref, Attr: attr}
	}
}

// LibraryQueue makes a queue.
func LibraryQueue() []func(TokenRef) Request {
	return []func(TokenRef) Request{libraryMap(uapi.BPF_MAP_TYPE_QUEUE)}
}

// LibraryBTF loads a BTF, then makes a map that names it.
func LibraryBTF() []func(TokenRef) Request {
	return []func(TokenRef) Request{libraryBTF, libraryMap(uapi.BPF_MAP_TYPE_HASH)}
}

// LibraryProg loads an XDP program that calls helpers which need CAP_BPF and CAP_PERFMON.
func LibraryProg() []func(TokenRef) Request {
	return []func(TokenRef) Request{libraryXDP(&ProgAttr{Insns: 4, Body: CallsGetCurrentTask})}
}

// LibraryFreplace loads an XDP program with its BTF, then a program that
// replaces its function. The library finds the function in the BTF that it
// still has.
func LibraryFreplace() []func(TokenRef) Request {
	return []func(TokenRef) Request{
		libraryBTF,
		libraryXDP(nil),
		func(ref TokenRef) Request { return &ProgLoad{Type: uapi.BPF_PROG_TYPE_EXT, Token: ref} },
	}
}
