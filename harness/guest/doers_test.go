package guest

import (
	"errors"
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// checkDoer says what is wrong with how an operation is done, "" for nothing.
func checkDoer(r *step.Operation, d *doer) string {
	actor := d.actor != nil || d.call != nil
	switch r.Who {
	case step.ByWorker, step.ByLeader:
		if !actor || d.broker != nil {
			return "an actor's own must be done by an actor alone"
		}
	case step.ByBroker:
		if actor || d.broker == nil {
			return "the broker's must be done by the broker alone"
		}
	case step.ByBoth:
		if !actor || d.broker == nil {
			return "both must have a part"
		}
	default:
		return "nobody does it"
	}
	switch {
	case d.actor != nil && d.call != nil:
		return "an actor does it in two ways"
	case (d.call != nil) != (d.proves != 0 || r.Name == step.OpMapCreate.String()): // BPF_MAP_CREATE is 0
		return "what makes an object must say what proves it"
	case d.call != nil && (!r.Makes || !r.Timed || r.Shows != step.ShowsObject && r.Shows != step.ShowsMasks):
		return "what makes an object can be timed, and shows that it works"
	}
	return ""
}

// Every operation is done by whom the table of operations says.
func TestEveryOperationIsDone(t *testing.T) {
	for o := step.Op(1); o < step.Ops; o++ {
		if why := checkDoer(o.Row(), &doers[o]); why != "" {
			t.Errorf("%s: %s", o, why)
		}
	}
}

// An operation that is missing, or somebody else's, is noticed.
func TestDoersCanFail(t *testing.T) {
	broker, actor, call := doers[step.OpSend].broker, doers[step.OpDup].actor, doers[step.OpMapCreate].call
	for name, tt := range map[string]struct {
		op step.Op
		d  doer
	}{
		"missing":            {step.OpDup, doer{}},
		"missing broker":     {step.OpSend, doer{}},
		"the broker's":       {step.OpDup, doer{broker: broker}},
		"an actor's":         {step.OpSend, doer{actor: actor}},
		"half":               {step.OpUmount, doer{actor: actor}},
		"the other half":     {step.OpUmount, doer{broker: broker}},
		"in two ways":        {step.OpMapCreate, doer{actor: actor, call: call}},
		"without a proof":    {step.OpProgLoad, doer{call: call}},
		"what makes nothing": {step.OpClose, doer{call: call, proves: uapi.BPF_PROG_LOAD}},
		"unknown":            {step.Ops, doer{actor: actor}},
	} {
		if checkDoer(tt.op.Row(), &tt.d) == "" {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
}

// An operation that the guest does not know is an error, not an errno: that would
// pass for the kernel's answer. No step before it runs.
func TestUnknownOperation(t *testing.T) {
	for _, o := range []step.Op{0, step.Ops, 255, step.OpSend} {
		a := testActor(map[step.Handle]int{1: noFD})
		if seen, err := a.steps([]step.Step{{Op: step.OpClose}, {Op: o}}); !errors.Is(err, errUnknownOp) ||
			seen != nil {
			t.Errorf("an actor, operation %d: %v, %v", o, seen, err)
		}
	}
	for _, o := range []step.Op{0, step.Ops, 255, step.OpDup} {
		if _, err := (&agent{}).playBroker(nil, &step.Step{Op: o}); !errors.Is(err, errUnknownOp) {
			t.Errorf("the broker, operation %d: %v", o, err)
		}
	}
}
