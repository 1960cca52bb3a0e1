package guest

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/wire"
)

// For benchmarks: the time of the calls alone, in a tight loop without the harness.

// call makes the call under test, and again as often as a benchmark's step asks,
// with the same attribute, closing what it makes.
func (a *attr) call(cmd uapi.Cmd, s *step.Step) (int, uapi.Errno) {
	fd, errno := a.once(cmd, s)
	n, _ := s.Num(step.KeyRepeat)
	for ; n > 1; n-- {
		closeFD(fd)
		fd, errno = a.once(cmd, s)
	}
	return fd, errno
}

const (
	maxRepeat = 1 << 14
	timings   = 3 // of which the middle one counts
)

// timed measures a step's call: the time of n calls minus the time of one, with n so
// large that they take as long as the step allows.
func (a *actor) timed(s *step.Step) step.Observation {
	us, _ := s.Num(step.KeyTime)
	limit := time.Duration(us) * time.Microsecond
	a.repeat(s, 1) // fills caches
	once, o := a.repeat(s, 1)
	n := uint64(1)
	for took := once; took < limit && n < maxRepeat; took, _ = a.repeat(s, n) {
		n *= 2
	}
	n = max(n, 2)
	var each []uint64
	for range timings {
		took, _ := a.repeat(s, n)
		each = append(each, uint64(max(0, took-once))/(n-1))
	}
	slices.Sort(each)
	o.Values = []uint64{each[timings/2]}
	return o
}

// repeat makes a step's call n times.
func (a *actor) repeat(s *step.Step, n uint64) (time.Duration, step.Observation) {
	bare := *s
	bare.Args = slices.DeleteFunc(slices.Clone(s.Args), func(a step.Arg) bool { return a.Key == step.KeyTime })
	d := &doers[s.Op]
	if d.call == nil { // a command undoes what it changes, which belongs to it
		start := time.Now()
		var o step.Observation
		for range n {
			_, o = d.actor(a, &bare)
		}
		return time.Since(start), o
	}
	bare.Args = append(bare.Args, step.Arg{Key: step.KeyRepeat, Num: n})
	start := time.Now()
	fd, errno := d.call(a, &bare)
	closeFD(fd)
	return time.Since(start), step.Observation{Errno: errno}
}

const (
	costTime = 50 * time.Millisecond
	leastRun = 8
)

// measure sends the cost of the guest's own work.
func (g *agent) measure() error {
	var c wire.Costs
	var err1, err2 error
	c.Userns, err1 = cost(makeUserns)
	c.BPFFS, err2 = cost(makeBPFFS)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("measure: %w", err)
	}
	payload, err := wire.EncodeJSON(c)
	if err != nil {
		return err
	}
	return g.out.Write(wire.KindCosts, payload)
}

func cost(do func() error) (ns int64, err error) {
	n, start := int64(0), time.Now()
	for n < leastRun || time.Since(start) < costTime {
		if err := do(); err != nil {
			return 0, err
		}
		n++
	}
	return time.Since(start).Nanoseconds() / n, nil
}

// makeUserns makes a process in a user and mount namespace of its own that
// finds no program to run, and waits for its end.
func makeUserns() error {
	_, err := syscall.ForkExec("/", []string{"/"}, &syscall.ProcAttr{Sys: usernsAttr(&step.Actor{Kind: step.Userns})})
	if errors.Is(err, syscall.EACCES) {
		return nil
	}
	return fmt.Errorf("make a user namespace: %w", err)
}

// makeBPFFS makes a delegated bpffs and opens its root.
func makeBPFFS() error {
	context, err := unix.Fsopen("bpf", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("fsopen bpf: %w", err)
	}
	defer unix.Close(context)
	if errno := configure(context, fullDelegation); errno != 0 {
		return fmt.Errorf("create a bpffs: %w", unix.Errno(errno))
	}
	mnt, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("fsmount bpf: %w", err)
	}
	defer unix.Close(mnt)
	dir, err := unix.Openat(mnt, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the root of a bpffs: %w", err)
	}
	return unix.Close(dir)
}

var fullDelegation = []step.Arg{
	{
		Key: step.KeyCmds,
		Str: "any",
	}, {Key: step.KeyMaps, Str: "any"}, {Key: step.KeyProgs, Str: "any"}, {Key: step.KeyAttachs, Str: "any"},
}
