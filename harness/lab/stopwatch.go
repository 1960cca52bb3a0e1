package lab

import (
	"time"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/wire"
)

// Stopwatch times the calls of a run, for a benchmark.
type Stopwatch struct {
	// Repeat makes each case of one step repeat its call for so long; its
	// observation then holds the time of one call in nanoseconds, and nothing else.
	// 0 means that cases run once.
	Repeat time.Duration
	// Answered gets the observations of each case as they come, and the time since
	// hello.
	Answered func(c *cases.Case, seen []step.Observation, after time.Duration)
	// Costs is filled in by a run with Repeat: what the guest's own work costs.
	Costs wire.Costs
}

// cell returns the steps of a case as they are sent to the guest.
func (l *Lab) cell(c *cases.Case) step.Cell {
	cell := c.Cell()
	if l.measures() && len(cell) == 1 && cell[0].Op.Row().Timed {
		cell[0].Args = append(cell[0].Args, step.Arg{Key: step.KeyTime, Num: uint64(l.Stopwatch.Repeat.Microseconds())})
	}
	return cell
}

// measures reports whether the guest must measure the costs of its own work.
func (l *Lab) measures() bool { return l.Stopwatch != nil && l.Stopwatch.Repeat > 0 }

func (s *session) costs(payload []byte) error {
	return wire.DecodeJSON(payload, &s.trial.lab.Stopwatch.Costs)
}
