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
		{map[string]string{"PROVE_LOCKING": "y"}, 512, checkedSlow},
		{map[string]string{"PROVE_LOCKING": "y", "KASAN": "y"}, 2048, checkedSlow},
		{map[string]string{"KMSAN": "y", "KCSAN": "y"}, 4096, checkedSlow},
	} {
		if mem, slow := demands(tt.config); mem != tt.mem || slow != tt.slow {
			t.Errorf("%v: %d MiB, %d times; want %d, %d", tt.config, mem, slow, tt.mem, tt.slow)
		}
	}
}

// TestMemory: a program's files add to what the kernel needs; the user's choice overrides both.
func TestMemory(t *testing.T) {
	tr := &trial{memMiB: shadowMiB}
	if got := tr.memory(0, memoryFor([]File{{size: 100 << 20}})); got != shadowMiB+250 {
		t.Errorf("got %d", got)
	}
	if got := tr.memory(700, 250); got != 700 {
		t.Errorf("got %d, want what was asked for", got)
	}
}

// TestSlowMachine: every deadline of a slow kernel is longer.
func TestSlowMachine(t *testing.T) {
	usual, slow := vm.Machine{Accel: vm.TCG}, vm.Machine{Accel: vm.TCG, Slow: checkedSlow}
	if slow.Scale(usualDeadlines.batch) != checkedSlow*usual.Scale(usualDeadlines.batch) {
		t.Errorf("%v beside %v", slow.Scale(usualDeadlines.batch), usual.Scale(usualDeadlines.batch))
	}
}

// TestSlowStep: a step that reports progress gets a new deadline.
func TestSlowStep(t *testing.T) {
	l := newLab(t, "slow@70")
	// The guest takes nearly two seconds.
	if k := runWithin(t, l, deadlines{batch: time.Second}, 0, "token_create"); k.Counts()[result.Pass] != tokenCreate() ||
		len(k.Boots) != 1 {
		t.Errorf("%v, %+v", k.Counts(), k.Boots)
	}
}
