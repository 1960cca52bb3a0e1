package lab

import (
	"testing"
	"time"

	"tokentest/harness/result"
	"tokentest/harness/vm"
)

func TestDemands(t *testing.T) {
	for _, tt := range []struct {
		config    map[string]string
		mem, slow int
	}{
		{nil, 512, 1},
		{map[string]string{"BPF_SYSCALL": "y", "KASAN": "n"}, 512, 1},
		{map[string]string{"PROVE_LOCKING": "y"}, 512, watched},
		{map[string]string{"PROVE_LOCKING": "y", "KASAN": "y"}, 2048, watched},
		{map[string]string{"KMSAN": "y", "KCSAN": "y"}, 4096, watched},
	} {
		if mem, slow := demands(tt.config); mem != tt.mem || slow != tt.slow {
			t.Errorf("%v: %d MiB, %d times; want %d, %d", tt.config, mem, slow, tt.mem, tt.slow)
		}
	}
}

// A program's files add to what the kernel wants; what the user says is it.
func TestMemory(t *testing.T) {
	tr := &trial{memMiB: shadowedMiB}
	if got := tr.memory(0, fitting([]File{{size: 100 << 20}})); got != shadowedMiB+250 {
		t.Errorf("got %d", got)
	}
	if got := tr.memory(700, 250); got != 700 {
		t.Errorf("got %d, want what was asked for", got)
	}
}

// All that waits for a slow kernel waits longer.
func TestSlowMachine(t *testing.T) {
	usual, slow := vm.Machine{Accel: vm.TCG}, vm.Machine{Accel: vm.TCG, Slow: watched}
	if slow.Scale(caseDeadline) != watched*usual.Scale(caseDeadline) {
		t.Errorf("%v beside %v", slow.Scale(caseDeadline), usual.Scale(caseDeadline))
	}
}

// A step that says that it goes on has time for its next part, however long the whole takes.
func TestSlowStep(t *testing.T) {
	l := newLab(t, "slow@70")
	l.caseDeadline = time.Second // the guest takes nearly two
	if k := run(t, l, 0, "token_create"); k.Counts()[result.Pass] != 219 || len(k.Boots) != 1 {
		t.Errorf("%v, %+v", k.Counts(), k.Boots)
	}
}
