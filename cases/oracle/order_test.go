package oracle

import (
	"slices"
	"strings"
	"testing"

	"tokentest/cases/uapi"
)

// order is the order of a command's rules, and the pairs of neighbours that can
// not hold in the same world, with the reason.
type order struct {
	cmd    string
	kernel *Kernel // whose rules are listed
	rules  []string
	never  map[[2]string]string
	// few are rules about few types: their neighbours need not hold in the same world.
	few  string
	each func(f func(w *World, r Request))
}

const (
	gone        = "the kernel does not look at a dropped token again"
	noToken     = "a descriptor that is not a token has no masks"
	oneClass    = "a map type needs one capability"
	ownType     = "they are about different map types"
	oneFD       = "a descriptor that is not open is nothing else"
	oneBody     = "a program has one body"
	oneMap      = oneFD
	faulty      = "attr-too-long attr-unreadable attr-tail"
	mapFirst    = faulty + " btf-ids map-extra file-flags " + mapCheckIDs + mapGateIDs
	mapNew      = faulty + " btf-ids map-extra " + mapCheckIDs + mapGateIDs + "exclusive file-flags-late"
	mapCheckIDs = "numa-node bad-type inner-value zero-seed alloc-flags lru-prealloc alloc-sizes alloc-too-big "
	mapGateIDs  = "token-bad-fd token-not-a-token token-not-covering-cmd token-not-covering-type " +
		"unprivileged-disabled no-cap-bpf no-cap-net-admin " +
		"offload-privileged offload-type offload-device offload-not-supported inner-fd inner-none " +
		"inner-type no-struct-ops alloc-late long-key bad-name btf-closed btf-none btf-kernel btf-sizes btf-no-key " +
		"special-fields " +
		"special-access special-type btf-none-taken btf-key-kind "
	mapFew = "extra-too-big no-struct-ops offload-not-supported inner-none inner-exclusive inner-type long-key " +
		"btf-no-key " +
		"special-type " +
		"btf-none-taken btf-key-kind"
	progTokenIDs = "token-bad-fd token-not-a-token token-not-covering-cmd token-not-covering-type " +
		"token-not-covering-attach "
	progRestIDs = "insns-unreadable offload-type offload-flags offload offload-not-supported bad-type bad-name "
	targetIDs   = "subprog kfunc map-bad-fd map-no-map map-root map-lock map-sleepable arena arena-address back-edge " +
		"only-sleepable not-sleepable no-struct-ops no-attach-id " +
		"target-no-btf no-function ext-functions no-target-type hook-target-type target-not-sleepable helper-type " +
		"helper-absent "
	stackIDs = "skb-data skb-tstamp context pointer-leak uninit-stack variable-stack "
	// codeIDs are rules that each concern one program.
	codeIDs = "helper-sleeps helper-argument kfunc-type kfunc-destructive kfunc-perfmon btf-read " +
		"no-bytes before-context map-read partial-spill add-to-pointer mixed-read blank-slot var-write " +
		"stale-packet stale-record stale-slice pointer-stored pointer-added spill-forgotten pointer-passed pointer-part " +
		"linked-bounds blank-key pointer-key pointer-halves pointer-arithmetic pointer-compare far-stack loop-speculated "
	mapIDs  = "map-lookup map-keyless map-wide "
	progIDs = "unprivileged-disabled insn-count no-cap-bpf no-cap-net-admin no-cap-perfmon attach-fd attach-btf " +
		"attach-id-too-big attach-btf-id "
	// boundIDs are rules about fd_array and a signature, which cases show one by one.
	boundIDs = "bind-bad-fd bind-none bind-exclusive signed-btf signature-key signed-type signed-thawed signed-shared " +
		"signature signature-no-key signature-other "
	progFew = targetIDs + boundIDs + "map-exclusive map-timer " + codeIDs + mapIDs +
		"helper-socket helper-sys-bpf helper-trace " +
		"skb-tstamp " +
		"attach-fd attach-btf attach-id-too-big attach-btf-id attach-program offload " +
		"offload-not-supported " +
		"context map-lookup map-keyless map-wide return-kind return-value multi-one bad-name log-late"
)

var mapNever = map[[2]string]string{
	{"bad-type", "inner-value"}:                           ownType,
	{"token-not-a-token", "token-not-covering-cmd"}:       noToken,
	{"token-not-covering-cmd", "token-not-covering-type"}: gone,
	{"no-cap-bpf", "no-cap-net-admin"}:                    oneClass,
	{"inner-fd", "alloc-late"}:                            ownType,
	{"btf-closed", "btf-none"}:                            oneFD,
	{"btf-none", "btf-kernel"}:                            oneFD,
}

var progNever = map[[2]string]string{
	{"token-not-a-token", "token-not-covering-cmd"}:          noToken,
	{"token-not-covering-cmd", "token-not-covering-type"}:    gone,
	{"token-not-covering-type", "token-not-covering-attach"}: gone,
	{"helper-perfmon", "helper-sys-admin"}:                   oneBody,
	{"helper-perfmon", "helper-sys-admin-initial"}:           oneBody,
	{"helper-sys-admin", "skb-data"}:                         oneBody,
	{"helper-sys-admin-initial", "skb-data"}:                 oneBody,
	{"skb-data", "pointer-leak"}:                             oneBody,
	{"pointer-leak", "uninit-stack"}:                         oneBody,
	{"variable-stack", "subprog"}:                            oneBody,
	{"subprog", "map-bad-fd"}:                                oneBody,
	{"map-bad-fd", "map-no-map"}:                             oneMap,
	{"uninit-stack", "variable-stack"}:                       oneBody,
}

var orders = []order{
	{
		cmd: "token_create", kernel: k612,
		rules: strings.Fields("attr-too-long attr-unreadable unknown attr-tail flags bad-fd not-root " +
			"foreign-userns no-cap-bpf initial-userns nothing-delegated no-fd-late"),
		each: eachWorld([]*Kernel{k61, k612}, []int{2}, places, tokenCreates),
	},
	{
		cmd: "map_create", kernel: k612, rules: strings.Fields(mapFirst), never: mapNever, few: mapFew,
		each: eachWorld([]*Kernel{k612}, []int{0, 2}, places[:2], mapCreates, mapAttrs),
	},
	{
		cmd: "map_create", kernel: k73, never: mapNever, few: mapFew,
		rules: strings.Fields(strings.NewReplacer("inner-none", "inner-none inner-exclusive",
			"zero-seed", "zero-seed extra-too-big").Replace(mapNew)),
		each: eachWorld([]*Kernel{k73}, []int{0, 2}, places[:2], mapCreates, mapAttrs),
	},
	{
		cmd: "prog_load", kernel: k73,
		rules: strings.Fields("attr-too-long attr-unreadable log flags " + progTokenIDs + progIDs +
			"multi-not-tracing multi-one attach-program bad-attach-type " + progRestIDs + boundIDs +
			strings.Replace(targetIDs, "map-no-map", "map-no-map map-exclusive", 1) +
			"helper-bpf helper-perfmon helper-socket helper-sys-bpf helper-trace helper-sys-admin " + stackIDs +
			codeIDs + mapIDs +
			"return-value"),
		never: progNever, few: progFew,
		each: both(eachWorld([]*Kernel{k73}, []int{0, 2}, places[:1], progLoads, progAttrs),
			eachWorld([]*Kernel{k73}, []int{0, 2}, places[:2], noProgs, codeProgs), loneProgs(k73),
			eachWorld([]*Kernel{k73}, []int{2}, places[:2], noProgs, moreProgAttrs)),
	},
	{
		cmd: "prog_load", kernel: k612,
		rules: strings.Fields(faulty + " flags " + progTokenIDs + progIDs +
			"attach-program bad-attach-type " + progRestIDs + "log-late " +
			strings.Replace(targetIDs, "map-lock", "map-lock map-timer", 1) +
			"helper-bpf helper-perfmon helper-socket helper-sys-bpf helper-trace helper-sys-admin-initial " +
			stackIDs +
			strings.NewReplacer("helper-sleeps ", "", "kfunc-perfmon ", "").Replace(codeIDs) + mapIDs +
			"return-kind return-value"),
		never: progNever, few: progFew,
		each: both(eachWorld([]*Kernel{k612}, []int{0, 2}, places[:1], progLoads, progAttrs),
			eachWorld([]*Kernel{k612}, []int{0, 2}, places[:2], noProgs, codeProgs), loneProgs(k612),
			eachWorld([]*Kernel{k612}, []int{2}, places[:2], noProgs, moreProgAttrs)),
	},
	{
		cmd: "btf_load", kernel: k612,
		rules: strings.Fields(
			faulty + " flags token-bad-fd token-not-a-token token-not-covering no-cap-bpf log-late junk loop",
		),
		never: map[[2]string]string{{"token-not-a-token", "token-not-covering"}: noToken},
		each:  eachWorld([]*Kernel{k612}, []int{2}, places, btfLoads),
	},
	{
		cmd: "btf_load", kernel: k73,
		rules: strings.Fields("attr-too-long attr-unreadable log attr-tail flags token-bad-fd token-not-a-token " +
			"token-not-covering no-cap-bpf junk loop"),
		never: map[[2]string]string{{"token-not-a-token", "token-not-covering"}: noToken},
		each:  eachWorld([]*Kernel{k73}, []int{2}, places, btfLoads),
	},
	{
		cmd: "btf_load", kernel: k61,
		rules: strings.Fields(faulty + " flag-unknown no-cap-bpf log-late junk loop"),
		each:  eachWorld([]*Kernel{k61}, []int{2}, places[:2], btfLoads),
	},
}

func noProgs(func(*ProgLoad)) {}

func both(all ...func(func(*World, Request))) func(func(*World, Request)) {
	return func(f func(*World, Request)) {
		for _, each := range all {
			each(f)
		}
	}
}

// eachWorld passes to f every world of the kernels, with every request.
func eachWorld[R Request](
	kernels []*Kernel, sysctls []int, from []place, requests ...func(func(R)),
) func(func(*World, Request)) {
	return func(f func(*World, Request)) {
		worlds(kernels, sysctls, from, func(w *World, _ *place, caps uapi.CapSet) {
			few := caps&(caps-1) == 0 || caps == capsNet|capsSys|capsPerf|capsBPF
			for i, each := range requests {
				if i > 0 && !few {
					continue // for a bad attribute single capabilities are enough
				}
				each(func(r R) { f(w, r) })
			}
		})
	}
}

// loneProgs are programs that need a kernel with mitigations=off, or two capabilities and no more.
func loneProgs(k *Kernel) func(func(*World, Request)) {
	off := *k
	off.MitigationsOff = true
	load := func(t uapi.ProgType, b Body) *ProgLoad {
		return &ProgLoad{Type: t, Token: tokenOf(allMasks), Attr: &ProgAttr{Insns: 2, Body: b}}
	}
	return func(f func(*World, Request)) {
		f(&World{Kernel: &off, Caller: Cred{Userns: child}}, load(uapi.BPF_PROG_TYPE_SOCKET_FILTER, WritesVariably))
		f(&World{Kernel: k, Caller: Cred{Userns: child, Caps: capsNet | capsBPF}},
			load(uapi.BPF_PROG_TYPE_XDP, UsesStalePacket))
	}
}

// TestOrder decides every request in every small world. Of two checks that both
// refuse, the first in the order must decide. Every rule must decide in some
// world, and every pair of neighbours must hold in the same world, unless it is
// listed as impossible.
func TestOrder(t *testing.T) {
	for _, o := range orders {
		t.Run(o.cmd+"/"+o.kernel.Release.String(), func(t *testing.T) {
			seen := seenRules{map[string]int{}, map[[2]string]int{}}
			o.each(func(w *World, r Request) {
				v, trace := Explain(w, r)
				if d := Decide(w, r); d != v {
					t.Fatalf("%+v: Decide says %+v, Explain %+v", r, d, v)
				}
				o.play(t, r, v, trace, &seen)
			})
			if t.Failed() {
				return
			}
			for i, id := range o.rules {
				if seen.decides[id] == 0 {
					t.Errorf("no world is decided by %s", id)
				}
				if i == 0 {
					continue
				}
				pair := [2]string{o.rules[i-1], id}
				why, never := o.never[pair]
				switch {
				case never && seen.meets[pair] > 0:
					t.Errorf("%s hold together in %d worlds, although %s", pair, seen.meets[pair], why)
				case !never && seen.meets[pair] == 0 && !o.isFew(pair[0]) && !o.isFew(pair[1]):
					t.Errorf("%s hold together in no world", pair)
				}
			}
		})
	}
}

func (o *order) isFew(id string) bool { return slices.Contains(strings.Fields(o.few), id) }

// seenRules counts in how many worlds a rule decides, and in how many two
// neighbours hold together.
type seenRules struct {
	decides map[string]int
	meets   map[[2]string]int
}

// play compares one explanation with the order.
func (o *order) play(t *testing.T, r Request, v Verdict, trace []Line, seen *seenRules) {
	t.Helper()
	var ids []string
	first := "allowed"
	trace = slices.DeleteFunc(trace, func(l Line) bool { // they have tests of their own
		return isLSM(l) || isCommon(l) || l.ID == "prog_load/storage-taken" || slices.Contains(LimitRules(), l.ID)
	})
	for i, l := range trace {
		id := l.ID[len(o.cmd)+1:]
		ids = append(ids, id)
		if l.Holds && !l.Drops && first == "allowed" {
			first = id
		}
		if l.Decides != (l.Holds && first == id) {
			t.Fatalf("%+v: %s decides: %v, but the first that holds is %s", r, id, l.Decides, first)
		}
		if l.Rule == "" || l.Func == "" || !l.Drops && l.Errno == 0 {
			t.Fatalf("rule %s lacks its text, its function or its errno", l.ID)
		}
		undecided := first == "allowed" || first == id
		if l.Holds && undecided {
			seen.decides[id]++ // a rule that drops the token decides that
			if i+1 < len(trace) && trace[i+1].Holds {
				seen.meets[[2]string{id, trace[i+1].ID[len(o.cmd)+1:]}]++
			}
		}
	}
	if !slices.Equal(ids, o.rules) {
		t.Fatalf("the rules are %q,\nwant %q", ids, o.rules)
	}
	if want := o.cmd + "/" + first; v.ID != want || !v.Known {
		t.Fatalf("%+v: decided by %s (known %v), want %s", r, v.ID, v.Known, want)
	}
}

// An explanation has only the rules of the kernel's release.
func TestRulesOfReleases(t *testing.T) {
	w := &World{Kernel: k612, Caller: Cred{Userns: Initial, Caps: uapi.AllCaps}}
	r := &ProgLoad{Type: uapi.BPF_PROG_TYPE_XDP, Attach: uapi.BPF_TRACE_FENTRY_MULTI}
	if v := Decide(w, r); v.Errno != 0 {
		t.Errorf("6.12: attach type 59 of xdp: got %s, want ok", v.Errno)
	}
	w.Kernel = k73
	if v := Decide(w, r); v.ID != "prog_load/multi-not-tracing" || v.Errno != eINVAL {
		t.Errorf("7.3: attach type 59 of xdp: got %s by %s, want EINVAL", v.Errno, v.ID)
	}
}
