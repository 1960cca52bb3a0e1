package cases

import (
	"fmt"
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// cmdArg reads a command of bpf(2) that call makes.
func cmdArg(value string) (uint64, error) {
	m, ok := uapi.Cmds.Lookup(value)
	if !ok {
		return 0, fmt.Errorf("unknown %s %q%s", uapi.Cmds.Tag, value, suggest(value, cmdNames()))
	}
	if own := step.OpNamed(uapi.Cmd(m.Value).String()); own != 0 {
		return 0, fmt.Errorf("%s has an operation of its own: ACTOR %s", value, own)
	}
	if _, notNum := parseNum(value); notNum != nil && step.CmdShapeOf(uapi.Cmd(m.Value)) == nil {
		return 0, fmt.Errorf("no request is known for %s: spell it out with raw", value)
	}
	return uint64(m.Value), nil
}

// makes reports whether a step makes a descriptor, if it is allowed.
func makes(s *step.Step) bool {
	if s.Op != step.OpCall {
		return s.Op.Row().Makes
	}
	n, _ := s.Num(step.KeyCmd)
	shape := step.CmdShapeOf(uapi.Cmd(n))
	return shape != nil && shape.Makes
}

func cmdNames() []string {
	var names []string
	for i := range step.CmdShapes {
		names = append(names, step.CmdShapes[i].Cmd.String())
	}
	return names
}

// eachCommand makes an axis of every command that call knows a request for.
func eachCommand() []axisValue {
	var out []axisValue
	for i := range step.CmdShapes {
		s := &step.CmdShapes[i]
		name := s.Cmd.String()
		v := axisValue{name: name, text: name, vars: map[string]string{"others": othersMask(uint32(s.Cmd))}}
		at := slices.IndexFunc(uapi.Cmds.Members, func(m uapi.Member) bool { return m.Value == uint32(s.Cmd) })
		v.needs = append(v.needs, enumNeed(&uapi.Cmds, uapi.Cmds.Members[at]))
		v.needs = append(v.needs, configNeeds(s.Config)...)
		out = append(out, v)
	}
	return out
}

// Locks reports whether the world's cells, or its set-up, set
// kernel.unprivileged_bpf_disabled to 1. Afterwards the machine
// cannot run a world that needs another value.
func (w *World) Locks() bool { return w.locks }

func locks(steps []step.Step) bool {
	return slices.ContainsFunc(steps, func(s step.Step) bool {
		v, _ := s.Num(step.KeyValue)
		return setsUnpriv(&s) && v == oracle.SysctlLocked
	})
}
