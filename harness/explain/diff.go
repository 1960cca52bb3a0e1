package explain

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/harness/arch"
	"tokentest/harness/count"
	"tokentest/harness/report"
)

// change is a kind of decision that two kernels make differently.
type change struct {
	from, to string // errno and rule
	n        int
	example  string
}

// Diff compares what the oracle expects of cases on two kernels, and writes how many decisions
// differ, by the rule that decides on each. A set-up that cases share counts once. For a kernel of another architecture
// it also writes what its JIT compiler changes. said gets, now and then, how far it is, and "" at the end.
func Diff(ctx context.Context, w io.Writer, facts [2]*step.Facts, list []*cases.Case, said func(string)) error {
	if err := diff(ctx, w, facts, [2]string{facts[0].Release, facts[1].Release}, list, said); err != nil {
		return err
	}
	of := arch.Or(arch.Find(facts[1].Machine))
	if of == arch.Or(arch.Find(facts[0].Machine)) {
		return nil
	}
	own := facts[1].Release
	at := "on"
	if of.NoDefaultJIT {
		at = "off, and tokentest switches it on"
	}
	fmt.Fprintf(w, "\nthe JIT compiler of %s is %s at boot\n", own, at)
	for _, v := range withoutJIT(facts[1]) {
		fmt.Fprintln(w)
		if err := diff(ctx, w, [2]*step.Facts{facts[1], v.facts}, [2]string{own, own + v.name}, list, said); err != nil {
			return err
		}
	}
	return nil
}

// variant is a kernel with another setting or configuration.
type variant struct {
	name  string // follows the kernel's
	facts *step.Facts
}

// withoutJIT are the ways in which a kernel compiles no program.
func withoutJIT(f *step.Facts) []variant {
	off, none := *f, *f
	off.Settings = maps.Clone(f.Settings)
	if off.Settings == nil {
		off.Settings = map[string]step.Reading{}
	}
	off.Settings[step.JITEnable] = step.Reading{}
	none.ConfigOff = append(slices.Clone(f.ConfigOff), "BPF_JIT")
	return []variant{{" with " + step.JITEnable + "=0", &off}, {" without CONFIG_BPF_JIT", &none}}
}

// diff compares two kernels with such names.
func diff(ctx context.Context, w io.Writer, facts [2]*step.Facts, names [2]string, list []*cases.Case,
	said func(string)) error {
	defer said("")
	d := differ{facts: facts, names: names, worlds: map[*cases.World]bool{}, changes: map[[2]string]*change{}}
	for i, f := range facts {
		d.plays[i].Facts = f
	}
	for i := range d.only {
		d.only[i] = map[string]int{}
	}
	for i, c := range list {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if i%1000 == 0 {
			said(fmt.Sprintf("comparing %s and %s, %d of %s", names[0], names[1], i, count.Of(len(list), "case")))
		}
		if err := d.add(c); err != nil {
			return err
		}
	}
	said("")
	return d.write(w)
}

type differ struct {
	facts   [2]*step.Facts
	names   [2]string
	plays   [2]cases.Player
	worlds  map[*cases.World]bool // whose set-up was compared
	changes map[[2]string]*change
	only    [2]map[string]int // cases that only the other kernel can play, by reason
	both    int
	neither int
}

func (d *differ) add(c *cases.Case) error {
	before, _ := c.Unmet(d.facts[0])
	after, _ := c.Unmet(d.facts[1])
	switch {
	case before != nil && after != nil:
		d.neither++
		return nil
	case before != nil:
		d.only[1][before.String()]++
		return nil
	case after != nil:
		d.only[0][after.String()]++
		return nil
	}
	d.both++
	if !d.worlds[c.World] {
		d.worlds[c.World] = true
		setup := func(p *cases.Player) ([]sim.Expect, error) { return p.Setup(c.World) }
		if err := d.play(c.ID+", its set-up", setup, c.World.Info); err != nil {
			return err
		}
	}
	return d.play(c.ID, func(p *cases.Player) ([]sim.Expect, error) { return p.Play(c) }, c.Info())
}

// play compares what steps must show on both kernels.
func (d *differ) play(id string, play func(*cases.Player) ([]sim.Expect, error), info []cases.StepInfo) error {
	var expected [2][]sim.Expect
	for i := range d.plays {
		var err error
		if expected[i], err = play(&d.plays[i]); err != nil {
			return err
		}
	}
	for i := range info {
		a, b := expected[0][i], expected[1][i]
		if a.Verdict.Known == b.Verdict.Known && a.Verdict.Errno == b.Verdict.Errno && slices.Equal(a.Values, b.Values) &&
			a.Text == b.Text {
			continue
		}
		key, what := [2]string{decision(&a), decision(&b)}, info[i].Text
		switch {
		case key[0] != key[1]:
		case slices.Equal(a.Values, b.Values):
			key[1] += " with another text"
			what += fmt.Sprintf(": %q, %q", a.Text, b.Text)
		default:
			key[1] += " with other masks in its fdinfo"
			what += fmt.Sprintf(": %#x, %#x", a.Values, b.Values)
		}
		if d.changes[key] == nil {
			d.changes[key] = &change{from: key[0], to: key[1], example: id + ": " + what}
		}
		d.changes[key].n++
	}
	return nil
}

// decision names an answer and the rule that gives it.
func decision(e *sim.Expect) string { return answer(e) + " " + e.Verdict.ID }

func (d *differ) write(out io.Writer) error {
	list := slices.Collect(maps.Values(d.changes))
	slices.SortFunc(list, func(x, y *change) int { return cmp.Or(y.n-x.n, cmp.Compare(x.from+x.to, y.from+y.to)) })
	old, young := d.names[0], d.names[1]
	for _, c := range list {
		fmt.Fprintf(out, "%d: %s on %s, %s on %s\n  example %s\n", c.n, c.from, old, c.to, young, c.example)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, name := range d.names {
		for _, why := range slices.Sorted(maps.Keys(d.only[i])) {
			fmt.Fprintf(w, "only on %s\t%s\t%s\n", name, report.Count(d.only[i][why], "case"), why)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	changed := 0
	for _, c := range list {
		changed += c.n
	}
	change := "decisions change"
	if changed == 1 {
		change = "decision changes"
	}
	fmt.Fprintf(out, "%s on both, %d on neither, %d %s from %s to %s\n", report.Count(d.both, "case"), d.neither, changed,
		change, old, young)
	return nil
}
