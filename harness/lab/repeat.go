package lab

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// Isolation says which cases share a machine.
type Isolation string

// The isolations.
const (
	Together   Isolation = ""      // all cases share a machine, until it dies
	GroupAlone Isolation = "group" // the cases of a group share one
	CaseAlone  Isolation = "case"  // each case has one
)

// portions splits cases into lists that share a machine.
func (t *trial) portions(all []*cases.Case) [][]*cases.Case {
	switch t.lab.Isolate {
	case CaseAlone:
		return slices.Collect(slices.Chunk(all, 1))
	case GroupAlone:
		var out [][]*cases.Case
		place := map[*cases.Group]int{}
		for _, c := range all {
			i, known := place[c.Group]
			if !known {
				i = len(out)
				place[c.Group], out = i, append(out, nil)
			}
			out[i] = append(out[i], c)
		}
		return out
	}
	return [][]*cases.Case{all}
}

// repeat runs the cases Lab.Repeat times, or until a result is not as expected.
func (t *trial) repeat(ctx context.Context, all []*cases.Case, batch int) {
	if t.lab.Repeat <= 1 && !t.lab.UntilFail {
		t.run(ctx, all, batch)
		return
	}
	var sum tally
	var worlds []result.WorldResult
	for {
		boots := len(t.out.Boots)
		t.failed = 0
		t.run(ctx, all, batch)
		if sum.times == 0 {
			worlds = t.out.Worlds
		}
		if t.out.Worlds = worlds; sum.times == 0 || !t.ended(ctx) { // an interrupted repetition does not count
			t.out.Unpack()
			sum.add(t.out.Cases)
		}
		wrong, hopeless := t.wrong(boots)
		t.lab.log("%s: repetition %d is done%s", t.out.Ref, sum.times, sum.varying())
		if t.ended(ctx) || hopeless || sum.times == t.lab.Repeat || t.lab.UntilFail && wrong {
			break
		}
	}
	sum.explain()
	t.out.Cases, t.out.Repeated = sum.list, sum.times
}

// wrong reports whether the last repetition, whose boots start at index from, is not as
// expected, and whether another repetition would end the same way.
func (t *trial) wrong(from int) (wrong, hopeless bool) {
	n := t.out.Counts()
	wrong = n[result.Fail]+n[result.Broken] > 0
	for _, b := range t.out.Boots[from:] {
		wrong = wrong || b.Fate != vm.Clean
		hopeless = hopeless || b.Fate == vm.Infra && b.Host == nil || b.Fate == vm.Unbooted
	}
	return wrong, hopeless
}

// tally merges the results of repetitions.
type tally struct {
	times int // repetitions
	list  []result.CaseResult
}

// severity orders statuses: a case has the worst of its repetitions.
var severity = map[result.Status]int{
	result.Pass: 0, result.Skip: 1, result.Interrupted: 2, result.Broken: 3, result.Fail: 4,
}

func (s *tally) add(now []result.CaseResult) {
	s.times++
	if s.times == 1 {
		s.list = now
		return
	}
	for i := range now {
		s.list[i] = merge(&s.list[i], &now[i], s.times)
	}
}

// varying says how many results vary; "" if none does.
func (s *tally) varying() string {
	switch n := s.vary(); n {
	case 0:
		return ""
	case 1:
		return ", 1 case varies"
	default:
		return fmt.Sprintf(", %d cases vary", n)
	}
}

// merge adds one repetition to the result of the earlier ones. It counts statuses only if
// they vary.
func merge(was, now *result.CaseResult, times int) result.CaseResult {
	if was.Times == nil && was.Status == now.Status {
		return *was
	}
	counts := maps.Clone(was.Times)
	if counts == nil {
		counts = map[result.Status]int{was.Status: times - 1}
	}
	counts[now.Status]++
	worst := *was
	if severity[now.Status] > severity[was.Status] {
		worst = *now
	}
	worst.Times = counts
	return worst
}

// explain writes the counts of the statuses into the reason of each case that varies.
func (s *tally) explain() {
	for i := range s.list {
		c := &s.list[i]
		if len(c.Times) < 2 {
			continue
		}
		var counts []string
		for _, status := range result.Statuses() {
			if n := c.Times[status]; n > 0 {
				counts = append(counts, fmt.Sprintf("%d %s", n, status))
			}
		}
		c.Cause.Text = c.Why()
		c.Reason = fmt.Sprintf("flaky, %s: %s", strings.Join(counts, " and "), c.Reason)
	}
}

// vary counts the cases whose results vary.
func (s *tally) vary() int {
	n := 0
	for i := range s.list {
		if len(s.list[i].Times) > 1 {
			n++
		}
	}
	return n
}
