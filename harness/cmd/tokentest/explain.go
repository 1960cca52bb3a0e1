package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

type explainFlags struct {
	release, facts string
	diff           bool
	btf            btfFlag
}

func (a *app) explainCmd() *cobra.Command {
	f := &explainFlags{}
	c := &cobra.Command{
		Use:   "explain CASE | explain --diff RELEASE RELEASE [CASE...]",
		Short: "show the world of a case, the rules in the kernel's order, and the pins",
		Long: `Play a case as the oracle sees it: the world, the rules in the kernel's order with
the deciding one marked, and the pins. --facts takes what a kernel of a stored run
said of itself in place of a release's description, --btf what is in a file, and a
kernel that is at hand is read from its image. An expectation that contradicts the
rules is marked, and the exit code is 2 then. --diff counts the decisions that
change between two releases, by the rule that decides on each side.`,
		Example: `  tokentest explain map_create/any/owner/CAP_BPF/with/devmap --kernel 6.12
  tokentest explain token_create --facts results/runs/RUN
  tokentest explain --diff 6.12 7.3 prog_load`,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case f.diff && f.facts != "":
				return usage.Errorf("--diff compares releases, --facts takes a run: want one of them")
			case f.btf.path != "" && (f.diff || f.facts != ""):
				return usage.Errorf("--btf is of one kernel that does not run: want it without --diff and --facts")
			case f.diff && len(args) < 2:
				return usage.Errorf("--diff: want two releases")
			case f.diff:
				return a.explainDiff(c.Context(), args)
			case len(args) != 1:
				return usage.Errorf("want %s", c.UseLine())
			}
			f.btf.kernel = c.Flags().Changed("kernel")
			return a.explainCase(c.Context(), args[0], f)
		},
	}
	c.Flags().StringVarP(&f.release, "kernel", "k", "7.3", "walk the rules of the kernel `RELEASE`, or of the one that a reference names; with --facts, a kernel of the run")
	c.Flags().StringVar(&f.facts, "facts", "", "take the facts of the kernels of a stored `RUN`")
	f.btf.register(c.Flags())
	c.Flags().BoolVar(&f.diff, "diff", false, "count the decisions that change between two releases")
	return c
}

func factsAt(release string) (*step.Facts, error) {
	r, err := uapi.ParseRelease(strings.TrimPrefix(release, "deb:"))
	if err != nil {
		return nil, usage.Errorf("%s: not a release; use for example 6.12", release)
	}
	return cases.FactsAt(r), nil
}

// oneKernel returns the facts that --kernel and --btf name. A packaged kernel
// that is not there is described by its release.
func (a *app) oneKernel(ctx context.Context, f *explainFlags) (*step.Facts, error) {
	if f.btf.path == "" && aRelease.MatchString(f.release) {
		return factsAt(f.release)
	}
	known, err := a.foresee(ctx, f.release, &f.btf)
	switch {
	case err != nil:
		return nil, err
	case known.facts != nil:
		return known.facts, nil
	}
	facts, err := factsAt(f.release)
	if err == nil {
		a.note("%s; its release is described", known.why)
	}
	return facts, err
}

// factsOf returns the facts of a run's kernels, or of the one that is named.
func factsOf(dir, kernel string) ([]*step.Facts, error) {
	r, err := runs.Head(dir)
	if err != nil {
		return nil, err
	}
	var out []*step.Facts
	var refs []string
	for _, k := range r.Kernels {
		refs = append(refs, k.Ref)
		if k.Facts != nil && (kernel == "" || kernel == k.Ref || kernel == k.Release) {
			out = append(out, k.Facts)
		}
	}
	if len(out) == 0 {
		return nil, usage.Errorf("--facts %s: no facts of %s; it has %s", dir, cmp.Or(kernel, "any kernel"), strings.Join(refs, " "))
	}
	return out, nil
}

func (a *app) explainCase(ctx context.Context, pattern string, f *explainFlags) error {
	var list []*step.Facts
	if f.facts == "" {
		one, err := a.oneKernel(ctx, f)
		if err != nil {
			return err
		}
		list = append(list, one)
	} else {
		kernel := ""
		if f.btf.kernel {
			kernel = f.release
		}
		var err error
		if list, err = factsOf(f.facts, kernel); err != nil {
			return err
		}
	}
	p, err := expand(ctx, oneKernel(f.release, []string{pattern}))
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.stdout)
	w := &explainer{Writer: out}
	err = w.explainOn(ctx, p.Cases, pattern, list, f.facts != "")
	if w.contradicted {
		a.code = result.ExitUsage
	}
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	return err
}

// explainOn explains the cases that match on each kernel. ran says that the
// kernels ran, and that their settings are known.
func (w *explainer) explainOn(ctx context.Context, list []*cases.Case, pattern string, kernels []*step.Facts,
	ran bool) error {
	for _, facts := range kernels {
		(&foreseen{facts: facts}).writeDrift(w)
		if ran {
			if err := writeMachine(w, facts); err != nil {
				return err
			}
		}
		for _, c := range list {
			if cases.Match(pattern, c.ID) || len(list) == 1 || strings.HasSuffix(pattern, ".txt") {
				if err := w.explain(ctx, c, facts); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// writeMachine shows the settings of a kernel that ran, and what the guest
// changed in it.
func writeMachine(out io.Writer, f *step.Facts) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "settings of %s\n", f.Release)
	for _, s := range f.States() {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", s.Name, s.Value(), s.Changed(), s.Func)
	}
	if len(f.Settings) == 0 {
		fmt.Fprintln(w, "  none: the run is older than their record")
	}
	fmt.Fprintln(w, "changed before the first case")
	for _, c := range f.Changes {
		refused := ""
		if c.Errno != 0 {
			refused = "refused: " + c.Errno.String()
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", c.Kind, c.Name, c.To, refused)
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// change is a kind of decision that two kernels make differently.
type change struct {
	from, to string // errno and rule
	n        int
	example  string
}

// explainDiff compares the decisions of cases on two releases. A set-up that
// cases share counts once.
func (a *app) explainDiff(ctx context.Context, args []string) error {
	var facts [2]*step.Facts
	for i := range facts {
		var err error
		if facts[i], err = factsAt(args[i]); err != nil {
			return err
		}
	}
	p, err := expand(ctx, plan.Request{Kernels: []string{defaultKernel}, Args: args[2:], Full: len(args) == 2})
	if err != nil {
		return err
	}
	d := differ{facts: facts, worlds: map[*cases.World]bool{}, changes: map[[2]string]*change{}}
	for i, f := range facts {
		d.plays[i].Facts = f
	}
	for i := range d.only {
		d.only[i] = map[string]int{}
	}
	for _, c := range p.Cases {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := d.add(c); err != nil {
			return err
		}
	}
	return d.write(a)
}

type differ struct {
	facts   [2]*step.Facts
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
		if a.Verdict.Known == b.Verdict.Known && a.Verdict.Errno == b.Verdict.Errno && slices.Equal(a.Values, b.Values) {
			continue
		}
		key, what := [2]string{decision(&a), decision(&b)}, info[i].Text
		if key[0] == key[1] {
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

func (d *differ) write(a *app) error {
	list := slices.Collect(maps.Values(d.changes))
	slices.SortFunc(list, func(x, y *change) int { return cmp.Or(y.n-x.n, cmp.Compare(x.from+x.to, y.from+y.to)) })
	old, young := d.facts[0].Release, d.facts[1].Release
	for _, c := range list {
		fmt.Fprintf(a.stdout, "%d: %s on %s, %s on %s\n  example %s\n", c.n, c.from, old, c.to, young, c.example)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for i, f := range d.facts {
		for _, why := range slices.Sorted(maps.Keys(d.only[i])) {
			fmt.Fprintf(w, "only on %s\t%d cases\t%s\n", f.Release, d.only[i][why], why)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	changed := 0
	for _, c := range list {
		changed += c.n
	}
	fmt.Fprintf(a.stdout, "%d cases on both, %d on neither, %d decisions change from %s to %s\n", d.both, d.neither, changed, old, young)
	return nil
}
