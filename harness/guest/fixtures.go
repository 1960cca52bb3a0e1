package guest

import (
	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// maker makes the objects that the requests of cases refer to, and notes which
// the kernel refuses: a request that needs one of these gets a closed descriptor,
// and its control says so.
type maker struct{ refused []step.Fixture }

// make makes one and returns its descriptor, or noFD.
func (m *maker) make(name string, call func() (int, uapi.Errno)) int {
	fd, errno := again(call)
	if errno == 0 {
		return fd
	}
	m.refused = append(m.refused, step.Fixture{Name: name, Errno: errno})
	return noFD
}

// maxAgain is how often a call is made that is interrupted each time.
const maxAgain = 100

// again makes a call of the agent's own until it was not interrupted: the
// verifier gives up with EAGAIN when a signal waits, do_check of
// kernel/bpf/verifier.c. Go's runtime sends signals to its own threads; actors
// run without them, so the call under test is made once and stands.
func again(call func() (int, uapi.Errno)) (fd int, errno uapi.Errno) {
	for range maxAgain {
		if fd, errno = call(); errno != uapi.Errno(unix.EAGAIN) {
			break
		}
	}
	return fd, errno
}

// enableStats turns on the statistics of programs for as long as its descriptor is open. A
// call of BPF_ENABLE_STATS then only counts (bpf_enable_runtime_stats); the first and the last
// one patch the kernel's code, which takes a millisecond under emulation.
func enableStats() (int, uapi.Errno) {
	var a attr
	a.u32(uapi.Attr_enable_stats_type, statsRunTime)
	return bpf(uapi.BPF_ENABLE_STATS, &a)
}

const statsRunTime = 0 // BPF_STATS_RUN_TIME
