package cases

import (
	"slices"

	"golang.org/x/sys/unix"

	"tokentest/cases/oracle"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// UnmetByStep returns what the kernel lacks for one of the case's steps, or nil: a step that
// must get as far as to the type that it names, where the type is not compiled in, or the way in which
// a call is made, such as in a Landlock domain, whatever the answer is. A file says what all of a case
// needs; this is what its steps need beside that.
func (c *Case) UnmetByStep(f *step.Facts) *Need {
	cell, _ := c.Steps()
	steps := slices.Concat(c.World.Program.Setup, cell)
	lacks := make([]*Need, len(steps))
	found := false
	for i := range steps {
		if n := unmetOfWay(&steps[i], f); n != nil {
			return n
		}
		lacks[i] = unmetOfStep(&steps[i], f)
		found = found || lacks[i] != nil
	}
	if !found {
		return nil
	}
	play := &Player{Facts: withEverything(f)}
	expected, err := play.Setup(c.World)
	if err == nil {
		cell, _ := play.Play(c) // up to a step that it cannot play
		expected = append(expected, cell...)
	}
	for i := range steps {
		before := i < len(expected) && expected[i].Verdict.Known && decidedBefore(&steps[i], &expected[i].Verdict)
		if lacks[i] != nil && !before {
			return lacks[i]
		}
	}
	return nil
}

// lacks are the kinds of needs that a step alone can have.
var lacks = []NeedKind{NeedConfig, NeedType, NeedLSM, NeedArena, NeedCompat}

// unmetOfStep returns the first of a step's options, types and security modules that the kernel does not have.
func unmetOfStep(s *step.Step, f *step.Facts) *Need {
	needs := requestNeeds(s)
	if cmd, ok := s.Num(step.KeyCmd); ok && s.Op == step.OpCall {
		if shape := step.CmdShapeOf(uapi.Cmd(cmd)); shape != nil {
			needs = configNeeds(shape.Config)
		}
	}
	return unmetOf(needs, f)
}

// unmetOfWay is the same of the way in which a step's call is made: without it the guest cannot make the call.
func unmetOfWay(s *step.Step, f *step.Facts) *Need {
	needs := callNeeds(s)
	if _, compat := s.Num(step.KeyCompat); compat { // a kernel that runs no such programs ends the process
		needs = append(needs, Need{Kind: NeedCompat})
	}
	return unmetOf(needs, f)
}

func unmetOf(needs []Need, f *step.Facts) *Need {
	needs = slices.DeleteFunc(needs, func(n Need) bool { return !slices.Contains(lacks, n.Kind) })
	unmet, _ := Unmet(needs, f)
	return unmet
}

// decidedBefore reports whether a step gets its answer before the kernel looks its type up: bpf_prog_load asks for
// the capabilities first, map_create for the type.
func decidedBefore(s *step.Step, v *oracle.Verdict) bool {
	return s.Op != step.OpMapCreate && !slices.Contains(late, v.Func) &&
		slices.Contains([]uapi.Errno{uapi.Errno(unix.EPERM), uapi.Errno(unix.EBADF)}, v.Errno)
}

// late are the functions of the verifier that ask for a capability after it has looked for a type of the kernel's
// BTF: without CONFIG_DEBUG_INFO_BTF the answer is ENOTSUPP.
var late = []string{"check_kfunc_call", "check_ptr_to_btf_access", "check_ptr_to_map_access"}

// withEverything is the kernel with everything compiled in.
func withEverything(f *step.Facts) *step.Facts {
	out := *f
	out.MitigationsOff = sim.KernelOf(f).MitigationsOff
	out.Config, out.ConfigOff, out.TypesOff = nil, nil, nil
	return &out
}
