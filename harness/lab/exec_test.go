package lab

import (
	"io"
	"testing"
	"time"

	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// A console that goes on is no sign of life of an agent that says nothing.
func TestSilentAgent(t *testing.T) {
	l := newLab(t, "chatter")
	r := l.runner()
	r.deadlines.alive = 300 * time.Millisecond
	p := &Program{Exec: wire.Exec{Args: []string{"true"}}, Stdout: io.Discard, Stderr: io.Discard}
	out, err := r.exec(t.Context(), "bzImage", p)
	if err != nil {
		t.Fatal(err)
	}
	if b := out.Kernel.Boots[0]; b.Fate != vm.Hung || b.Reason != "the agent said nothing for 300ms, whatever the console prints" {
		t.Errorf("%s: %s", b.Fate, b.Reason)
	}
}
