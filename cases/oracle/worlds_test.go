package oracle

import (
	"slices"
	"tokentest/cases/uapi"
)

// The namespaces of the test's worlds: child has the token, inner is its child,
// sibling has the same parent and owner.
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

// place is where a caller is, and which capabilities it has in the initial
// namespace and in child: SEMANTICS.md, cap_capable_helper.
type place struct {
	name            string
	ns              *Userns
	euid            uint32
	initial, inside worth
}

// worth says which capabilities a caller has in a namespace.
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
	{"in the initial namespace, owner of the token's", Initial, 1000, itsCaps, everything},
	{"in a sibling namespace of the same owner", sibling, 1000, nothing, nothing},
	{"in a child of the token's namespace", inner, 1000, nothing, nothing},
}

// capSets are all subsets of the four capabilities that bpf(2) checks.
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

// badTokens are descriptors that are not a token, and the two ways to give none.
func badTokens() []TokenRef {
	return []TokenRef{
		{}, {FD: FD{Kind: TokenFD, Token: &Token{Userns: child, Allowed: allMasks}}}, // the flag is missing
		{Flag: true}, {Flag: true, FD: FD{Kind: Path}}, {Flag: true, FD: FD{Kind: Dir}},
		{Flag: true, FD: FD{Kind: BPFFSRoot, BPFFS: &BPFFS{Userns: child, Delegate: allMasks}}},
		{Flag: true, FD: FD{Kind: Object}},
	}
}

var allMasks = Masks{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}

// bits are two masks: only bit n, and all bits but n.
func bits(n uint32) []uint64 {
	if n >= 64 {
		return []uint64{0, ^uint64(0)}
	}
	return []uint64{1 << n, ^uint64(0) &^ (1 << n)}
}

// worlds calls f with every world of these kernels, sysctl values and places.
func worlds(kernels []*Kernel, sysctls []int, from []place, f func(w *World, p *place, caps uapi.CapSet)) {
	for _, k := range kernels {
		for _, sysctl := range sysctls {
			for i := range from {
				for _, caps := range capSets() {
					p := &from[i]
					c := Cred{Userns: p.ns, Euid: p.euid, Caps: caps}
					f(&World{Kernel: k, Caller: c, UnprivDisabled: sysctl}, p, caps)
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
			f(&TokenCreate{Flags: flags, BPFFS: fd, NoFD: true})
		}
		for _, fault := range faults {
			f(&TokenCreate{Flags: flags, BPFFS: fds[0], Fault: fault})
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

// faults are one fault of the whole attribute, and two.
var faults = []Fault{
	{
		Tail: true,
	}, {TooLong: true}, {Unreadable: true}, {TooLong: true, Unreadable: true}, {Unreadable: true, Tail: true},
}

// pairs calls f with none of n changes, with each, and with each two.
func pairs(n int, f func(changes []int)) {
	f(nil)
	for i := range n {
		f([]int{i})
		for j := range i {
			f([]int{i, j})
		}
	}
}

// fewTokens are no token, a closed descriptor, and a token that covers everything.
func fewTokens() []TokenRef { return []TokenRef{{}, {Flag: true}, tokenOf(allMasks)} }

var plainMaps = []uapi.MapType{uapi.BPF_MAP_TYPE_HASH, uapi.BPF_MAP_TYPE_ARRAY}

// mapChanges are mistakes of a map's attribute.
var mapChanges = []func(r *MapCreate){
	func(r *MapCreate) { r.Fault.Tail = true },
	func(r *MapCreate) { r.Fault.TooLong = true },
	func(r *MapCreate) { r.Fault.Unreadable = true },
	func(r *MapCreate) { r.Attr.Vmlinux = 1 },
	func(r *MapCreate) { r.Attr.BTFKey = 1 },
	func(r *MapCreate) { // before the two that close btf_fd: it opens it
		if slices.Contains(plainMaps, r.Type) {
			a := r.Attr
			a.BTFKey, a.BTFValue, a.BTFClosed, a.BTFNone, a.Types, a.Special = 1, 3, false, false, 3, true
		}
	},
	func(r *MapCreate) {
		if slices.Contains(plainMaps, r.Type) {
			a := r.Attr
			a.BTFKey, a.BTFValue, a.BTFClosed, a.BTFNone, a.Types, a.Value = 1, 1, false, false, 3, 8
		}
	},
	func(r *MapCreate) { r.Attr.BTFValue, r.Attr.BTFClosed, r.Attr.BTFNone = 1, true, false },
	func(r *MapCreate) { r.Attr.BTFValue, r.Attr.BTFClosed, r.Attr.BTFNone = 1, false, true },
	func(r *MapCreate) { r.Attr.Extra = 16 },
	func(r *MapCreate) { r.Attr.Flags |= fFile },
	func(r *MapCreate) { r.Attr.Flags, r.Attr.NUMA = r.Attr.Flags|fNUMA, 1000 },
	func(r *MapCreate) { r.Attr.Flags |= fZeroSeed },
	func(r *MapCreate) { r.Attr.Flags |= fNoPrealloc },
	func(r *MapCreate) { r.Attr.Flags |= 1 << 27 },
	func(r *MapCreate) { r.Attr.Value = 0 },
	func(r *MapCreate) { r.Attr.Value = tooBig },
	func(r *MapCreate) { r.Attr.Max = 0 },
	func(r *MapCreate) { r.Attr.Ifindex = 1000 },
	func(r *MapCreate) { r.Attr.Inner = &FD{} },
	func(r *MapCreate) { r.Attr.BadName = true },
	func(r *MapCreate) { r.Attr.Excl = new(uint32(16)) },
}

// moreMapChanges are mistakes that few types meet; they are passed alone.
var moreMapChanges = []func(r *MapCreate){
	func(r *MapCreate) { r.Attr.Extra = maxHint + 1 },
	func(r *MapCreate) { r.Attr.Vmlinux, r.Attr.NoStruct = 1, true },
	func(r *MapCreate) { r.Attr.Ifindex = loopback },
	func(r *MapCreate) { r.Attr.Inner = &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH_OF_MAPS} },
	func(r *MapCreate) { r.Attr.Inner = &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_STRUCT_OPS} },
	func(r *MapCreate) {
		r.Attr.Inner = &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH, Content: &Content{Exclusive: true}}
	},
	func(r *MapCreate) { r.Attr.Key = maxBPFStack + 4 },
	func(r *MapCreate) {
		withBTF(r.Attr, 1, 1)
		r.Attr.BTFKernel = true
	},
	func(r *MapCreate) {
		withBTF(r.Attr, 1, 1)
		r.Attr.BTFKernel, r.Attr.Value = true, 8
	},
	func(r *MapCreate) { withBTF(r.Attr, 0, 1) },
	func(r *MapCreate) { withBTF(r.Attr, 2, 1) },
	func(r *MapCreate) { withBTF(r.Attr, 1, 3) },
	func(r *MapCreate) {
		withBTF(r.Attr, 1, 3)
		r.Attr.Flags |= fRDONLYProg
	},
}

// withBTF gives a map types of a BTF whose third type holds a lock.
func withBTF(a *MapAttr, key, value uint32) {
	a.BTFKey, a.BTFValue, a.BTFClosed, a.BTFNone, a.Types, a.Special = key, value, false, false, 3, value == 3
}

// mapAttrs passes to f maps with one mistake and with two.
func mapAttrs(f func(r *MapCreate)) {
	request := func(t uapi.MapType, ref TokenRef) *MapCreate {
		return &MapCreate{Type: t, Token: ref, Attr: &MapAttr{Key: 4, Value: 4, Max: 1, Flags: mapTypes[t].must}}
	}
	for _, t := range []uapi.MapType{0, 1, 2, 7, 9, 11, 12, 13, 14, 22, 30} {
		for _, ref := range fewTokens() {
			pairs(len(mapChanges), func(changes []int) {
				r := request(t, ref)
				for _, i := range changes {
					mapChanges[i](r)
				}
				f(r)
			})
		}
	}
	for t := range mapTypes {
		for _, change := range moreMapChanges {
			r := request(t, tokenOf(allMasks))
			change(r)
			f(r)
		}
	}
}

// progChanges are mistakes of a program's attribute.
var progChanges = []func(r *ProgLoad){
	func(r *ProgLoad) { r.Fault.Tail = true },
	func(r *ProgLoad) { r.Fault.TooLong = true },
	func(r *ProgLoad) { r.Fault.Unreadable = true },
	func(r *ProgLoad) { r.Attr.BadLog = true },
	func(r *ProgLoad) { r.Attr.Flags = 1 << 8 },
	func(r *ProgLoad) { r.Attr.Insns = 0 },
	func(r *ProgLoad) { r.Attr.Insns = maxInsns + 1 },
	func(r *ProgLoad) { r.Attr.AttachFD = &FD{} },
	func(r *ProgLoad) { r.Attr.AttachID = FirstID },
	func(r *ProgLoad) { r.Attr.BadInsns = true },
	func(r *ProgLoad) { r.Attr.Ifindex = 1000 },
	func(r *ProgLoad) { r.Attr.BadName = true },
	func(r *ProgLoad) { r.Attr.Body = CallsJiffies64 },
	func(r *ProgLoad) { r.Attr.Body = CallsGetCurrentTask },
	func(r *ProgLoad) { r.Attr.Body = CallsProbeWriteUser },
	func(r *ProgLoad) { r.Attr.Body = ReadsSkbData },
	func(r *ProgLoad) { r.Attr.Body = ReturnsContext },
	func(r *ProgLoad) { r.Attr.Body = ReadsUninitStack },
	func(r *ProgLoad) { r.Attr.Body = VariesStackPointer },
	func(r *ProgLoad) { r.Attr.Body = CallsSubprog },
	func(r *ProgLoad) { r.Attr.Uses = &FD{} },
	func(r *ProgLoad) { r.Attr.Uses = &FD{Kind: Object} },
}

// moreProgChanges are mistakes that few types meet; they are passed alone.
var moreProgChanges = []func(r *ProgLoad){
	func(r *ProgLoad) { r.Attr.Uses = specialHash(0) },
	func(r *ProgLoad) { r.Attr.Uses = specialHash(Root) },
	func(r *ProgLoad) { r.Attr.Uses = specialHash(Timer) },
	func(r *ProgLoad) { r.Attr.Binds = &FD{} },
	func(r *ProgLoad) { r.Attr.Binds = &FD{Kind: Object} },
	func(r *ProgLoad) { r.Attr.Binds, r.Attr.Signed = &FD{Kind: Object, BTF: true}, true },
	func(r *ProgLoad) { r.Attr.Binds = boundMap(Content{Exclusive: true, Own: true}) },
	func(r *ProgLoad) {
		r.Attr.Binds, r.Attr.Signed = boundMap(Content{Exclusive: true, Own: true, Short: true}), true
	},
	func(r *ProgLoad) { r.Attr.Binds, r.Attr.Signed = boundMap(Content{Frozen: true, Short: true}), true },
	func(r *ProgLoad) {
		r.Attr.Binds, r.Attr.Signed = &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH, Content: &Content{}}, true
	},
	func(r *ProgLoad) { r.Attr.Signed = true },
	func(r *ProgLoad) { r.Attr.Signed, r.Attr.Ring = true, -1 },
	func(r *ProgLoad) { r.Attr.Sign = new(uint32(16)) },
	func(r *ProgLoad) { r.Attr.Sign, r.Attr.Ring = new(uint32(16)), 1000 },
	func(r *ProgLoad) { r.Attr.Sign, r.Attr.BadName = new(uint32(0)), true },
	func(r *ProgLoad) { r.Attr.Sign, r.Attr.Body = new(uint32(16)), CallsSubprog },
	func(r *ProgLoad) { r.Attr.AttachFD = &FD{Kind: Object, BTF: true} },
	func(r *ProgLoad) { r.Attr.AttachFD = &FD{Kind: Object, Loaded: &Program{Type: uapi.BPF_PROG_TYPE_XDP}} },
	func(r *ProgLoad) { r.Attr.AttachID = NoID },
	func(r *ProgLoad) { r.Attr.AttachID = TooBigID },
	func(r *ProgLoad) { r.Attr.Ifindex = loopback },
	func(r *ProgLoad) { r.Attr.Flags |= fSleepable },
	func(r *ProgLoad) { r.Attr.Flags, r.Attr.Body = fSleepable, CallsProbeWriteUser },
	func(r *ProgLoad) {
		r.Attr.Flags, r.Attr.Uses = fSleepable, &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_XSKMAP}
	},
	func(r *ProgLoad) { r.Attr.Uses = &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_PROG_ARRAY} },
	func(r *ProgLoad) { r.Attr.Uses = &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_QUEUE} },
	func(r *ProgLoad) {
		r.Attr.Uses = &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH, Content: &Content{Exclusive: true}}
	},
	func(r *ProgLoad) { r.Attr.Uses = &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_XSKMAP} },
	func(r *ProgLoad) {
		r.Attr.Uses = &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH, Content: &Content{Wide: true}}
	},
}

// codeChanges are programs that the rules cover for few types.
var codeChanges = []func(r *ProgLoad){
	func(r *ProgLoad) { r.Attr.Body = Loops },
	func(r *ProgLoad) { r.Attr.Body = CallsKfunc },
	func(r *ProgLoad) { r.Attr.Body = CallsKfuncPerfmon },
	func(r *ProgLoad) { r.Attr.Body = CallsKfuncDestructive },
	func(r *ProgLoad) { r.Attr.Body = ReadsBTF },
	func(r *ProgLoad) { r.Attr.Body, r.Attr.Uses = ReadsMap, &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH} },
	func(r *ProgLoad) { r.Attr.Body, r.Attr.Uses = HasMap, &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_ARENA} },
	func(r *ProgLoad) { r.Attr.Body = SubtractsPointers },
	func(r *ProgLoad) { r.Attr.Body = AddsToSpill },
	func(r *ProgLoad) { r.Attr.Body = ReadsMixed },
	func(r *ProgLoad) { r.Attr.Body = SubtractsHalves },
	func(r *ProgLoad) {
		r.Attr.Body, r.Attr.Uses = HasBlankKey, &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH}
	},
	func(r *ProgLoad) {
		r.Attr.Body, r.Attr.Uses = HasPointerKey, &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH}
	},
	func(r *ProgLoad) { r.Attr.Body = ComparesPointers },
	func(r *ProgLoad) { r.Attr.Body = OverwritesSpill },
	func(r *ProgLoad) { r.Attr.Body = WritesTime },
	func(r *ProgLoad) { r.Attr.Body = PointsBeyondStack },
	func(r *ProgLoad) { r.Attr.Body = CallsSysBpf },
	func(r *ProgLoad) { r.Attr.Body = CallsTracePrintk },
	func(r *ProgLoad) { r.Attr.Body = ReadsBlankSlot },
	func(r *ProgLoad) { r.Attr.Body = WritesVariably },
	func(r *ProgLoad) { r.Attr.Body = UsesStalePacket },
	func(r *ProgLoad) {
		r.Attr.Body, r.Attr.Uses = LinksBounds,
			&FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH, Content: &Content{Plain: true}}
	},
	func(r *ProgLoad) { r.Attr.Body = NegatesPointer },
	func(r *ProgLoad) { r.Attr.Body = StoresInPacket },
	func(r *ProgLoad) { r.Attr.Body = AddsPointer },
	func(r *ProgLoad) { r.Attr.Body = UsesSpilledNumber },
	func(r *ProgLoad) { r.Attr.Body = PassesPointer },
	func(r *ProgLoad) { r.Attr.Body = HelperOverwritesSpill },
	func(r *ProgLoad) { r.Attr.Body = PassesNoBytes },
	func(r *ProgLoad) { r.Attr.Body = ReadsBeforeContext },
	func(r *ProgLoad) {
		r.Attr.Body, r.Attr.Uses = StoresInValue,
			&FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH, Content: &Content{Plain: true}}
	},
	func(r *ProgLoad) {
		r.Attr.Body, r.Attr.Uses = UsesStaleRecord, &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_RINGBUF}
	},
	func(r *ProgLoad) {
		r.Attr.Body, r.Attr.Uses = UsesStaleSlice,
			&FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH, Content: &Content{Plain: true}}
	},
	func(r *ProgLoad) { r.Attr.Helper = uapi.HelperNamed("jiffies64") },
	func(r *ProgLoad) { r.Attr.Helper = uapi.HelperNamed("spin_lock") },
	func(r *ProgLoad) { r.Attr.Helper = uapi.HelperNamed("snprintf_btf") },
	func(r *ProgLoad) { r.Attr.Helper = uapi.HelperNamed("skc_to_tcp_sock") },
	func(r *ProgLoad) { r.Attr.Helper = uapi.HelperNamed("copy_from_user") },
}

// codeProgs passes to f these programs, of the types that the rules cover.
func codeProgs(f func(r *ProgLoad)) {
	for _, t := range []uapi.ProgType{uapi.BPF_PROG_TYPE_SOCKET_FILTER, uapi.BPF_PROG_TYPE_CGROUP_SKB} {
		for _, change := range codeChanges {
			r := &ProgLoad{Type: t, Token: tokenOf(allMasks), Attr: &ProgAttr{Insns: 2}}
			change(r)
			if of, some := bodyTypes[r.Attr.Body]; some {
				r.Type = of
			}
			if r.Attr.Helper == nil || t == uapi.BPF_PROG_TYPE_SOCKET_FILTER {
				f(r)
			}
		}
	}
	f(&ProgLoad{Type: uapi.BPF_PROG_TYPE_SYSCALL, Token: tokenOf(allMasks),
		Attr: &ProgAttr{Insns: 2, Flags: fSleepable, Body: CallsSysBpf}})
}

// progAttrs passes to f programs with one mistake and with two.
func progAttrs(f func(r *ProgLoad)) {
	request := func(t uapi.ProgType, a uapi.AttachType, ref TokenRef) *ProgLoad {
		return &ProgLoad{Type: t, Attach: a, Token: ref, Attr: &ProgAttr{Insns: 2}}
	}
	for _, t := range []uapi.ProgType{0, 1, 2, 6, 8, 28} {
		for _, a := range []uapi.AttachType{0, 2, 59} {
			for _, ref := range fewTokens() {
				pairs(len(progChanges), func(changes []int) {
					r := request(t, a, ref)
					for _, i := range changes {
						progChanges[i](r)
					}
					if r.Attr.Body == 0 || r.Attr.Uses == nil { // a program has one body
						f(r)
					}
				})
			}
		}
	}
}

func specialHash(f Field) *FD {
	return &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH, Content: &Content{Special: true, Field: f}}
}

func boundMap(c Content) *FD { return &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_ARRAY, Content: &c} }

// moreProgAttrs passes to f programs with one mistake, of types and attach types that the verifier
// treats differently.
func moreProgAttrs(f func(r *ProgLoad)) {
	for _, t := range []uapi.ProgType{1, 2, 3, 6, 8, 26, 27, 28, 29, 31} {
		for _, a := range []uapi.AttachType{0, 23, 24, 26, 27, 59} {
			for _, ref := range []TokenRef{{}, tokenOf(allMasks)} {
				for _, change := range slices.Concat(progChanges, moreProgChanges) {
					r := &ProgLoad{Type: t, Attach: a, Token: ref, Attr: &ProgAttr{Insns: 2}}
					change(r)
					f(r)
				}
			}
		}
	}
}

func btfLoads(f func(r *BTFLoad)) {
	for _, ref := range badTokens() {
		f(&BTFLoad{Token: ref})
		for _, fault := range faults {
			f(&BTFLoad{Token: ref, Fault: fault})
		}
		for i := range 8 { // the first three bits
			f(&BTFLoad{Token: ref, BadLog: i&1 != 0, Junk: i&2 != 0, Flags: uint32(i) &^ 3, Fault: Fault{}})
			f(&BTFLoad{Token: ref, BadLog: true, Flags: uint32(i) &^ 3, Fault: faults[i%len(faults)]})
			f(&BTFLoad{Token: ref, Flags: 4, Fault: faults[i%len(faults)]})
			f(&BTFLoad{Token: ref, BadLog: i&1 != 0, Junk: i&2 != 0, Loop: true})
		}
	}
	for _, cmds := range bits(18) {
		f(&BTFLoad{Token: tokenOf(Masks{Cmds: cmds})})
	}
}
