package lab

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/harness/result"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// SnapshotUse says which machines start from a snapshot of a machine that booted before.
type SnapshotUse string

// The uses.
const (
	NeverRestore SnapshotUse = ""
	// AutoRestore starts machines from a snapshot if there is one. Otherwise it saves the
	// first machine that boots, for the next run.
	AutoRestore SnapshotUse = "auto"
	// AlwaysRestore boots a machine to save it if there is no snapshot.
	AlwaysRestore SnapshotUse = "always"
)

// never is NeverRestore as users write it.
const never = "never"

// Set, String and Type make *SnapshotUse the value of a flag.
func (u *SnapshotUse) Set(text string) error {
	switch now := SnapshotUse(text); {
	case text == never:
		*u = NeverRestore
	case now == AutoRestore, now == AlwaysRestore:
		*u = now
	default:
		return errors.New("must be auto, always or never")
	}
	return nil
}

func (u *SnapshotUse) String() string { return cmp.Or(string(*u), never) }

// Type is what pflag calls the type of the value.
func (*SnapshotUse) Type() string { return "string" }

// The kernel is to blame only for failures that a machine shows which booted. If a restored
// machine does not end well or a case fails on it, a machine that boots runs the same cases,
// and its results count.

// beganFile in a boot's directory holds result.Boot.Began.
const beganFile = "began"

// noteBegan stores how the session's machine started, for a resumed run.
func (s *session) noteBegan(dir string) {
	s.began = s.trial.began(s.m)
	s.trial.reportBegan(s.began)
	if err := os.WriteFile(filepath.Join(dir, beganFile), []byte(s.began+"\n"), 0o644); err != nil {
		s.trial.lab.log("%s: store how the machine began: %v", s.trial.out.Ref, err)
	}
}

// recallBegan reads how a stored boot started. Later machines of the kernel start the same way.
func (s *session) recallBegan(dir string) {
	text, err := os.ReadFile(filepath.Join(dir, beganFile))
	if err != nil {
		return // an older tokentest stored it
	}
	s.began = strings.TrimSpace(string(text))
	if s.began == string(BzImageEntry) && s.trial.lab.Entry == AutoEntry {
		s.trial.entry = entry{BzImageEntry, s.trial.kernel.Image}
	}
}

// saver saves a machine after its boot, for the next run.
type saver struct {
	store vm.Snapshots
	name  string
}

// save saves the machine's state once its agent has said hello. If that fails, the next run
// boots.
func (s *session) save(payload []byte) {
	if s.saver == nil || s.replayed {
		return
	}
	var said bytes.Buffer
	err := wire.NewWriter(&said).Write(wire.KindHello, payload)
	if err == nil {
		_, err = s.saver.store.Put(s.saver.name, s.m, said.Bytes())
	}
	if err != nil {
		s.saver = nil // there is no snapshot to drop
	}
}

// dropSnapshot removes the snapshot of a machine that did not end well, so that the next run
// has the complete log of a boot.
func (s *session) dropSnapshot(exit vm.Exit) {
	if exit.Fate == vm.Clean && len(exit.Findings) == 0 || s.trial.provoking || len(s.trial.lab.Patches) > 0 {
		return
	}
	if s.saver != nil {
		s.saver.store.Drop(s.saver.name)
	}
	if s.m != nil && s.m.Restore != nil {
		s.m.Restore.Drop()
	}
}

// bootFromNowOn makes all further machines of the kernel boot.
func (t *trial) bootFromNowOn() { t.snapshot, t.snapshotTried, t.cold = nil, true, true }

// doubt drops the results of a restored machine that did not end well, so that a machine that
// boots runs the cases. It reports whether it did.
func (t *trial) doubt(b *bootOutcome) bool {
	i := len(t.out.Boots) - 1
	if t.cold || i < 0 || t.out.Boots[i].Began != result.Restored || b.exit.Fate == vm.Clean || b.cut {
		return false
	}
	t.bootFromNowOn()
	if b.idle && len(b.exit.Findings) == 0 { // it never ran, so it showed nothing
		t.disown(result.Restored)
		t.remark(fmt.Sprintf("a machine could not be restored from its snapshot (%s), so all machines boot; "+
			"if that happens again, give --snapshot=never", b.exit.Reason))
		return true
	}
	t.doubted = append(t.doubted, i)
	t.results.forgetOf(i)
	return true
}

// settleDoubts gives the restored machines that did not end well the fate infra if no machine
// that booted ended badly: then nothing is known about the kernel.
func (t *trial) settleDoubts() {
	bad := func(b result.Boot) bool {
		return b.Began != result.Restored && b.Known == "" && (b.Fate == vm.Tainted || b.Fate == vm.Panicked ||
			b.Fate == vm.Hung)
	}
	if slices.ContainsFunc(t.out.Boots, bad) {
		return
	}
	why := "no machine that booted could confirm it"
	if slices.ContainsFunc(t.out.Boots, func(b result.Boot) bool {
		return b.Began != result.Restored && b.Fate == vm.Clean
	}) {
		why = "one that booted did not show it"
	}
	for _, i := range t.doubted {
		b := &t.out.Boots[i]
		b.Reason = fmt.Sprintf("%s, but only on a machine that was restored from a snapshot; %s: %s",
			b.Fate, why, b.Reason)
		b.Fate = vm.Infra
	}
}

// confirm runs the cases that failed on a restored machine again, on machines that boot. again
// runs cases.
func (t *trial) confirm(ctx context.Context, all []*cases.Case, again func([]*cases.Case)) {
	if t.ended(ctx) {
		return
	}
	first := map[*cases.Case]result.CaseResult{}
	var list []*cases.Case
	for _, c := range all {
		r := t.results.of(c)
		if r == nil || r.Status != result.Fail && r.Status != result.Broken || r.Boot < 0 ||
			t.out.Boots[r.Boot].Began != result.Restored {
			continue
		}
		first[c] = *r
		list = append(list, c)
		t.results.forget(c)
	}
	if len(list) == 0 {
		return
	}
	t.bootFromNowOn()
	t.lab.progress(Progress{Kernel: t.out.Ref, Stage: "confirm", Done: t.results.done, Total: t.total, Failed: t.failed})
	t.failed -= len(list)
	again(list)
	for _, c := range list {
		was, now := first[c], t.results.of(c)
		if was.Status == result.Fail && now != nil && now.Status == result.Pass {
			t.set(c, result.NewResult(c.ID, result.Broken, result.Cause{Kind: result.Unconfirmed},
				"it failed on a machine that was restored from a snapshot, and passed on one that booted: "+was.Reason, was.Boot))
		}
	}
}
