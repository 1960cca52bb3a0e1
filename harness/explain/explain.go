// Package explain says what a kernel must answer, without booting it: the rules that decide a
// case, what two releases decide differently, which cases a kernel would skip, which options of a
// configuration are missing, and which rules stored runs depend on.
//
// It decides nothing itself: package oracle holds the rules, and package sim plays them.
//
// Start with Explainer for a case, and with Foresee for a kernel.
package explain

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
)

// Explainer writes what the oracle says of cases.
type Explainer struct {
	io.Writer
	Contradicted bool // some expectation is not what the rules say
}

// Cases explains cases on each kernel. ran says that the kernels ran, and that their settings
// are known. The error is the context's cause if ctx ends first.
func (w *Explainer) Cases(ctx context.Context, list []*cases.Case, kernels []*step.Facts, ran bool) error {
	for _, facts := range kernels {
		(&Forecast{Facts: facts}).WriteDrift(w)
		if ran {
			if err := writeMachine(w, facts); err != nil {
				return err
			}
		}
		for _, c := range list {
			if err := w.explain(ctx, c, facts); err != nil {
				return err
			}
		}
	}
	return nil
}

// explain plays a case as the oracle sees it. The error is the context's cause
// if ctx ends first.
func (w *Explainer) explain(ctx context.Context, c *cases.Case, f *step.Facts) error {
	fmt.Fprintf(w, "%s on %s\n%s\n\n", c.ID, f.Release, c.Group.About)
	switch unmet, refuted := c.Unmet(f); {
	case refuted != "":
		fmt.Fprintf(w, "fails: %s\n", refuted)
		return nil
	case unmet != nil:
		fmt.Fprintf(w, "skipped: %s\n", unmet)
		return nil
	}
	for _, actor := range c.World.Program.Actors {
		fmt.Fprintf(w, "actor %s\n", describe(actor, c.World.Program.Actors))
	}
	play := &cases.Player{Facts: f, Explain: true}
	expected, err := play.Setup(c.World)
	if err == nil {
		err = w.steps(ctx, c.World.Info, expected, false)
	}
	if err == nil {
		if expected, err = play.Play(c); err == nil {
			err = w.steps(ctx, c.Info(), expected, true)
		}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w)
	return err
}

// steps writes what each step must show. The error is the context's cause if ctx ends
// first.
func (w *Explainer) steps(ctx context.Context, info []cases.StepInfo, expected []sim.Expect, rules bool) error {
	for i := range expected {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.step(&info[i], &expected[i], rules)
	}
	return nil
}

func describe(a step.Actor, all []step.Actor) string {
	where := "in the initial namespaces"
	switch {
	case a.Kind == step.Joins:
		where = "in the namespaces of " + all[a.Parent].Name
	case a.Kind == step.Userns && a.Parent >= 0:
		where = "in a user namespace below that of " + all[a.Parent].Name
	case a.Kind == step.Userns:
		where = "in a user namespace of its own"
	}
	return fmt.Sprintf("%s: %s, kuid %d, capabilities %s", a.Name, where, a.UID, a.Caps)
}

func (w *Explainer) step(info *cases.StepInfo, e *sim.Expect, rules bool) {
	fmt.Fprintf(w, "\n%s\n  => %s: %s (%s)\n", info.Text, answer(e), e.Verdict.Rule, e.Verdict.Func)
	if info.Pin != nil {
		fmt.Fprintf(w, "  pinned %s by %s %s\n", info.Pin.Errno, info.Pin.Where, info.Pin.Note)
		if e.Verdict.Known && e.Verdict.Errno != info.Pin.Errno {
			w.Contradicted = true
			fmt.Fprintf(w, "  ! the expectation %s contradicts the rules, which say %s\n", info.Pin.Errno, e.Verdict.Errno)
		}
	}
	if !rules {
		return
	}
	for _, l := range e.Trace {
		mark, outcome := " ", l.Errno.String()
		switch {
		case l.Decides:
			mark = "*"
		case l.Holds:
			mark = "+"
		}
		if l.Drops {
			outcome = "drop"
		}
		fmt.Fprintf(w, "  %s %-7s %-40s %s\n", mark, outcome, l.Func, l.Rule)
	}
}

func answer(e *sim.Expect) string {
	if !e.Verdict.Known {
		return "unknown (" + string(e.Verdict.Unknown()) + ")"
	}
	return e.Verdict.Errno.String()
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
