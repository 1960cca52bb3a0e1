package progress

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"tokentest/harness/count"
	"tokentest/harness/lab"
	"tokentest/harness/result"
)

// Results follows the results of a run as they come. Its members are set before Follow.
type Results struct {
	Verbose bool   // print a line for each result
	Slowest int    // how many of the slowest cases WriteSlowest lists
	Stop    func() // called at the first failure that counts; nil never

	mu   sync.Mutex
	log  func(format string, args ...any)
	took map[string]slow // by kernel and case
}

// slow is how long a case took.
type slow struct {
	kernel, id string
	took       time.Duration
}

// Follow makes a lab report its results. It must follow Show, beside whose lines it prints.
func (r *Results) Follow(l *lab.Lab) {
	if !r.Verbose && r.Slowest == 0 && r.Stop == nil {
		return
	}
	r.log, r.took = l.Log, map[string]slow{}
	l.Each = func(c lab.Result) { r.take(l, c) }
}

func (r *Results) take(l *lab.Lab, c lab.Result) {
	r.mu.Lock()
	if r.Slowest > 0 && c.Took > 0 {
		r.took[c.Kernel+" "+c.ID] = slow{c.Kernel, c.ID, c.Took}
	}
	r.mu.Unlock()
	if r.Verbose && r.log != nil {
		line := fmt.Sprintf("%s %s %s", c.Kernel, c.Status, visible(c.ID))
		if c.Took > 0 {
			line += " " + round(c.Took).String()
		}
		if c.Status != result.Pass && c.Reason != "" {
			line += ": " + visible(c.Reason)
		}
		r.log("%s", line)
	}
	if r.Stop != nil && fails(l, c) {
		r.Stop()
	}
}

// fails reports whether a result is a failure that no list and no known defect expects.
func fails(l *lab.Lab, c lab.Result) bool {
	switch {
	case c.Status != result.Fail && c.Status != result.Broken:
		return false
	case c.Of.Alone() && c.Cause.Kind != result.UnknownDefect: // it is judged when its machine has ended
		return false
	}
	return result.Expected(l.Lists, &result.KernelRun{Ref: c.Kernel}, c.ID) == nil
}

// WriteSlowest lists the slowest cases of a run that has ended, the slowest first.
func (r *Results) WriteSlowest(w io.Writer) error {
	var list []slow
	for _, s := range r.took {
		list = append(list, s)
	}
	if len(list) == 0 || r.Slowest == 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b slow) int {
		return cmp.Or(cmp.Compare(b.took, a.took), cmp.Compare(a.kernel, b.kernel), cmp.Compare(a.id, b.id))
	})
	list = list[:min(r.Slowest, len(list))]
	if _, err := fmt.Fprintf(w, "slowest %d of %s; cases of a batch share its time\n", len(list),
		count.Of(len(r.took), "case")); err != nil {
		return err
	}
	for _, s := range list {
		if _, err := fmt.Fprintf(w, "%10s  %s %s\n", round(s.took), s.kernel, s.id); err != nil {
			return err
		}
	}
	return nil
}

// round leaves three digits or so of a time.
func round(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Microsecond; unit /= 1000 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d.Round(time.Microsecond)
}
