package cases

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/oracle"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// A target is something that a kernel could get wrong and that a case would
// notice: a rule left out, two checks in the wrong order, a type in the wrong
// class, a bit that stands for another.
type target string

// suiteReleases are the kernels on each of which the suite must cover every target.
var suiteReleases = []string{"5.10", "6.1", "6.12", "7.3"}

// scout finds the targets of cases on one kernel.
type scout struct {
	t       *testing.T
	release string
	facts   *step.Facts
	found   map[*Case]map[target]bool
}

// targets returns what every case of the groups would notice.
func targets(t *testing.T, groups []*Group) map[*Case]map[target]bool {
	t.Helper()
	found := map[*Case]map[target]bool{}
	for _, release := range suiteReleases {
		s := &scout{t, release, released[release], found}
		for _, g := range groups {
			s.group(g)
		}
	}
	return found
}

func (s *scout) add(c *Case, format string, args ...any) {
	if s.found[c] == nil {
		s.found[c] = map[target]bool{}
	}
	s.found[c][target(s.release+" "+fmt.Sprintf(format, args...))] = true
}

// group plays the cases with every rule, and again without each rule that decided a case. To
// leave out any other rule changes nothing.
func (s *scout) group(g *Group) {
	if len(g.Known) > 0 || looksSlowly(g) {
		return // it has a machine to itself, or takes seconds
	}
	if slices.ContainsFunc(g.Worlds[0].Program.Actors, func(a step.Actor) bool { return a.Compat }) {
		return // not every machine runs programs of 32 bits, and they are answered like others
	}
	decided := map[string][]*Case{}
	for _, w := range g.Worlds {
		sim, rules := sim.New(s.facts, &w.Program, true), map[string]bool{}
		for i := range w.Program.Setup {
			note(rules, must(sim.Step(&w.Program.Setup[i])))
		}
		for _, c := range w.Cases {
			if !met(c, s.facts) {
				continue
			}
			own, fork := maps.Clone(rules), sim.Fork()
			cell := c.Cell()
			for i := range cell {
				note(own, s.step(c, fork, &cell[i]))
			}
			for rule := range own {
				decided[rule] = append(decided[rule], c)
			}
		}
	}
	for rule, cs := range decided {
		s.without(rule, cs)
	}
}

// looksSlowly reports whether a scenario reads /proc/kallsyms or a buffer, or
// bounds what a process may have: all are asked with --full.
func looksSlowly(g *Group) bool {
	return slices.ContainsFunc(g.Cases[0].Cell(), func(s step.Step) bool {
		return s.Op == step.OpKallsyms || s.Op == step.OpConsume || s.Op == step.OpMemory || has(&s, step.KeyNoFD) ||
			has(&s, step.KeyFromKernel)
	})
}

// note records the rules that decided a step or dropped its token.
func note(rules map[string]bool, e sim.Expect) {
	rules[e.Verdict.ID] = true
	for _, l := range e.Trace {
		if l.Drops && l.Holds {
			rules[l.ID] = true
		}
	}
}

// without finds the cases whose expectation changes if a rule is left out.
func (s *scout) without(rule string, cs []*Case) {
	type pair struct{ with, without *sim.Sim }
	sims := map[*World]pair{}
	for _, c := range cs {
		p, ok := sims[c.World]
		if !ok {
			p = pair{sim.New(s.facts, &c.World.Program, false), sim.New(s.facts, &c.World.Program, false)}
			p.without.Omit(rule)
			for i := range c.World.Program.Setup {
				must(p.with.Step(&c.World.Program.Setup[i]))
				must(p.without.Step(&c.World.Program.Setup[i]))
			}
			sims[c.World] = p
		}
		a, b, cell := p.with.Fork(), p.without.Fork(), c.Cell()
		for i := range cell {
			if must(a.Step(&cell[i])).Verdict.Errno != must(b.Step(&cell[i])).Verdict.Errno {
				s.add(c, "rule %s", rule)
			}
		}
	}
}

// isCommand reports whether an operation is a command of bpf(2), or bears on what one answers.
func isCommand(o step.Op) bool {
	return o.Row().Timed || o == step.OpSysctl || o == step.OpLSM || o == step.OpLSMRan
}

// step finds the targets that one step covers.
func (s *scout) step(c *Case, sim *sim.Sim, st *step.Step) sim.Expect {
	before := sim.Fork()
	e := must(sim.Step(st))
	if e.Trace == nil || !isCommand(st.Op) { // what surrounds bpf(2) is asked with --full
		return e
	}
	e.Trace = slices.DeleteFunc(e.Trace, isLimit)
	s.pairs(c, &e)
	if c.World.Hooks() {
		return e // what a program refuses says no more than that its rule is there
	}
	switch st.Op {
	case step.OpMapCreate, step.OpProgLoad:
		s.typed(c, sim, before, st, &e)
	case step.OpCall:
		cmd, _ := st.Num(step.KeyCmd)
		s.add(c, "call %d by %s for %s, CAP_SYS_ADMIN there: %v", cmd, e.Verdict.ID, place(sim, st),
			st.Caps.Has(uapi.CAP_SYS_ADMIN))
	default:
		s.add(c, "%s by %s for %s with %s", st.Op, e.Verdict.ID, place(sim, st), st.Caps)
	}
	return e
}

// typed finds the targets about the type of a created map or a loaded program.
func (s *scout) typed(c *Case, after, before *sim.Sim, st *step.Step, e *sim.Expect) {
	if helper, ok := st.Num(step.KeyHelper); ok { // the function that guards it is the same for all
		s.add(c, "helper %d by %s", helper, e.Verdict.ID)
		return
	}
	n, _ := st.Num(step.KeyType)
	at, _ := st.Num(step.KeyAttach)
	body, _ := st.Num(step.KeyBody)
	what := fmt.Sprintf("%s %d.%d body %d", st.Op, n, at, body)
	passed := e.Verdict.Errno == 0 || strings.HasSuffix(e.Verdict.ID, "/insns-unreadable")
	if passed || body != 0 || strings.Contains(e.Verdict.ID, "/no-cap-") ||
		strings.HasSuffix(e.Verdict.ID, "/unprivileged-disabled") {
		s.add(c, "%s by %s for %s", what, e.Verdict.ID, place(before, st))
		s.caps(c, what, after, before, st, e, passed)
		s.bits(c, before, st, e, passed)
	}
}

// isLimit reports whether a line is about a limit of a process.
func isLimit(l oracle.Line) bool { return slices.Contains(oracle.LimitRules(), l.ID) }

// isCommon reports whether a rule is about common attributes: common_attrs and common_log, which are full, and a test
// of the oracle show their order.
func isCommon(l oracle.Line) bool {
	_, id, _ := strings.Cut(l.ID, "/")
	return slices.Contains([]string{"common", "common-too-long", "common-unreadable", "log-unwritable", "log-full",
		"log-size"}, id) || l.ID == "map_create/log"
}

// place returns the namespace of a caller.
func place(s *sim.Sim, st *step.Step) string {
	c := s.Cred(st.Actor)
	switch {
	case c.Userns != oracle.Initial:
		return "a child namespace"
	case c.Euid == 0:
		return "root"
	}
	return "nobody"
}

// pairs finds neighbours in the kernel's order that both apply.
func (s *scout) pairs(c *Case, e *sim.Expect) {
	for i := 1; i < len(e.Trace); i++ {
		a, b := e.Trace[i-1], e.Trace[i]
		if a.Holds && b.Holds && (a.Decides || a.Drops) {
			s.add(c, "%s before %s", a.ID, b.ID)
		}
		if a.Decides {
			return
		}
	}
}

// asksForTwo is the rule that asks for two capabilities: neither one is enough.
const asksForTwo = "prog_load/arena"

// caps finds which capability a type needs, for a caller that owns no namespace and so has only
// the capabilities of the step.
func (s *scout) caps(c *Case, what string, after, before *sim.Sim, st *step.Step, e *sim.Expect, passed bool) {
	h, _ := st.Num(step.KeyToken)
	tok, cred := before.FD(st.Actor, step.Handle(h)).Token, before.Cred(st.Actor)
	if cred.Userns == oracle.Initial && cred.Euid != 0 || tok != nil && tok.Userns != cred.Userns {
		return
	}
	for _, k := range []uapi.Cap{uapi.CAP_BPF, uapi.CAP_PERFMON, uapi.CAP_NET_ADMIN} {
		switch {
		case passed && !st.Caps.Has(k) && !st.Caps.Has(uapi.CAP_SYS_ADMIN):
			s.add(c, "%s without %s, sysctl %d", what, k, min(after.UnprivDisabled(), 1))
		case passed && !st.Caps.Has(k):
			s.add(c, "%s with CAP_SYS_ADMIN for %s", what, k)
		case !passed && !st.Caps.Has(k):
			s.add(c, "%s refused by %s without %s", what, e.Verdict.ID, k)
		case !passed && e.Verdict.ID == asksForTwo:
			s.add(c, "%s refused by %s with %s", what, e.Verdict.ID, k)
		}
	}
}

// bits finds which other bits of the masks were seen not to stand for the
// type's own: set while it was refused for want of its own, or not set while
// it was let through.
func (s *scout) bits(c *Case, before *sim.Sim, st *step.Step, e *sim.Expect, passed bool) {
	h, ok := st.Num(step.KeyToken)
	tok := before.FD(st.Actor, step.Handle(h)).Token
	if !ok || tok == nil || before.Cred(st.Actor).Userns != tok.Userns {
		return
	}
	n, _ := st.Num(step.KeyType)
	at, _ := st.Num(step.KeyAttach)
	own := map[string][2]uint64{"type": {n, tok.Allowed.Maps}, "cmd": {uint64(uapi.BPF_MAP_CREATE), tok.Allowed.Cmds}}
	if st.Op == step.OpProgLoad {
		own = map[string][2]uint64{
			"type":   {n, tok.Allowed.Progs},
			"cmd":    {uint64(uapi.BPF_PROG_LOAD), tok.Allowed.Cmds},
			"attach": {at, tok.Allowed.Attachs},
		}
	}
	end := map[string]uint32{"type": sim64(st, sMax(s.facts)), "cmd": sim.KernelOf(s.facts).MaxCmd,
		"attach": sim.KernelOf(s.facts).MaxAttach}
	for mask, v := range own {
		dropped := slices.ContainsFunc(e.Trace, func(l oracle.Line) bool {
			return l.Drops && l.Holds && strings.HasSuffix(l.ID, "-"+mask)
		})
		for bit := range uint64(end[mask]) {
			set := v[1]&(1<<bit) != 0
			if bit != v[0] && (passed && !set || dropped && set) {
				s.add(c, "%s %s bit %d is not %d", st.Op, mask, bit, v[0])
			}
		}
	}
}

func sMax(f *step.Facts) [2]uint32 { k := sim.KernelOf(f); return [2]uint32{k.MaxMap, k.MaxProg} }

func sim64(st *step.Step, ends [2]uint32) uint32 {
	if st.Op == step.OpProgLoad {
		return ends[1]
	}
	return ends[0]
}

// covered returns the targets of cases and of their controls.
func covered(chosen []*Case, found map[*Case]map[target]bool) map[target]bool {
	all := map[target]bool{}
	for _, c := range chosen {
		maps.Copy(all, found[c])
	}
	return all
}

// TestGoldenSuite holds the default suite against everything but the sweeps:
// it must notice every fault that they notice.
func TestGoldenSuite(t *testing.T) {
	c, err := read(t.Context(), func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	found := targets(t, c.Groups)
	if *update {
		text := chooseSuite(c, found)
		if err := os.WriteFile("suite.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		suiteText = text
	}
	if err := c.pick(suiteText); err != nil {
		t.Fatal(err)
	}
	chosen, err := c.Select(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	have := covered(chosen, found)
	missing := 0
	for _, g := range c.Groups {
		for _, k := range g.Cases {
			for at := range found[k] {
				if !have[at] {
					have[at] = true
					if missing++; missing <= 2000 {
						t.Errorf(
							"the default suite does not notice %q, which %s would: make golden chooses again",
							at,
							k.ID,
						)
					}
				}
			}
		}
	}
	t.Logf("%d cases notice %d things", len(chosen), len(have))
}

// chooser adds the cases that cover the most targets for their cost.
type chooser struct {
	numbers map[target]int
	rest    map[*Case][]int // the targets of each case that are still to be noticed
	have    []bool
	chosen  map[*Case]bool
	worlds  map[*World]bool
	started map[string]bool // actors, by shape
	prices  map[*Case]float64
}

func chooseSuite(c *Corpus, found map[*Case]map[target]bool) string {
	ch := &chooser{numbers: map[target]int{}, rest: map[*Case][]int{}, chosen: map[*Case]bool{},
		worlds: map[*World]bool{}, started: map[string]bool{}, prices: map[*Case]float64{}}
	for k, list := range found {
		for at := range list {
			if _, ok := ch.numbers[at]; !ok {
				ch.numbers[at] = len(ch.numbers)
			}
			ch.rest[k] = append(ch.rest[k], ch.numbers[at])
		}
	}
	ch.have = make([]bool, len(ch.numbers))
	var cheap, dear []*Case
	for _, g := range c.Groups {
		for _, k := range g.Cases {
			switch {
			case !k.Full:
				ch.take(k)
			case len(g.Worlds) > manyWorlds:
				dear = append(dear, k)
			default:
				cheap = append(cheap, k)
			}
		}
	}
	for _, open := range [][]*Case{cheap, dear} {
		for best := ch.best(&open); best != nil; best = ch.best(&open) {
			ch.take(best)
		}
	}
	return ch.list(c)
}

// best returns the case that notices the most for its price, and leaves out
// of open what has nothing more to show.
func (ch *chooser) best(open *[]*Case) *Case {
	var best *Case
	var most float64
	*open = slices.DeleteFunc(*open, func(k *Case) bool {
		ch.rest[k] = slices.DeleteFunc(ch.rest[k], func(n int) bool { return ch.have[n] })
		if gain := float64(len(ch.rest[k])); gain > 0 {
			if worth := gain / ch.price(k); worth > most {
				best, most = k, worth
			}
		}
		return len(ch.rest[k]) == 0
	})
	return best
}

// manyWorlds is more than a group has whose cells share theirs: where each has
// one of its own, what it shows is looked for elsewhere first.
const manyWorlds = 40

// Microseconds under TCG.
const (
	priceStep  = 100.0
	priceMap   = 100.0
	priceProg  = 1200.0
	priceLong  = 60000.0 // a program of thousands of instructions
	priceWorld = 6000.0
	priceActor = 1000.0
	priceStart = 35000.0 // a process, whose program is started again
	priceThere = 5000.0  // a process that enters another namespace for one call
	priceMount = 4000.0
	priceHook  = 8000.0  // a program that a security hook runs
	priceText  = 60000.0 // a program at a function of the kernel
)

// price is the cost of a case and its controls.
func (ch *chooser) price(k *Case) float64 {
	seen := map[*Case]bool{}
	worlds := map[*World]bool{}
	return ch.closure(k, seen, worlds)
}

func (ch *chooser) closure(k *Case, seen map[*Case]bool, worlds map[*World]bool) float64 {
	if ch.chosen[k] || seen[k] {
		return 0
	}
	seen[k] = true
	cost := ch.own(k)
	if !ch.worlds[k.World] && !worlds[k.World] {
		worlds[k.World] = true
		cost += priceWorld
		for _, shape := range shapes(k.World.Program.Actors) {
			cost += priceActor
			if !ch.started[shape] {
				cost += priceStart
			}
		}
		for i := range k.World.Program.Setup {
			cost += priceOf(&k.World.Program.Setup[i])
		}
	}
	for _, g := range k.Guards() {
		cost += ch.closure(g, seen, worlds)
	}
	return cost
}

// own is the cost of the case's own steps.
func (ch *chooser) own(k *Case) float64 {
	cost, ok := ch.prices[k]
	if !ok {
		cell := k.Cell()
		for i := range cell {
			cost += priceOf(&cell[i])
		}
		ch.prices[k] = cost
	}
	return cost
}

// forked is the shape of an actor whose process no other world reuses.
const forked = ""

// shapes returns a key for each actor. The actors of two worlds with the same key can use the
// same process.
func shapes(cast []step.Actor) []string {
	out, seen := make([]string, len(cast)), map[string]int{}
	for i, a := range cast {
		if a.Kind == step.Child {
			continue
		}
		parent := ""
		if a.Parent >= 0 {
			parent = out[a.Parent]
		}
		shape := fmt.Sprintf("%d of %d in (%s)", a.Kind, a.UID, parent)
		seen[shape]++
		out[i] = fmt.Sprintf("%s, %d", shape, seen[shape])
	}
	return out
}

func priceOf(s *step.Step) float64 {
	cost := priceStep
	insns, _ := s.Num(step.KeyInsns)
	switch {
	case s.Op == step.OpExec || s.Op == step.OpLibrary || s.Op == step.OpRun:
		cost += priceStart
	case has(s, step.KeyInside):
		cost += priceThere
	case s.Op == step.OpBPFFS || s.Op == step.OpFscreate || s.Op == step.OpMount:
		cost += priceMount
	case s.Op == step.OpLSM:
		cost += priceHook
	case s.Op == step.OpLinkCreate && patchesText(s):
		cost += priceText
	case s.Op == step.OpProgLoad && insns > 4000:
		cost += priceLong
	case s.Op == step.OpProgLoad && !has(s, step.KeyAttr), s.Op == step.OpCall:
		cost += priceProg
	case s.Op == step.OpMapCreate:
		cost += priceMap
	}
	return cost
}

// patchesText reports whether attaching makes the kernel change its own code, which leaves nothing translated
// under TCG.
func patchesText(s *step.Step) bool {
	t, _ := s.Num(step.KeySpot)
	switch step.Spot(t) {
	case step.SpotFentry, step.SpotLSM, step.SpotLSMCgroup, step.SpotTPBTF, step.SpotRawTP, step.SpotKprobeMulti,
		step.SpotUprobeMulti, step.SpotFentryMulti:
		return true
	}
	return false
}

func has(s *step.Step, k step.Key) bool { _, ok := s.Num(k); return ok }

func (ch *chooser) take(k *Case) {
	if ch.chosen[k] {
		return
	}
	ch.chosen[k], ch.worlds[k.World] = true, true
	for _, shape := range shapes(k.World.Program.Actors) {
		ch.started[shape] = shape != forked
	}
	for _, n := range ch.rest[k] {
		ch.have[n] = true
	}
	for _, g := range k.Guards() {
		ch.take(g)
	}
}

// list writes the chosen cases in the corpus's order.
func (ch *chooser) list(c *Corpus) string {
	var b strings.Builder
	b.WriteString("# The cases of the groups marked full that the default suite runs: few that\n" +
		"# notice all that the groups would. make golden chooses them (suite_test.go).\n")
	for _, g := range c.Groups {
		names := []string{}
		for _, k := range g.Cases {
			if k.Full && ch.chosen[k] {
				names = append(names, k.ID)
			}
		}
		slices.SortFunc(names, cmp.Compare[string])
		for _, n := range names {
			b.WriteString(n + "\n")
		}
	}
	return b.String()
}
