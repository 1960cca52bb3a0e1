package oracle

import (
	"tokentest/cases/uapi"
)

// The namespaces of the test's worlds: child has the token, inner lies below
// it, sibling beside it with the same owner.
var (
	child   = &Userns{Parent: Initial, Owner: 1000}
	inner   = &Userns{Parent: child, Owner: 1000}
	sibling = &Userns{Parent: Initial, Owner: 1000}
)

var (
	k61  = KernelAt(uapi.Release{Major: 6, Minor: 1})
	k612 = KernelAt(uapi.Release{Major: 6, Minor: 12})
	k619 = KernelAt(uapi.Release{Major: 6, Minor: 19})
	k73  = KernelAt(uapi.Release{Major: 7, Minor: 3})
)

const (
	capsNet  = uapi.CapSet(1) << 12
	capsSys  = uapi.CapSet(1) << 21
	capsPerf = uapi.CapSet(1) << 38
	capsBPF  = uapi.CapSet(1) << 39
)

// place is where a caller stands: what its own capability set is worth in the
// initial namespace and in child, written down from kernel-semantics 3.1.
type place struct {
	name            string
	ns              *Userns
	euid            uint32
	initial, inside worth
}

// worth is what a capability set counts for in a namespace.
type worth int

const (
	nothing worth = iota
	itsCaps
	everything
)

func (w worth) of(s uapi.CapSet) uapi.CapSet {
	return []uapi.CapSet{0, s, uapi.AllCaps}[w]
}

var places = []place{
	{"in the token's namespace", child, 1000, nothing, itsCaps},
	{"in the initial namespace", Initial, 4242, itsCaps, itsCaps},
	{"in the initial namespace, owning the token's", Initial, 1000, itsCaps, everything},
	{"in a sibling namespace of the same owner", sibling, 1000, nothing, nothing},
	{"in a namespace below the token's", inner, 1000, nothing, nothing},
}

// capSets are all subsets of the four capabilities that bpf(2) asks for.
func capSets() []uapi.CapSet {
	out := []uapi.CapSet{0}
	for _, c := range []uapi.CapSet{capsNet, capsSys, capsPerf, capsBPF} {
		for _, s := range out[:len(out):len(out)] {
			out = append(out, s|c)
		}
	}
	return out
}

func tokenOf(m Masks) TokenRef {
	return TokenRef{Flag: true, FD: FD{Kind: TokenFD, Token: &Token{Userns: child, Allowed: m}}}
}

// badTokens are the descriptors that are no token, and the two ways of giving none.
func badTokens() []TokenRef {
	return []TokenRef{
		{}, {FD: FD{Kind: TokenFD, Token: &Token{Userns: child, Allowed: allMasks}}}, // the flag is missing
		{Flag: true}, {Flag: true, FD: FD{Kind: Path}}, {Flag: true, FD: FD{Kind: Dir}},
		{Flag: true, FD: FD{Kind: BPFFSRoot, BPFFS: &BPFFS{Userns: child, Delegate: allMasks}}}, {Flag: true, FD: FD{Kind: Object}},
	}
}

var allMasks = Masks{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}

// bits are masks that differ in what they say of one bit.
func bits(n uint32) []uint64 {
	if n >= 64 {
		return []uint64{0, ^uint64(0)}
	}
	return []uint64{1 << n, ^uint64(0) &^ (1 << n)}
}

// worlds calls f with every world of the given kernels and sysctl values.
func worlds(kernels []*Kernel, sysctls []int, from []place, f func(w *World, p *place, caps uapi.CapSet)) {
	for _, k := range kernels {
		for _, sysctl := range sysctls {
			for i := range from {
				for _, caps := range capSets() {
					p := &from[i]
					f(&World{Kernel: k, Caller: Cred{Userns: p.ns, Euid: p.euid, Caps: caps}, UnprivDisabled: sysctl}, p, caps)
				}
			}
		}
	}
}

func tokenCreates(f func(r *TokenCreate)) {
	fds := []FD{{}, {Kind: Path}, {Kind: Dir}, {Kind: Object}, {Kind: TokenFD, Token: &Token{Userns: child}}}
	for _, ns := range []*Userns{Initial, child, inner} {
		for _, m := range []Masks{{}, {Cmds: 1}, {Maps: 2}, {Progs: 4}, {Attachs: 1 << 63}} {
			fds = append(fds, FD{Kind: BPFFSRoot, BPFFS: &BPFFS{Userns: ns, Delegate: m}})
		}
	}
	for _, flags := range []uint32{0, 1} {
		for _, fd := range fds {
			f(&TokenCreate{Flags: flags, BPFFS: fd})
		}
	}
}

func mapCreates(f func(r *MapCreate)) {
	for t := uapi.MapType(0); t < 40; t++ {
		for _, ref := range badTokens() {
			f(&MapCreate{Type: t, Token: ref})
		}
		for _, cmds := range bits(0) {
			for _, maps := range bits(uint32(t)) {
				f(&MapCreate{Type: t, Token: tokenOf(Masks{Cmds: cmds, Maps: maps})})
			}
		}
	}
}

func progLoads(f func(r *ProgLoad)) {
	attachs := []uapi.AttachType{0, 1, 2, 12, 22, 24, 36, 37, 39, 45, 57, 59, 61, 62, 64, 1000}
	for t := uapi.ProgType(0); t < 36; t++ {
		for _, a := range attachs {
			for _, ref := range badTokens()[:6] {
				f(&ProgLoad{Type: t, Attach: a, Token: ref})
			}
			fixed := (&refProg{uint32(t), uint32(a)}).attach()
			for _, cmds := range bits(5) {
				for _, progs := range bits(uint32(t)) {
					for _, at := range bits(fixed) {
						f(&ProgLoad{Type: t, Attach: a, Token: tokenOf(Masks{Cmds: cmds, Progs: progs, Attachs: at})})
					}
				}
			}
		}
	}
}

func btfLoads(f func(r *BTFLoad)) {
	for _, ref := range badTokens() {
		f(&BTFLoad{ref})
	}
	for _, cmds := range bits(18) {
		f(&BTFLoad{tokenOf(Masks{Cmds: cmds})})
	}
}
