package guest

import (
	"testing"

	"golang.org/x/sys/unix"
)

// The thread of the runtime loses its place, the one that makes the calls does not.
func TestCalmRuntime(t *testing.T) {
	first := firstThread()
	if first == 0 {
		t.Fatal("a Go process has one thread")
	}
	before, err := unix.SchedGetAttr(first, 0)
	if err != nil {
		t.Skip(err)
	}
	calmRuntime()
	t.Cleanup(func() { unix.SchedSetAttr(first, before, 0) }) // refused without CAP_SYS_NICE
	after, err := unix.SchedGetAttr(first, 0)
	if err != nil {
		t.Fatal(err)
	}
	if after.Policy != unix.SCHED_IDLE {
		t.Errorf("policy %d, want SCHED_IDLE", after.Policy)
	}
	if own, err := unix.SchedGetAttr(0, 0); err != nil || own.Policy == unix.SCHED_IDLE {
		t.Errorf("this thread: %+v, %v", own, err)
	}
}
