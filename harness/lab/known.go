package lab

import (
	"context"
	"fmt"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/arch"
	"tokentest/harness/kernel"
	"tokentest/harness/result"
	"tokentest/harness/splat"
)

// allowOn returns the findings that do not count on a kernel: Lab.Allow, and those of
// defects that the kernel is known to have. The cases of such a defect are run apart, by
// provoke.
func (l *Lab) allowOn(k *kernel.Kernel) *splat.Allow {
	out := l.Allow
	for i := range l.Known {
		d := &l.Known[i]
		if !d.In(&step.Facts{Release: k.Release, Machine: arch.Or(k.Arch).Machine, Config: k.Config}) {
			continue
		}
		for _, title := range d.Titles {
			out = out.Add(title, d.Reason, d.Where)
		}
	}
	return out
}

// provoke boots a machine for each case that needs one to itself, and compares how it ended
// with the defects that the kernel is known to have.
func (t *trial) provoke(ctx context.Context, alone []*cases.Case) {
	defer func(was *splat.Allow) { t.allow = was }(t.allow)
	t.allow = t.lab.Allow
	t.provoking = true
	defer func() { t.provoking = false }()
	for _, c := range alone {
		if t.judge != nil {
			if r := t.judge.Unmet(c); r != nil {
				t.set(c, *r)
				continue
			}
		}
		b := t.boot(ctx, []*cases.Case{c}, 1)
		for n := 1; !t.ended(ctx) && (b.cut || b.starved() && !t.results.has(c) && n < maxStrikes); n++ {
			b = t.boot(ctx, []*cases.Case{c}, 1)
		}
		switch {
		case t.ended(ctx):
			t.markInterrupted(ctx, alone)
			return
		case b.hopeless():
			t.abandon(alone, b.cause(), fmt.Sprintf("the machine is %s: %s", b.exit.Fate, b.exit.Reason))
			return
		}
		t.abandon([]*cases.Case{c}, result.Cause{Kind: result.Unanswered}, unanswered)
		r := t.results.of(c)
		result.Known(c, t.out.Facts, &t.out.Boots[len(t.out.Boots)-1], r)
		t.results.set(c, *r)
	}
}
