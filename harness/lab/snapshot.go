package lab

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"tokentest/harness/arch"
	"tokentest/harness/result"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// flood is how many bytes a console may print: a kernel or a program that repeats itself
// for ever shows a sign of life each time, and only the deadline would end it.
const flood = 32 << 20

// machine returns a machine of the trial, which starts from a snapshot if Lab.Snapshot
// says so.
func (t *trial) machine(ctx context.Context, dir string) *vm.Machine {
	m := &vm.Machine{Arch: t.kernel.Arch, BigPages: bigPages(t.kernel.Config), QEMU: t.lab.QEMU,
		Kernel: t.entry.file, Initrd: t.image.Path, Accel: t.accel, Dir: dir,
		Deadline: t.lab.Deadline, Allow: t.allow, MemMiB: t.memMiB, CPUs: t.cpus, Slow: t.slow, Program: t.program,
		Append: slices.Concat(lsmArgs(t.kernel.Config), t.lab.Append, t.arguments)}
	if t.lab.Deadline == 0 { // else the user has set a limit
		m.Flood = flood
	}
	if m.Console = t.lab.Console; m.Console != nil {
		m.Append = append(m.Append, "loglevel=7")
	}
	if t.lab.Debug != nil {
		m.Debug = filepath.Join(dir, "gdb")
		m.Append = append(m.Append, "nokaslr")
		t.lab.Debug(fmt.Sprintf("%s %s -ex 'target remote %s'", debugger(t.kernel.Arch),
			cmp.Or(t.kernel.Vmlinux(), "VMLINUX"), m.Debug))
	}
	hidden := t.lab.Console != nil && t.lab.Snapshot == AutoRestore // the console would lack the boot
	if t.lab.Snapshot != NeverRestore && t.lab.Debug == nil && !hidden {
		m.Restore = t.startState(ctx, m)
		m.Monitor = m.Restore == nil && t.saver != nil
	}
	m.Patches = t.lab.Patches
	if m.Restore != nil {
		m.Trace = t.lab.Trace
		if t.lab.Follow != nil {
			m.Blocks = t.lab.Follow()
		}
	}
	return m
}

// startState returns the snapshot that a machine starts from; nil means that it boots.
func (t *trial) startState(ctx context.Context, m *vm.Machine) *vm.Snapshot {
	if t.snapshotTried {
		return t.snapshot
	}
	t.snapshotTried = true
	var err error
	if t.snapshot, err = t.findSnapshot(ctx, *m); err != nil && ctx.Err() == nil {
		t.lab.log("%s: no snapshot, so each machine boots: %v", t.out.Ref, err)
	}
	return t.snapshot
}

// launch starts a machine of the trial; a deadline of 0 means Lab.Deadline. Verifying a
// snapshot takes about as long as QEMU takes to load it, so launch does both at once and
// returns the machine once the snapshot is verified.
func (t *trial) launch(ctx context.Context, dir string, deadline time.Duration) (*vm.Machine, error) {
	m := t.machine(ctx, dir)
	m.Deadline = cmp.Or(deadline, m.Deadline)
	err := m.Start(ctx)
	if t.verifying == nil && (err == nil || m.Restore == nil || ctx.Err() != nil) {
		return m, err
	}
	bad := err // such as a snapshot that another run has just removed
	if t.verifying != nil {
		bad = <-t.verifying
		t.verifying = nil
	}
	if bad == nil {
		return m, err
	}
	t.lab.log("%s: %v; a new one is made", t.out.Ref, bad)
	t.snapshot, t.snapshotTried = nil, false
	m.Kill(bad.Error())
	io.Copy(io.Discard, m.Control())
	m.Wait()
	return t.launch(ctx, dir, deadline)
}

// findSnapshot looks for a snapshot of such a machine, or makes one.
func (t *trial) findSnapshot(ctx context.Context, m vm.Machine) (*vm.Snapshot, error) {
	if err := m.CheckSaves(ctx); err != nil {
		return nil, err
	}
	dir := t.lab.SnapshotDir
	if dir == "" {
		cache, err := t.lab.cacheDir()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(cache, "snapshots")
	}
	store := vm.Snapshots{Dir: dir}
	name, err := m.SnapshotName(t.kernel.Digest, string(t.entry.how), t.image.Digest)
	if err != nil {
		return nil, err
	}
	if s := store.Get(name); s != nil {
		if len(t.lab.Patches) > 0 { // the caller has verified it, with Saved
			return s, nil
		}
		t.verifying = make(chan error, 1)
		go func() {
			err := s.Verify()
			if err != nil {
				store.Drop(name)
			}
			t.verifying <- err
		}()
		return s, nil
	}
	if t.lab.Snapshot == AutoRestore {
		if t.laneIndex == 0 { // one is enough
			t.saver = &saver{store, name}
		}
		return nil, nil
	}
	t.lab.progress(Progress{Kernel: t.out.Ref, Stage: "snapshot", Total: t.total})
	return t.makeSnapshot(ctx, store, name, m)
}

// Saved returns the snapshot from which the machines of a kernel start. It boots one to save it if
// there is none. Each call verifies the snapshot.
func (l *Lab) Saved(ctx context.Context, ref string) (*vm.Snapshot, error) {
	t, err := l.prepare(ctx, ref, &result.KernelRun{Ref: ref}, &result.Run{})
	if err != nil {
		return nil, err
	}
	t.dir = l.Dir
	return t.saved(ctx)
}

// saved returns the snapshot from which the machines of a trial start, verified.
func (t *trial) saved(ctx context.Context) (*vm.Snapshot, error) {
	var err error
	saved := t.machine(ctx, t.dir).Restore
	if t.verifying != nil {
		err = <-t.verifying
		t.verifying = nil
	}
	if err == nil && saved == nil {
		err = errors.New("no machine of this kernel could be saved")
	}
	return saved, err
}

// makeSnapshot boots a machine until its agent says hello, and saves it. It keeps no
// snapshot of a boot with findings: machines that start from it would not show them.
func (t *trial) makeSnapshot(ctx context.Context, store vm.Snapshots, name string, m vm.Machine) (*vm.Snapshot, error) {
	s := &session{trial: t}
	m.Dir, m.Monitor = filepath.Join(t.dir, "snapshot"), true
	if err := s.directory(m.Dir); err != nil {
		return nil, err
	}
	s.m = &m
	if err := m.Start(ctx); err != nil {
		return nil, err
	}
	said, err := s.firstRecord()
	var snap *vm.Snapshot
	if err == nil {
		snap, err = store.Put(name, &m, said)
	}
	m.Kill("the machine is saved")
	io.Copy(io.Discard, m.Control())
	exit := m.Wait()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w (%s: %s)", err, exit.Fate, exit.Reason)
	case len(exit.Findings) > 0:
		store.Drop(name)
		return nil, fmt.Errorf("its boot is not clean: %s", exit.Findings[0].Title)
	}
	return snap, os.RemoveAll(m.Dir)
}

// firstRecord reads the agent's hello, checks it, and returns its bytes.
func (s *session) firstRecord() ([]byte, error) {
	kind, payload, err := wire.NewReader(s.m.Control()).Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the agent sent no hello")
	case err != nil:
		return nil, err
	case kind != wire.KindHello:
		return nil, fmt.Errorf("%w: a %s record instead of hello", wire.ErrCorrupt, kind)
	}
	if _, err := s.checkHello(payload); err != nil {
		return nil, err
	}
	var frame bytes.Buffer
	err = wire.NewWriter(&frame).Write(kind, payload)
	return frame.Bytes(), err
}

// debugger is the program that knows the machine code of an architecture.
func debugger(of *arch.Arch) string {
	if arch.Or(of) == arch.Find(runtime.GOARCH) {
		return "gdb"
	}
	return "gdb-multiarch"
}
