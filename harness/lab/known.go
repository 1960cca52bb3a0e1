package lab

import (
	"context"
	"fmt"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/kernel"
	"tokentest/harness/result"
	"tokentest/harness/splat"
)

// allowOn is what does not count on a kernel. That it has a defect is what its
// own cases show; here nobody looks for it.
func (l *Lab) allowOn(k *kernel.Kernel) *splat.Allow {
	out := l.Allow
	for i := range l.Known {
		d := &l.Known[i]
		if !d.In(&step.Facts{Release: k.Release, Config: k.Config}) {
			continue
		}
		for _, title := range d.Titles {
			out = out.Add(title, d.Reason, d.Where)
		}
	}
	return out
}

// provoke boots a machine for each case that needs one to itself, and holds
// how it ended against the defects that the kernel is known to have.
func (t *trial) provoke(ctx context.Context, alone []*cases.Case) {
	defer func(was *splat.Allow) { t.allow = was }(t.allow)
	t.allow = t.lab.Allow
	for _, c := range alone {
		if t.judge != nil {
			if r := t.judge.Unmet(c); r != nil {
				t.set(c, *r)
				continue
			}
		}
		d := t.boot(ctx, []*cases.Case{c}, 1)
		for n := 1; !t.ended(ctx) && (d.cut || d.starved() && t.results.of(c) == nil && n < maxStrikes); n++ {
			d = t.boot(ctx, []*cases.Case{c}, 1)
		}
		switch {
		case t.ended(ctx):
			t.leave(alone)
			return
		case d.hopeless():
			t.abandon(alone, d.of(), fmt.Sprintf("the machine is %s: %s", d.exit.Fate, d.exit.Reason))
			return
		}
		t.abandon([]*cases.Case{c}, result.Cause{Kind: result.Unanswered}, silent)
		result.Known(c, t.out.Facts, &t.out.Boots[len(t.out.Boots)-1], t.results.of(c))
	}
}
