package cases

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokentest/cases/oracle"
	"tokentest/cases/sim"
	"tokentest/cases/step"
)

// asked is a step of a case, and what it must answer or show.
type asked struct {
	id, text, answer string
	words            []string
}

func (s *asked) String() string { return fmt.Sprintf("`%s`: `%s => %s`", s.id, s.text, s.answer) }

// pair is the evidence for a cover: a step that the check refuses, and one of the same group that it lets
// pass. For what a step shows, it is two steps that show different things.
type pair struct {
	refused, allowed *asked
	distance         int
}

func (p *pair) whole() bool { return p.refused != nil && p.allowed != nil }

// lacks says what a pair is without; p may be nil.
func (p *pair) lacks(c Cover) string {
	switch {
	case p == nil || p.refused == nil && c.ID != "":
		return "no case is refused by " + c.String()
	case c.ID == "":
		return c.Group + " shows one thing alone with " + c.Word
	}
	return "no step of the group passes " + c.String() + " and is allowed"
}

// reached is what the cases show on one release.
type reached struct {
	rules map[string]bool // that the kernel has, with some setting
	pairs map[Cover]*pair
}

// settingsShown are the settings that rules ask for, beside those of a plain boot.
var settingsShown = []map[string]int64{
	{},
	{step.Lockdown: step.LockdownConfidentiality, step.PtraceScope: 3},
	{step.JITHarden: 1, step.KptrRestrict: 1},
	{step.JITEnable: 0},
	{step.Mitigations: 1},
}

// reach plays the corpus on a kernel. Settings other than the plain ones are tried on scenarios alone.
func reach(ctx context.Context, c *Corpus, plain *step.Facts, points []Decision) (*reached, error) {
	out := &reached{map[string]bool{}, map[Cover]*pair{}}
	wanted := map[string][]Cover{} // by group, or by "" for any
	for i := range points {
		for _, cover := range points[i].Covers {
			if !slices.Contains(wanted[cover.Group], cover) {
				wanted[cover.Group] = append(wanted[cover.Group], cover)
			}
		}
	}
	half := map[*Group][]Cover{}
	for _, g := range c.Groups {
		look := newLook(out, slices.Concat(wanted[""], wanted[g.Name]))
		if err := look.plays(ctx, g, plain); err != nil {
			return nil, err
		}
		half[g] = look.half()
	}
	// The default suite's cells of a matrix show most. Where they show one side alone, all cells are played.
	for _, g := range c.Groups {
		left := slices.DeleteFunc(half[g], func(c Cover) bool { return out.pairs[c].whole() })
		if len(left) == 0 || g.Cases[0].Scenario() {
			continue
		}
		look := newLook(out, left)
		look.whole = true
		if err := look.plays(ctx, g, plain); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// plays plays a group with each setting.
func (l *groupLook) plays(ctx context.Context, g *Group, plain *step.Facts) error {
	for _, settings := range settingsShown {
		if len(settings) > 0 && !g.Cases[0].Scenario() {
			continue
		}
		if err := l.play(ctx, g, factsWith(plain, settings)); err != nil {
			return err
		}
	}
	l.judge()
	return nil
}

// factsWith are those of a kernel with settings.
func factsWith(plain *step.Facts, settings map[string]int64) *step.Facts {
	f := *plain
	f.MitigationsOff = settings[step.Mitigations] != 0
	f.Settings = map[string]step.Reading{}
	for name, v := range settings {
		f.Settings[name] = step.Reading{Booted: v, Running: v}
	}
	return &f
}

// sides are the steps that a check refused and those that passed it, in one group.
// elsewhere are allowed steps on a kernel whose settings leave the check out.
type sides struct{ refused, allowed, elsewhere []*asked }

// half are the covers of which the group shows that the check refuses, and no more.
func (l *groupLook) half() []Cover {
	var out []Cover
	for cover, s := range l.seen {
		if len(s.refused) > 0 && len(s.allowed)+len(s.elsewhere) == 0 {
			out = append(out, cover)
		}
	}
	return out
}

// enough bounds the steps that are kept of each side.
const enough = 60

func (s *sides) add(list *[]*asked, one *asked) {
	if len(*list) < enough {
		*list = append(*list, one)
	}
}

// groupLook looks at the cases of one group.
type groupLook struct {
	out    *reached
	covers map[string][]Cover // by the command of the rule, or by "" for what a step shows
	seen   map[Cover]*sides
	whole  bool // all cells, not only those of the default suite
}

func newLook(out *reached, covers []Cover) *groupLook {
	l := &groupLook{out: out, covers: map[string][]Cover{}, seen: map[Cover]*sides{}}
	for _, c := range covers {
		command := commandOf(c.ID)
		l.covers[command] = append(l.covers[command], c)
	}
	return l
}

// commandOf is the command of a rule COMMAND/RULE.
func commandOf(rule string) string {
	command, _, _ := strings.Cut(rule, "/")
	return command
}

func (l *groupLook) play(ctx context.Context, g *Group, f *step.Facts) error {
	p := &Player{Facts: f, Explain: true}
	setups := map[*World]bool{}
	for _, c := range g.Cases {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if need, _ := c.Unmet(f); need != nil || c.Full && !c.Scenario() && !l.whole {
			continue
		}
		if !setups[c.World] {
			setups[c.World] = true
			setup := *c
			setup.ID = g.Name
			expect, err := p.Setup(c.World)
			if err != nil {
				return err
			}
			for i := range expect {
				l.step(&setup, &c.World.Program.Setup[i], &c.World.Info[i], &expect[i], f)
			}
		}
		expect, err := p.Play(c)
		if err != nil {
			return err
		}
		cell, info := c.Steps()
		for i := range expect {
			l.step(c, &cell[i], &info[i], &expect[i], f)
		}
	}
	return nil
}

// step notes what one step says about the covers: those of the commands whose rules it went through, and those
// of what it shows.
func (l *groupLook) step(c *Case, st *step.Step, info *StepInfo, e *sim.Expect, f *step.Facts) {
	if !e.Verdict.Known {
		return
	}
	one := &asked{c.ID, info.Text, e.Verdict.Errno.String(), strings.Fields(info.Text)}
	lines := map[string]*oracle.Line{}
	var commands []string
	for i := range e.Trace {
		id := e.Trace[i].ID
		lines[id] = &e.Trace[i]
		l.out.rules[id] = true
		if command := commandOf(id); !slices.Contains(commands, command) {
			commands = append(commands, command)
		}
	}
	for _, command := range commands {
		for _, cover := range l.covers[command] {
			l.rule(cover, lines[cover.ID], one, e, func() bool { return dropMatters(c, f, cover) })
		}
	}
	for _, cover := range l.covers[""] {
		if st.Op.String() == cover.Word && e.Verdict.Errno == 0 {
			shown := *one
			shown.answer = partOf(strings.TrimSpace(fmt.Sprint(e.Text, " ", e.Values)), cover.Part)
			s := l.of(cover)
			s.add(&s.allowed, &shown)
		}
	}
}

// partOf is the part of a text that begins with a word: the parts are between commas.
func partOf(text, word string) string {
	if word == "" {
		return text
	}
	for part := range strings.SplitSeq(text, ", ") {
		if strings.HasPrefix(part, word) {
			return part
		}
	}
	return "no " + word
}

// rule notes what a step says about the cover of a rule. The line is nil if the kernel did not have the rule
// for this step. matters reports whether the case would end otherwise without the rule.
func (l *groupLook) rule(cover Cover, line *oracle.Line, one *asked, e *sim.Expect, matters func() bool) {
	if line == nil {
		if e.Verdict.Errno == 0 {
			s := l.of(cover)
			s.add(&s.elsewhere, one)
		}
		return
	}
	if cover.Word != "" && !slices.Contains(one.words, cover.Word) {
		return
	}
	s := l.of(cover)
	switch {
	case line.Decides, line.Drops && line.Holds && !e.OK() && len(s.refused) == 0 && matters():
		s.add(&s.refused, one)
	case !line.Holds && e.Verdict.Errno == 0 && (cover.Passes == "" || slices.Contains(one.words, cover.Passes)):
		s.add(&s.allowed, one)
	}
}

func (l *groupLook) of(c Cover) *sides {
	if l.seen[c] == nil {
		l.seen[c] = &sides{}
	}
	return l.seen[c]
}

// dropMatters reports whether a case would end otherwise if a rule that drops the token were left out.
func dropMatters(c *Case, f *step.Facts, cover Cover) bool {
	with, err := (&Player{Facts: f}).Play(c)
	without, err2 := (&Player{Facts: f, Omit: cover.ID}).Play(c)
	return err == nil && err2 == nil && !slices.EqualFunc(with, without, func(a, b sim.Expect) bool {
		return a.Verdict.Errno == b.Verdict.Errno
	})
}

// judge keeps the nearest pair of each cover, if it is better than that of the groups before.
func (l *groupLook) judge() {
	for _, cover := range slices.SortedFunc(maps.Keys(l.seen), func(a, b Cover) int {
		return strings.Compare(a.String(), b.String())
	}) {
		s := l.seen[cover]
		if cover.ID == "" {
			s.differ()
		}
		best := l.out.pairs[cover]
		for _, r := range s.refused {
			if best == nil {
				best = &pair{refused: r}
			}
			for _, a := range s.elsewhere {
				if a.text == r.text {
					best = &pair{r, a, 0}
				}
			}
			for _, a := range s.allowed {
				if d := distance(r.words, a.words); best.allowed == nil || d < best.distance {
					best = &pair{r, a, d}
				}
			}
		}
		if best != nil {
			l.out.pairs[cover] = best
		}
	}
}

// differ puts a step that shows something else than the first one on the other side.
func (s *sides) differ() {
	for _, one := range s.allowed {
		if one.answer != s.allowed[0].answer {
			s.refused = []*asked{one}
		}
	}
	s.allowed = s.allowed[:min(1, len(s.allowed))]
}

// distance counts the words that only one of two steps has.
func distance(a, b []string) int {
	n := 0
	for _, w := range a {
		if !slices.Contains(b, w) {
			n++
		}
	}
	for _, w := range b {
		if !slices.Contains(a, w) {
			n++
		}
	}
	return n
}
