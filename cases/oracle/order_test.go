package oracle

import (
	"slices"
	"strings"
	"testing"

	"tokentest/cases/uapi"
)

// order is one command's rules as kernel-semantics lists its checks, and the
// adjacent pairs that no world can hold together, with the reason.
type order struct {
	cmd    string
	kernel *Kernel // whose rules are listed
	rules  []string
	never  map[[2]string]string
	each   func(f func(w *World, r Request))
}

const (
	gone       = "a dropped token is looked at no more"
	noToken    = "what is no token has no masks"
	oneClass   = "a map type has one class"
	ownType    = "they are of different types"
	oneFD      = "a descriptor is closed or no BTF"
	oneBody    = "a program is one program"
	oneMap     = "a descriptor is closed or no map"
	faulty     = "attr-too-long attr-unreadable attr-tail"
	mapFirst   = faulty + " btf-ids map-extra file-flags numa-node bad-type inner-value zero-seed alloc-flags lru-prealloc alloc-sizes alloc-too-big " + mapGateIDs
	mapNew     = faulty + " btf-ids map-extra numa-node bad-type inner-value zero-seed alloc-flags lru-prealloc alloc-sizes alloc-too-big " + mapGateIDs + " file-flags-late"
	mapGateIDs = "token-bad-fd token-not-a-token token-not-covering-cmd token-not-covering-type unprivileged-disabled no-cap-bpf no-cap-net-admin " +
		"offload-privileged offload-device inner-fd alloc-late bad-name btf-closed btf-none btf-sizes special-fields"
	progTokenIDs = "token-bad-fd token-not-a-token token-not-covering-cmd token-not-covering-type token-not-covering-attach "
	progIDs      = "unprivileged-disabled insn-count no-cap-bpf no-cap-net-admin no-cap-perfmon attach-fd attach-btf-id "
)

var mapNever = map[[2]string]string{
	{"bad-type", "inner-value"}:                           ownType,
	{"token-not-a-token", "token-not-covering-cmd"}:       noToken,
	{"token-not-covering-cmd", "token-not-covering-type"}: gone,
	{"no-cap-bpf", "no-cap-net-admin"}:                    oneClass,
	{"inner-fd", "alloc-late"}:                            ownType,
	{"btf-closed", "btf-none"}:                            oneFD,
	{"btf-none", "btf-sizes"}:                             oneFD,
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
		cmd: "token_create", kernel: k612, // 2.1; "unknown" never holds where the others do not
		rules: strings.Fields("attr-too-long attr-unreadable unknown attr-tail flags bad-fd not-root foreign-userns no-cap-bpf initial-userns nothing-delegated no-fd-late"),
		each:  eachWorld([]*Kernel{k61, k612}, []int{2}, places, tokenCreates),
	},
	{
		cmd: "map_create", kernel: k612, rules: strings.Fields(mapFirst), never: mapNever, // 3.3
		each: eachWorld([]*Kernel{k612}, []int{0, 2}, places[:2], mapCreates, mapAttrs),
	},
	{
		cmd: "map_create", kernel: k73, rules: strings.Fields(mapNew), never: mapNever,
		each: eachWorld([]*Kernel{k73}, []int{0, 2}, places[:2], mapCreates, mapAttrs),
	},
	{
		cmd: "prog_load", kernel: k73, // 3.4
		rules: strings.Fields("attr-too-long attr-unreadable log flags " + progTokenIDs + progIDs + "multi-not-tracing bad-attach-type insns-unreadable offload bad-type bad-name " +
			"helper-bpf helper-perfmon helper-sys-admin skb-data pointer-leak uninit-stack variable-stack subprog map-bad-fd map-no-map"),
		never: progNever,
		each:  eachWorld([]*Kernel{k73}, []int{0, 2}, places[:1], progLoads, progAttrs),
	},
	{
		cmd: "prog_load", kernel: k612,
		rules: strings.Fields("attr-too-long attr-unreadable flags " + progTokenIDs + progIDs + "bad-attach-type insns-unreadable offload bad-type bad-name " +
			"log-late helper-bpf helper-perfmon helper-sys-admin-initial skb-data pointer-leak uninit-stack variable-stack subprog map-bad-fd map-no-map"),
		never: progNever,
		each:  eachWorld([]*Kernel{k612}, []int{0, 2}, places[:1], progLoads, progAttrs),
	},
	{
		cmd: "btf_load", kernel: k612, // 3.5
		rules: strings.Fields(faulty + " flags token-bad-fd token-not-a-token token-not-covering no-cap-bpf log-late junk"),
		never: map[[2]string]string{{"token-not-a-token", "token-not-covering"}: noToken},
		each:  eachWorld([]*Kernel{k612}, []int{2}, places, btfLoads),
	},
	{
		cmd: "btf_load", kernel: k73,
		rules: strings.Fields("attr-too-long attr-unreadable log attr-tail flags token-bad-fd token-not-a-token token-not-covering no-cap-bpf junk"),
		never: map[[2]string]string{{"token-not-a-token", "token-not-covering"}: noToken},
		each:  eachWorld([]*Kernel{k73}, []int{2}, places, btfLoads),
	},
	{
		cmd: "btf_load", kernel: k61,
		rules: strings.Fields(faulty + " flag-unknown no-cap-bpf log-late junk"),
		each:  eachWorld([]*Kernel{k61}, []int{2}, places[:2], btfLoads),
	},
}

func eachWorld[R Request](kernels []*Kernel, sysctls []int, from []place, requests ...func(func(R))) func(func(*World, Request)) {
	return func(f func(*World, Request)) {
		worlds(kernels, sysctls, from, func(w *World, _ *place, caps uapi.CapSet) {
			few := caps&(caps-1) == 0 || caps == capsNet|capsSys|capsPerf|capsBPF
			for i, each := range requests {
				if i > 0 && !few {
					continue // what is wrong with an attribute hangs on single capabilities
				}
				each(func(r R) { f(w, r) })
			}
		})
	}
}

// TestOrder plays every small world. Of two checks that both refuse, the one
// that the kernel makes first must decide; every rule must decide somewhere,
// and every pair of neighbours meet somewhere or be listed as unable to.
func TestOrder(t *testing.T) {
	for _, o := range orders {
		t.Run(o.cmd+"/"+o.kernel.Release.String(), func(t *testing.T) {
			decides := map[string]int{}
			meets := map[[2]string]int{}
			o.each(func(w *World, r Request) {
				v, trace := Explain(w, r)
				if d := Decide(w, r); d != v {
					t.Fatalf("%+v: Decide says %+v, Explain %+v", r, d, v)
				}
				o.play(t, r, v, trace, decides, meets)
			})
			if t.Failed() {
				return
			}
			for i, id := range o.rules {
				if decides[id] == 0 {
					t.Errorf("no world is decided by %s", id)
				}
				if i == 0 {
					continue
				}
				pair := [2]string{o.rules[i-1], id}
				why, never := o.never[pair]
				switch {
				case never && meets[pair] > 0:
					t.Errorf("%s holds in %d worlds, although %s", pair, meets[pair], why)
				case !never && meets[pair] == 0:
					t.Errorf("%s hold together in no world", pair)
				}
			}
		})
	}
}

// play checks one explanation against the order.
func (o *order) play(t *testing.T, r Request, v Verdict, trace []Line, decides map[string]int, meets map[[2]string]int) {
	t.Helper()
	var ids []string
	first := "allowed"
	trace = slices.DeleteFunc(trace, func(l Line) bool { return isLSM(l) || slices.Contains(LimitRules(), l.ID) }) // which have tests of their own
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
			decides[id]++ // a rule that drops the token decides that it is gone
			if i+1 < len(trace) && trace[i+1].Holds {
				meets[[2]string{id, trace[i+1].ID[len(o.cmd)+1:]}]++
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

// The rules that a release does not have are not in its explanation.
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
