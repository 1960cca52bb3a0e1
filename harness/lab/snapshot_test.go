package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/harness/lab/labtest"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// A machine that began from a snapshot that is not whole is ended before
// anything is taken from it, and another one boots.
func TestLaunchVerifies(t *testing.T) {
	for name, whole := range map[string]bool{"whole": true, "damaged": false} {
		t.Setenv(labtest.Saves, "1")
		l := newLab(t, "clean clean clean")
		var log []string
		l.Log = func(format string, args ...any) { log = append(log, format) }
		tr, err := l.prepare(context.Background(), newPlan(t, 0, "nested_userns").Kernels[0], &result.KernelRun{},
			&result.Run{})
		if err != nil {
			t.Fatal(err)
		}
		tr.out, tr.dir = &result.KernelRun{}, t.TempDir()
		state := keepSnapshot(t, tr, whole)
		tr.lab.Snapshot = AlwaysRestore
		m, err := tr.launch(context.Background(), tr.dir, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m.Kill("it has begun")
		io.Copy(io.Discard, m.Control())
		m.Wait()
		text, err := os.ReadFile(state)
		if m.Restore == nil || string(text) != "state" || tr.verifying != nil {
			t.Errorf("%s: restored %v, the state %q (%v)", name, m.Restore != nil, text, err)
		}
		if said := strings.Contains(strings.Join(log, "\n"), "a new one is made"); said == whole {
			t.Errorf("%s: said %q", name, log)
		}
	}
}

// keepSnapshot stores something as the state that the trial's machine begins with.
func keepSnapshot(t *testing.T, tr *trial, whole bool) string {
	cache, err := tr.lab.cacheDir()
	if err != nil {
		t.Fatal(err)
	}
	m := tr.machine(context.Background(), tr.dir)
	name, err := m.SnapshotName(tr.kernel.Digest, string(tr.entry.how), tr.image.Digest)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(cache, "snapshots", name)
	sum := sha256.Sum256([]byte("state"))
	note, err := json.Marshal(vm.Snapshot{Digest: hex.EncodeToString(sum[:]), Size: 5, TSC: vm.HostTSC()})
	if err != nil {
		t.Fatal(err)
	}
	text := map[bool]string{true: "state", false: "stale"}[whole]
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{base + ".json": string(note), base + ".state": text} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return base + ".state"
}
