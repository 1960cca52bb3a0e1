package oracle

import (
	"slices"
	"testing"

	"tokentest/cases/uapi"
)

// The lists of SEMANTICS.md, map_create and bpf_prog_load, by number.
var (
	refMapFree  = []uint32{1, 2, 3, 4, 5, 6, 8, 12, 13, 19, 21, 27, 31, 35}
	refMapBPF   = []uint32{7, 9, 10, 11, 16, 20, 22, 23, 24, 26, 28, 29, 30, 32, 33, 34}
	refMapNet   = []uint32{14, 15, 17, 18, 25}
	refProgFree = []uint32{1, 8}
	refProgNet  = []uint32{3, 4, 6, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 22, 23, 25, 28, 32}
	refProgPerf = []uint32{2, 5, 7, 17, 24, 26, 27, 28, 29}
	refAttachs  = map[uint32][]uint32{
		8: {0, 1}, 9: {2, 34, 12, 13}, 18: {8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 49, 50, 51, 52, 53},
		25: {21, 22}, 30: {36}, 21: {39, 40}, 32: {45}, 31: {0}, 28: {0},
	}
)

// reference decides well-formed requests by SEMANTICS.md, map_create,
// bpf_prog_load and bpf_btf_load. It uses none of the oracle's tables.
type reference struct {
	w             *World
	caps, inToken uapi.CapSet // in the initial namespace and in the token's
	tok           *Token
}

func newReference(w *World, p *place, caps uapi.CapSet) *reference {
	return &reference{w: w, caps: p.initial.of(caps), inToken: p.inside.of(caps)}
}

func (r *reference) token(ref TokenRef) uapi.Errno {
	switch {
	case !ref.Flag:
	case ref.FD.Kind == TokenFD:
		r.tok = ref.FD.Token
	case ref.FD.Kind == Closed || ref.FD.Kind == Path:
		return 9
	default:
		return 22
	}
	return 0
}

func (r *reference) capable(want uapi.CapSet) bool {
	have := r.caps
	if r.tok != nil {
		have = r.inToken
	}
	return have&want != 0 || have&(1<<21) != 0
}

func (r *reference) mapCreate(t uint32, ref TokenRef) uapi.Errno {
	if t == 0 || t >= r.w.Kernel.MaxMap {
		return 22
	}
	if e := r.token(ref); e != 0 {
		return e
	}
	if r.tok != nil && (r.tok.Allowed.Cmds>>0&1 == 0 || r.tok.Allowed.Maps>>t&1 == 0) {
		r.tok = nil
	}
	switch {
	case r.w.UnprivDisabled != 0 && !r.capable(1<<39),
		slices.Contains(refMapBPF, t) && !r.capable(1<<39),
		slices.Contains(refMapNet, t) && !r.capable(1<<12):
		return 1
	}
	return 0
}

type refProg struct{ typ, expected uint32 }

func (p *refProg) attach() uint32 {
	switch {
	case p.typ == 9 && p.expected == 0:
		return 2
	case p.typ == 21 && p.expected == 0:
		return 39
	}
	return p.expected
}

func (r *reference) progLoad(p refProg, ref TokenRef) uapi.Errno {
	if e := r.token(ref); e != 0 {
		return e
	}
	t, a, k := p.typ, p.attach(), r.w.Kernel
	if r.tok != nil {
		m := r.tok.Allowed
		if m.Cmds>>5&1 == 0 || t >= k.MaxProg || a >= k.MaxAttach || m.Progs>>t&1 == 0 || m.Attachs>>a&1 == 0 {
			r.tok = nil
		}
	}
	switch {
	case r.w.UnprivDisabled != 0 && !r.capable(1<<39),
		!slices.Contains(refProgFree, t) && !r.capable(1<<39),
		slices.Contains(refProgNet, t) && !r.capable(1<<12),
		slices.Contains(refProgPerf, t) && !r.capable(1<<38):
		return 1
	}
	list, checked := refAttachs[t]
	switch {
	case k == k73 && a >= 59 && a <= 61, // of tracing programs without a function only
		t == 26 && !refTarget(a, k) || t == 29 && (!refTarget(a, k) || a == 23 || a == 26 || a == 28),
		checked && !slices.Contains(list, a),
		t == 0 || t >= k.MaxProg:
		return 22
	case k != k73 && t == 26 && (a == 27 || a == 43):
		return 524
	}
	return 0
}

// refTarget is the switch of bpf_check_attach_target.
func refTarget(a uint32, k *Kernel) bool {
	return a >= 23 && a <= 28 || a == 43 || a == 58 && k == k73
}

func (r *reference) btfLoad(ref TokenRef) uapi.Errno {
	if e := r.token(ref); e != 0 {
		return e
	}
	if r.tok != nil && r.tok.Allowed.Cmds>>18&1 == 0 {
		r.tok = nil
	}
	if !r.capable(1 << 39) {
		return 1
	}
	return 0
}

// TestReference compares the oracle with the reference in every small world.
func TestReference(t *testing.T) {
	bad := 0
	check := func(w *World, p *place, r Request, got Verdict, want uapi.Errno) {
		if got.Known && got.Errno == want {
			return
		}
		if bad++; bad < 20 {
			t.Errorf("%s, %s, caps %s, sysctl %d: %T %+v: got %s (known %v) by %s, want %s",
				w.Kernel.Release, p.name, w.Caller.Caps, w.UnprivDisabled, r, r, got.Errno, got.Known, got.ID, want)
		}
	}
	worlds([]*Kernel{k612, k619, k73}, []int{0, 1, 2}, places, func(w *World, p *place, caps uapi.CapSet) {
		mapCreates(func(r *MapCreate) {
			check(w, p, r, Decide(w, r), newReference(w, p, caps).mapCreate(uint32(r.Type), r.Token))
		})
		btfLoads(func(r *BTFLoad) {
			if r.BadLog || r.Junk || r.Loop || r.Flags != 0 || r.Fault != (Fault{}) {
				return // TestOrder covers these
			}
			check(w, p, r, Decide(w, r), newReference(w, p, caps).btfLoad(r.Token))
		})
	})
	worlds([]*Kernel{k612, k73}, []int{0, 2}, places[:3], func(w *World, p *place, caps uapi.CapSet) {
		progLoads(func(r *ProgLoad) {
			want := newReference(w, p, caps).progLoad(refProg{uint32(r.Type), uint32(r.Attach)}, r.Token)
			check(w, p, r, Decide(w, r), want)
		})
	})
	if bad >= 20 {
		t.Errorf("and %d more", bad-19)
	}
}

// The tables of types have every type of the newest kernel, each in the class
// of map_create's switch, is_net_admin_prog_type and is_perfmon_prog_type.
func TestClasses(t *testing.T) {
	for _, m := range uapi.MapTypes.Members {
		got, known := mapTypes[uapi.MapType(m.Value)]
		if m.Value == 0 {
			continue // bad-type decides
		}
		want, listed := noCap, slices.Contains(refMapFree, m.Value)
		switch {
		case slices.Contains(refMapBPF, m.Value):
			want, listed = capBPF, true
		case slices.Contains(refMapNet, m.Value):
			want, listed = capNetAdmin, true
		}
		if !known || !listed || got.needs != want {
			t.Errorf("map type %s: needs %d (in the table %v), want %d (in the reference %v)",
				m.Name, got.needs, known, want, listed)
		}
	}
	for _, m := range uapi.ProgTypes.Members {
		got, known := progTypes[uapi.ProgType(m.Value)]
		free, net := slices.Contains(refProgFree, m.Value), slices.Contains(refProgNet, m.Value)
		perf := slices.Contains(refProgPerf, m.Value)
		if !known || got.free != free || got.netAdmin != net || got.perfmon != perf {
			t.Errorf("program type %s: %+v (in the table %v), want free %v, net %v, perfmon %v",
				m.Name, got, known, free, net, perf)
		}
	}
}

// The verdict is unknown for a type that is newer than the oracle, and for a
// kernel without tokens (except for commands with the same checks there).
func TestUnknown(t *testing.T) {
	newer := *k73
	newer.MaxMap, newer.MaxProg = 50, 50
	for _, tt := range []struct {
		name string
		k    *Kernel
		r    Request
		id   string
	}{
		{"new map type", &newer, &MapCreate{Type: 40}, "map_create/drift"},
		{"new program type", &newer, &ProgLoad{Type: 40}, "prog_load/drift"},
		{"map before tokens", k61, &MapCreate{Type: 1}, "map_create/before-tokens"},
		{"program before tokens", k61, &ProgLoad{Type: 1}, "prog_load/before-tokens"},
	} {
		w := &World{Kernel: tt.k, Caller: Cred{Userns: Initial, Caps: uapi.AllCaps}}
		v, _ := Explain(w, tt.r)
		if v.Known || v.ID != tt.id || v.Rule == "" || Decide(w, tt.r) != v {
			t.Errorf("%s: got %+v, want an unknown verdict %s with a reason", tt.name, v, tt.id)
		}
	}
}
