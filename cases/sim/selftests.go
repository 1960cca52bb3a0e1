package sim

import (
	"cmp"
	"maps"
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// named is a program that was loaded and has a name.
type named struct {
	actor  uint32
	handle step.Handle
	name   string
	symbol oracle.Symbol
}

// subName is the name of a function of a program that has no BTF.
const subName = "F"

// name records the name of a program that an actor keeps open.
func (s *Sim) name(st *step.Step, is oracle.Symbol) {
	for _, arg := range st.Args {
		switch {
		case arg.Key == step.KeyName:
			s.symbols = append(s.symbols, named{st.Actor, st.Out, arg.Str, is})
		case arg.Key == step.KeyBody && step.Body(arg.Num) == step.BodySubprog:
			sub := is
			sub.Sub = true
			s.symbols = append(s.symbols, named{st.Actor, st.Out, subName, sub})
		}
	}
}

// unname removes the program of a descriptor that is closed.
func (s *Sim) unname(st *step.Step, h step.Handle) {
	s.symbols = slices.DeleteFunc(slices.Clone(s.symbols),
		func(y named) bool { return y.actor == st.Actor && y.handle == h })
}

func (s *Sim) kallsyms(a *actor, st *step.Step) Expect {
	req := &oracle.Symbol{}
	for _, arg := range st.Args {
		for i := range s.symbols {
			if arg.Key == step.KeyName && s.symbols[i].name == arg.Str {
				req = &s.symbols[i].symbol
			}
		}
	}
	return s.decide(a, st, req)
}

// barriers compares what the verifier put into a program. Only root, who has
// every capability, is followed.
func (s *Sim) barriers(a *actor, st *step.Step) Expect {
	fd := a.handle(st, step.KeyHandle)
	if a.cred.Userns != oracle.Initial || !st.Caps.Has(uapi.CAP_BPF) || fd.Loaded == nil {
		return Expect{Verdict: oracle.Verdict{Rule: "the rules follow root, and programs that were loaded",
			ID: "barriers/not-modelled"}}
	}
	e := s.decide(a, st, &oracle.Instructions{Of: &fd.Loaded.Symbol})
	if !e.OK() {
		return e
	}
	e.Verdict = oracle.Verdict{Known: true, Rule: "the verifier adds barriers against Speculative Store Bypass if the " +
		"loader lacks CAP_PERFMON",
		Func: "bpf_bypass_spec_v4", ID: "barriers"}
	e.Text = "0 barriers"
	if fd.Loaded.Spills && !fd.Loaded.Symbol.BypassesSpecV4(s.kernel) {
		e.Text = "1 barriers"
	}
	return e
}

var libraryRequests = map[step.Make]func() []func(oracle.TokenRef) oracle.Request{
	step.MakeQueue: oracle.LibraryQueue, step.MakeBTF: oracle.LibraryBTF, step.MakeProg: oracle.LibraryProg,
	step.MakeFreplace: oracle.LibraryFreplace,
}

// element plays a call about an element. A map of programs gets one of root's.
func (s *Sim) element(a *actor, st *step.Step) Expect {
	do, _ := st.Num(step.KeyDo)
	req := &oracle.Element{FD: a.handle(st, step.KeyHandle), Do: elementCmds[step.Do(do)]}
	e := s.decide(a, st, req)
	if e.OK() {
		req.Apply()
	}
	return e
}

var elementCmds = map[step.Do]uapi.Cmd{
	step.DoUpdate: uapi.BPF_MAP_UPDATE_ELEM, step.DoLookup: uapi.BPF_MAP_LOOKUP_ELEM,
	step.DoDelete: uapi.BPF_MAP_DELETE_ELEM,
}

func (s *Sim) objGet(a *actor, st *step.Step) Expect {
	req := &oracle.ObjGet{In: a.handle(st, step.KeyIn), Name: text(st, step.KeyPath),
		Flags: or(st, step.KeyFlags, 0)}
	e := s.decide(a, st, req)
	if e.OK() {
		if n := req.Node(s.callerOf(a, st)); n != nil && n.Object != nil {
			fd := *n.Object
			fd.Only, fd.Opener = 0, s.callerOf(a, st)
			if fd.Map != uapi.BPF_MAP_TYPE_UNSPEC {
				fd.Only = oracle.DirectionOf(req.Flags)
			}
			a.keep(st, fd)
		}
	}
	return e
}

// consume runs a program; the rest is no call of bpf(2) but of memory that is
// mapped, and of the sysctl perf_event_paranoid, which is open in the guest.
func (s *Sim) consume(a *actor, st *step.Step) Expect {
	return s.decide(a, st, &oracle.Call{Cmd: uapi.BPF_PROG_TEST_RUN})
}

func (s *Sim) library(a *actor, st *step.Step) Expect {
	n, _ := st.Num(step.KeyMake)
	return s.decide(a, st, &oracle.Library{Mounts: s.ambient(a), Requests: libraryRequests[step.Make(n)]()})
}

// ambient returns the bpffs that an application finds in its mount namespace, in the
// order in which the places were first mounted on. The top mount of a place counts.
// The bpffs of the initial namespace comes first; no token can be made from it.
func (s *Sim) ambient(a *actor) []*oracle.BPFFS {
	places := s.tables[a.mounts]
	order := slices.SortedFunc(maps.Keys(places), func(x, y uint64) int {
		return cmp.Compare(first(places[x]),
			first(places[y]))
	})
	var out []*oracle.BPFFS
	for _, at := range order {
		if n := len(places[at]); n > 0 {
			out = append(out, places[at][n-1].FS)
		}
	}
	return out
}

// first says when something came to be mounted on a place.
func first(all []*oracle.Mount) int {
	if len(all) == 0 {
		return 0
	}
	return all[0].Seq
}
