package cases

import (
	"maps"
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/program"
)

var parityOps = []opSpec{
	{op: program.OpKallsyms, keys: []keySpec{nameKey}, required: []program.Key{program.KeyName},
		doc: "ok if /proc/kallsyms holds a program of the name, or for F a further function of a program, else ENOENT"},
	{op: program.OpLibrary, keys: []keySpec{{program.KeyMake, "make", kindMake, "queue, btf (a map that names one), prog (XDP with helpers), freplace"}}, required: []program.Key{program.KeyMake},
		doc: "run an application that uses cilium/ebpf, which finds a token by itself; the answer is the errno that it gets, EOPNOTSUPP for the library's own ErrNotSupported"},
}

// simSymbol is a program that was loaded and has a name.
type simSymbol struct {
	actor  uint32
	handle program.Handle
	name   string
	symbol oracle.Symbol
}

// subName is the name of a function of a program that has no BTF.
const subName = "F"

// name notes a program that an actor keeps.
func (s *Sim) name(a *simActor, st *program.Step, tok *oracle.Token) {
	loader := a.cred
	loader.Caps = st.Caps
	is := oracle.Symbol{Loaded: true, Token: tok, Loader: loader}
	for _, arg := range st.Args {
		switch {
		case arg.Key == program.KeyName:
			s.symbols = append(s.symbols, simSymbol{st.Actor, st.Out, arg.Str, is})
		case arg.Key == program.KeyBody && program.Body(arg.Num) == program.BodySubprog:
			sub := is
			sub.Sub = true
			s.symbols = append(s.symbols, simSymbol{st.Actor, st.Out, subName, sub})
		}
	}
}

// unname forgets what a descriptor stood for that is closed.
func (s *Sim) unname(st *program.Step, h program.Handle) {
	s.symbols = slices.DeleteFunc(slices.Clone(s.symbols), func(y simSymbol) bool { return y.actor == st.Actor && y.handle == h })
}

func (s *Sim) kallsyms(a *simActor, st *program.Step) Expect {
	req := &oracle.Symbol{}
	for _, arg := range st.Args {
		for i := range s.symbols {
			if arg.Key == program.KeyName && s.symbols[i].name == arg.Str {
				req = &s.symbols[i].symbol
			}
		}
	}
	return s.decide(a, st, req)
}

var libraryRequests = map[program.Make]func() []func(oracle.TokenRef) oracle.Request{
	program.MakeQueue: oracle.LibraryQueue, program.MakeBTF: oracle.LibraryBTF, program.MakeProg: oracle.LibraryProg, program.MakeFreplace: oracle.LibraryFreplace,
}

func (s *Sim) library(a *simActor, st *program.Step) Expect {
	n, _ := st.Num(program.KeyMake)
	return s.decide(a, st, &oracle.Library{Mounts: s.ambient(a), Requests: libraryRequests[program.Make(n)]()})
}

// ambient returns the bpffs that an actor's mount namespace has, in the order
// of the places. That of the initial namespace, which comes first, gives nobody
// a token.
func (s *Sim) ambient(a *simActor) []*oracle.BPFFS {
	places := s.tables[a.mounts]
	var out []*oracle.BPFFS
	for _, at := range slices.Sorted(maps.Keys(places)) {
		for _, m := range places[at] {
			out = append(out, m.FS)
		}
	}
	return out
}
