package cases

import (
	"fmt"

	"tokentest/cases/step"
)

var (
	noFDKey       = keySpec{step.KeyNoFD, "no_fd", kindNum, "1: while the process may open no more descriptors"}
	memlockKey    = keySpec{step.KeyMemlock, "memlock", kindNum, "with this RLIMIT_MEMLOCK, which bounds maps before 5.11"}
	fromKernelKey = keySpec{step.KeyFromKernel, "kernel", kindNum,
		"1: the kernel itself makes the call, for a program (BPF_PROG_TYPE_SYSCALL) that root has loaded and the actor runs"}
)

var limitOps = []opSpec{
	{op: step.OpMemory, keys: []keySpec{
		{step.KeyTo, "actor", kindActor, "whose process is bounded"},
		{step.KeyMemory, "max", kindNum, "memory.max, in bytes"},
	}, positional: []step.Key{step.KeyTo}, required: []step.Key{step.KeyMemory},
		doc: "the broker puts a process into a memory cgroup of its own, until the world ends; a second time, it waits until no more than a quarter is used: ENOMEM, if that does not come"},
}

// checkLimits refuses arguments whose 0 would be taken for 1, and a call that
// the kernel makes and that is wrong as a whole: it reads no attribute of a process.
func checkLimits(s *step.Step) error {
	_, fault := s.Num(step.KeyAttr)
	_, inside := s.Num(step.KeyInside)
	for _, k := range []keySpec{noFDKey, fromKernelKey} {
		n, ok := s.Num(k.key)
		switch {
		case ok && n != 1:
			return fmt.Errorf("%s=%d: want 1, or nothing", k.name, n)
		case ok && k.key == step.KeyFromKernel && (fault || inside):
			return fmt.Errorf("a call that the kernel makes takes no attr= and no inside=")
		}
	}
	return nil
}

func noFD(st *step.Step) bool {
	_, ok := st.Num(step.KeyNoFD)
	return ok
}

func (s *Sim) memory(_ *simActor, st *step.Step) Expect {
	to, _ := st.Num(step.KeyTo)
	s.actors[to].memory, _ = st.Num(step.KeyMemory)
	return harnessStep(st.Op)
}

// memoryNeeds are what a memory cgroup needs of the kernel.
var memoryNeeds = []Need{{Kind: NeedConfig, Name: "MEMCG"}}
