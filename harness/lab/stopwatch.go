package lab

import (
	"time"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/wire"
)

// Stopwatch is what a benchmark learns of a run.
type Stopwatch struct {
	// Repeat has each case of one step make its call for so long, and show
	// how long one takes; such a run says nothing else. 0: it does not.
	Repeat time.Duration
	// Answered gets what a case showed, as it came, and how long after hello
	// that was.
	Answered func(c *cases.Case, seen []step.Observation, after time.Duration)
	// Costs is what the guest's own work costs, after a run with Repeat.
	Costs wire.Costs
}

// cell is the steps of a case as they are sent.
func (l *Lab) cell(c *cases.Case) step.Cell {
	cell := c.Cell()
	if l.measures() && len(cell) == 1 && cell[0].Op.Row().Timed {
		cell[0].Args = append(cell[0].Args, step.Arg{Key: step.KeyTime, Num: uint64(l.Stopwatch.Repeat.Microseconds())})
	}
	return cell
}

// measures says whether the guest is asked what its own work costs.
func (l *Lab) measures() bool { return l.Stopwatch != nil && l.Stopwatch.Repeat > 0 }

func (s *session) costs(payload []byte) error {
	return wire.DecodeJSON(payload, &s.trial.lab.Stopwatch.Costs)
}
