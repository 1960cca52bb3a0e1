package lab

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/kernel"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
	"tokentest/images"
)

// trial is the run of one kernel.
type trial struct {
	lab       *Lab
	deadlines deadlines
	lanes     int                        // into which the cases are dealt out at most; 0 means 1
	laneIndex int                        // of this lane
	rules     map[string]result.RuleText // that decided
	out       *result.KernelRun
	kernel    *kernel.Kernel
	image     *images.Image
	accel     vm.Accel
	pace      paceKeeper
	entry     entry
	notDirect string   // the remark that it boots only as a bzImage, until it did
	remarks   []string // in out.Note
	dir       string
	judge     *result.Judge // nil before the first hello
	allow     *splat.Allow  // findings that do not count in the next machine
	results   results
	failed    int           // cases that failed or are broken
	took      time.Duration // what Lab.Each says of the next results
	total     int           // cases

	imageFacts chan *step.Facts // what the image says; gets nil if it cannot be read

	replaysOnly bool        // Recall: read the stored boots and start no machine
	exhausted   bool        // Recall: there is no further stored boot
	stopped     result.Stop // Recall: why the run has not ended
	stale       error       // the stored boots do not answer what this run asks

	memMiB        int             // of each machine
	cpus          int             // of each machine; 0 is one
	slow          int             // how many times slower than a usual kernel this one is
	arguments     []string        // of the kernel, besides Lab.Append
	snapshotTried bool            // snapshot holds the answer
	saver         *saver          // for the next machine, if it is to be saved
	program       bool            // a program of the user runs, and no case
	provoking     bool            // the next machine shows a known defect
	cold          bool            // no further machine is restored
	doubted       []int           // the boots of restored machines that did not end well
	snapshot      *vm.Snapshot    // to start machines from; nil means that they boot
	verifying     chan error      // gets what Snapshot.Verify returns; nil when that is known
	symbols       *kernel.Symbols // nil before the first finding
	noSymbols     bool            // they cannot be read
}

// maxStrikes is how many machines in a row may die before the trial gives up.
const maxStrikes = 3

// portion is cases that share a machine, and in batches of how many they are sent.
type portion struct {
	cases []*cases.Case
	batch int // 0 means the plan's choice
}

// run boots machines until every case has its result.
func (t *trial) run(ctx context.Context, all []*cases.Case, batch int) {
	t.total, t.results = len(all), newResults(all)
	t.skipDenied(all)
	if lists := deal(t.withoutResult(all), t.lanes); len(lists) > 1 {
		t.sideBySide(ctx, all, lists, batch)
	} else {
		t.runLane(ctx, all, batch)
	}
	t.finish(all)
}

// runLane boots machines until every case has its result.
func (t *trial) runLane(ctx context.Context, all []*cases.Case, batch int) {
	together, alone := plan.Alone(all)
	var queue []portion
	for _, list := range t.portions(controlsFirst(together)) {
		queue = append(queue, portion{list, batch})
	}
	t.work(ctx, queue)
	t.confirm(ctx, together, func(list []*cases.Case) { t.work(ctx, []portion{{list, batch}}) })
	t.provoke(ctx, t.withoutResult(alone))
	t.confirm(ctx, alone, func(list []*cases.Case) { t.provoke(ctx, list) })
	t.settleDoubts()
}

// work boots machines until each case of the queue has its result.
func (t *trial) work(ctx context.Context, queue []portion) {
	var all []*cases.Case
	for _, p := range queue {
		all = append(all, p.cases...)
	}
	for strikes := 0; len(queue) > 0; {
		now, whole := queue[0], queue[0]
		queue = queue[1:]
		if now.cases = t.withoutResult(now.cases); len(now.cases) == 0 {
			continue
		}
		b := t.boot(ctx, now.cases, now.batch)
		switch {
		case t.ended(ctx):
			t.markInterrupted(ctx, all)
			queue = nil
		case b.cut:
			queue = slices.Insert(queue, 0, now)
		case t.doubt(b):
			queue = slices.Insert(queue, 0, whole)
		case t.enterPacked(ctx, b.exit):
			queue = slices.Insert(queue, 0, now)
		case b.hopeless():
			t.abandon(all, b.cause(), fmt.Sprintf("the machine is %s: %s", b.exit.Fate, b.exit.Reason))
			queue = nil
		case len(b.culprits) > 1: // one of them did it: run each in a batch of its own
			strikes++
			queue = slices.Insert(queue, 0, portion{b.culprits, 1}, now)
		case b.died():
			strikes++
			queue = slices.Insert(queue, 0, now)
		default:
			strikes = 0
			t.abandon(now.cases, result.Cause{Kind: result.Unanswered}, unanswered)
		}
		if strikes >= maxStrikes {
			t.abandon(all, b.cause(), fmt.Sprintf("given up: %d machines in a row died, the last one %s: %s",
				strikes, b.exit.Fate, b.exit.Reason))
			queue = nil
		}
	}
}

// ended reports whether no further machine is started.
func (t *trial) ended(ctx context.Context) bool {
	return ctx.Err() != nil || t.exhausted || t.stale != nil || len(t.lab.Patches) > 0 && len(t.out.Boots) > 0
}

// controlsFirst moves the worlds that hold controls to the front, and in them the
// controls. A case counts only with its controls, so as much as possible of an
// interrupted run counts. Worlds stay together.
func controlsFirst(all []*cases.Case) []*cases.Case {
	controls := map[*cases.World]bool{}
	for _, c := range all {
		controls[c.World] = controls[c.World] || c.Control != ""
	}
	place := map[*cases.World]int{}
	for _, c := range all {
		if _, known := place[c.World]; !known {
			place[c.World] = len(place)
		}
	}
	late := func(yes bool) int {
		if yes {
			return 1
		}
		return 0
	}
	out := slices.Clone(all)
	slices.SortStableFunc(out, func(a, b *cases.Case) int {
		return cmp.Or(
			late(!controls[a.World])-late(!controls[b.World]),
			place[a.World]-place[b.World],
			late(a.Control == "")-late(b.Control == ""))
	})
	return out
}

// withoutResult returns the cases that have no result yet. Cases that the run leaves out are none
// of them, although they are in the same worlds.
func (t *trial) withoutResult(list []*cases.Case) []*cases.Case {
	var out []*cases.Case
	for _, c := range list {
		if t.results.at(c) >= 0 && !t.results.has(c) {
			out = append(out, c)
		}
	}
	return out
}

// abandon makes the cases that have no result broken.
func (t *trial) abandon(list []*cases.Case, cause result.Cause, why string) {
	for _, c := range t.withoutResult(list) {
		t.set(c, result.NewResult(c.ID, result.Broken, cause, why, len(t.out.Boots)-1))
	}
}

// unanswered is the reason of cases that the guest did not answer although its machine
// ended well.
const unanswered = "the guest did not answer for it"

// cause is that of cases which the machine's end leaves without an answer.
func (b *bootOutcome) cause() result.Cause {
	return result.Cause{Kind: result.Unanswered, Fate: b.exit.Fate}
}

// markInterrupted records that the run was stopped before the cases without result.
func (t *trial) markInterrupted(ctx context.Context, list []*cases.Case) {
	why := cmp.Or(t.stopped, stopOf(ctx)).Case()
	for _, c := range t.withoutResult(list) {
		t.set(c, result.NewResult(c.ID, result.Interrupted, result.Cause{Kind: result.NotTried}, why, -1))
	}
}

func (t *trial) set(c *cases.Case, r result.CaseResult) {
	if r.Status == result.Fail || r.Status == result.Broken {
		t.failed++
		t.lab.progress(Progress{Kernel: t.out.Ref, Wrong: &r})
	}
	t.results.set(c, r)
	if t.lab.Each != nil {
		t.lab.Each(Result{t.out.Ref, c, &r, t.took})
	}
}

// finish applies the controls and the lists to the results.
func (t *trial) finish(all []*cases.Case) {
	result.Guards(t.out.Facts, all, t.results.peek, t.results.set)
	t.out.Hold(t.results.Results)
	result.Expect(t.lab.Lists, t.out)
	if t.judge != nil {
		t.rules = t.judge.Rules()
	}
	t.out.Rules = t.rules
	t.lab.progress(Progress{Kernel: t.out.Ref, Stage: "done", Done: len(all), Total: len(all)})
}
