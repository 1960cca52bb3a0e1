package guest

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// calmRuntime gives the thread with which Go's runtime watches its others (sysmon in
// runtime/proc.go) the policy SCHED_IDLE. It wakes at each tick, and under emulation a switch
// to it costs a few hundred microseconds: QEMU forgets where the translated code of the
// other process was. Nothing here waits for it.
//
// The runtime starts that thread first. If it is another one, that one is slower and does the same.
func calmRuntime() {
	if tid := firstThread(); tid != 0 {
		// Without it, a run only takes longer.
		_ = unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
	}
}

// firstThread is the oldest thread besides the process's first one, 0 if there is none.
func firstThread() int {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0
	}
	first := 0
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err == nil && tid != os.Getpid() && (first == 0 || tid < first) {
			first = tid
		}
	}
	return first
}
