package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

func isUsage(err error) bool {
	var u *usage.Error
	return errors.As(err, &u)
}

// stateDir makes a state directory for runs outside a checkout.
func stateDir(t *testing.T) string {
	t.Helper()
	t.Chdir(t.TempDir())
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	return filepath.Join(dir, "tokentest", "runs")
}

func TestBase(t *testing.T) {
	want := stateDir(t)
	if got, err := Base(); err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/home/u")
	if got, err := Base(); err != nil || got != "/home/u/.local/state/tokentest/runs" {
		t.Errorf("without XDG_STATE_HOME: got %s, %v", got, err)
	}
	t.Setenv("HOME", "")
	if _, err := Base(); err == nil || !strings.Contains(err.Error(), "--out") {
		t.Errorf("without a home: got %v, want advice to use --out", err)
	}
	t.Setenv(Variable, "mine")
	if got, err := Base(); err != nil || got != "mine" {
		t.Errorf("with %s: got %s, %v", Variable, got, err)
	}
}

// All directories of a checkout share its runs, unless the user cannot write there.
func TestBaseOfCheckout(t *testing.T) {
	state := stateDir(t)
	err := errors.Join(os.WriteFile("go.mod", []byte("module tokentest\n"), 0o644), os.MkdirAll("a/b", 0o755))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Base(); err != nil || got != "results/runs" {
		t.Errorf("got %s, %v", got, err)
	}
	other := make(chan string)
	go func() { // the thread ends with this goroutine
		runtime.LockOSThread()
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			other <- state // an ordinary user runs the test
			return
		}
		dir, _ := Base()
		other <- dir
	}()
	if got := <-other; got != state {
		t.Errorf("for a user who cannot write there: got %s, want %s", got, state)
	}
	t.Chdir("a/b")
	if got, err := Base(); err != nil || got != "../../results/runs" {
		t.Errorf("below it: got %s, %v", got, err)
	}
	if err := os.WriteFile("go.mod", []byte("module else\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := Base(); err != nil || got != "../../results/runs" {
		t.Errorf("in a module of its own: got %s, %v", got, err)
	}
}

// Runs that start in the same moment get directories of their own.
func TestMake(t *testing.T) {
	base := stateDir(t)
	seen := map[string]bool{}
	for range 20 {
		dir, err := Make("")
		if err != nil || filepath.Dir(dir) != base || seen[dir] {
			t.Fatalf("got %s, %v; want a new directory in %s", dir, err, base)
		}
		seen[dir] = true
	}
	dir, err := Make("a/b")
	if info, err2 := os.Stat("a/b"); err != nil || err2 != nil || !info.IsDir() || !filepath.IsAbs(dir) {
		t.Errorf("got %s, %v, %v", dir, err, err2)
	}
	if _, err := Make("a/b"); !isUsage(err) {
		t.Errorf("a directory that exists: got %v", err)
	}
	if _, err := MakeDir("a/b"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want that it exists", err)
	}
}

// stored writes a run.
func stored(t *testing.T, dir string, r *result.Run) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.Version, r.Dir = result.Version, dir
	if err := Store(r); err != nil {
		t.Fatal(err)
	}
	return dir
}

func oneCase(ref string) *result.KernelRun {
	return &result.KernelRun{Ref: ref, Cases: []result.CaseResult{{ID: "x", Status: result.Pass}}}
}

// TestKeep: merged parts that are kept are read again as one whole run, whose machines are where they were.
func TestKeep(t *testing.T) {
	base := t.TempDir()
	part := func(i int) *result.Run {
		k := oneCase("k")
		k.Cases[0].ID, k.Boots = fmt.Sprintf("c%d", i), []result.Boot{{Dir: "kernel0/boot0"}}
		r := &result.Run{Part: &result.Part{I: i, N: 2, Plan: "x"}, Kernels: []*result.KernelRun{k}}
		dir := stored(t, filepath.Join(base, fmt.Sprint("part", i)), r)
		r, err := (&result.Loader{Worlds: true}).Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r, err := result.Merge([]*result.Run{part(1), part(2)})
	if err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(base, "a", "whole")
	if err := Keep(r, whole); err != nil {
		t.Fatal(err)
	}
	again, err := (&result.Loader{}).Load(whole)
	if err != nil {
		t.Fatal(err)
	}
	k := again.Kernels[0]
	if again.Part != nil || len(again.Missing) > 0 || k.Len() != 2 || len(again.Gaps()) > 0 {
		t.Errorf("read again: part %v, missing %v, %d cases, %v", again.Part, again.Missing, k.Len(), again.Gaps())
	}
	if got := k.Boots[1].Dir; got != "../../part2/kernel0/boot0" {
		t.Errorf("the second machine is in %s", got)
	}
	if err := Keep(again, whole); err == nil {
		t.Error("a directory that exists was overwritten")
	}
	again.Damage = []result.Damage{{}}
	if err := Keep(again, filepath.Join(base, "other")); err == nil {
		t.Error("a damaged run was kept as a whole one")
	}
}

func TestLoad(t *testing.T) {
	base := stateDir(t)
	_, err := Load(&result.Loader{}, "nowhere")
	if !isUsage(err) || !strings.HasSuffix(err.Error(), "; tokentest run makes one") {
		t.Errorf("without any run: got %v", err)
	}
	dir := stored(t, filepath.Join(base, "20260101-000000.000"), &result.Run{Kernels: []*result.KernelRun{oneCase("a")}})
	if _, err = Head("nowhere"); !isUsage(err) || !strings.HasSuffix(err.Error(), "; the newest is in "+dir) {
		t.Errorf("with a run: got %v", err)
	}
	r, err := Load(&result.Loader{}, dir)
	if err != nil || len(r.Kernels) != 1 || r.Kernels[0].Len() != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	if r, err = Head(dir); err != nil || len(r.Kernels) != 1 {
		t.Errorf("its head: got %+v, %v", r, err)
	}
}

func TestSide(t *testing.T) {
	dir := stored(t, filepath.Join(t.TempDir(), "run"), &result.Run{Kernels: []*result.KernelRun{oneCase("a"),
		oneCase("b")}})
	s, err := Side(&result.Loader{}, dir, "")
	if err != nil || len(s.Runs) != 1 || s.Kernel != "" {
		t.Errorf("got %+v, %v", s, err)
	}
	if s, err = Side(&result.Loader{}, dir, "b"); err != nil || s.Kernel != "b" || s.Name != "b of "+dir {
		t.Errorf("kernel b: got %+v, %v", s, err)
	}
	if _, err = Side(&result.Loader{}, dir, "c"); !isUsage(err) || !strings.HasSuffix(err.Error(), "it has a, b") {
		t.Errorf("kernel c: got %v", err)
	}
	if _, err = Side(&result.Loader{}, "nowhere", ""); !isUsage(err) {
		t.Errorf("nowhere: got %v", err)
	}
}

// notes collects what is noted.
type notes []string

func (n *notes) note(format string, args ...any) { *n = append(*n, fmt.Sprintf(format, args...)) }

func TestNoteUnverified(t *testing.T) {
	old, dir := &result.Run{Unverified: true}, &result.Run{Unverified: true, Dir: "d"}
	for _, tt := range []struct {
		list []*result.Run
		want string
	}{
		{nil, ""},
		{[]*result.Run{{}}, ""},
		{[]*result.Run{{}, dir}, "d: " + unverified},
		{[]*result.Run{old}, "the baseline: " + unverified},
		{[]*result.Run{old, dir}, "2 runs: " + unverified},
	} {
		var n notes
		if NoteUnverified(n.note, tt.list...); strings.Join(n, "\n") != tt.want {
			t.Errorf("got %q, want %q", n, tt.want)
		}
	}
}

// A run whose records are cut off is not complete, and the error says how to make it whole.
func TestComplete(t *testing.T) {
	run := &result.Run{Kernels: []*result.KernelRun{oneCase("a"), oneCase("b")}}
	dir := stored(t, filepath.Join(t.TempDir(), "run"), run)
	var n notes
	r, err := Load(&result.Loader{}, dir)
	if err == nil {
		err = Complete(r, n.note)
	}
	if err != nil || len(n) != 0 {
		t.Fatalf("the whole: got %v, noted %q", err, n)
	}
	name := filepath.Join(dir, "records.jsonl")
	info, err := os.Stat(name)
	if err == nil {
		err = os.Truncate(name, info.Size()-3)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r, err = Load(&result.Loader{}, dir); err != nil {
		t.Fatal(err)
	}
	r.Resume = []string{"a b"}
	err = Complete(r, n.note)
	if err == nil || isUsage(err) || !strings.HasSuffix(err.Error(),
		"tokentest run --resume 'a b' makes the records again") {
		t.Errorf("cut off: got %v, noted %q", err, n)
	}
}

// A case of the user's file is found where the file was, and left out if the file is gone.
func TestCorpus(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.txt")
	text := "about Mine.\nactor owner userns uid=1000\nactor other init uid=4242\n" +
		"owner bpffs cmds=map_create maps=hash -> b\nowner token_create bpffs=b -> t\n" +
		"control owner map_create type=hash token=t\ncontrol other map_create type=hash => EPERM\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Corpus(t.Context(), &result.Run{Files: map[string]string{"mine": file, "gone": file + ".gone"}})
	if err != nil || c.Case("mine") == nil || c.Case("nested_userns") == nil {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(file, []byte("nosense\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err = Corpus(t.Context(), &result.Run{Files: map[string]string{"mine": file}}); !isUsage(err) {
		t.Errorf("a damaged file: got %v, want a usage error", err)
	}
}

// A kernel's configuration comes back from the directory of its boot.
func TestRejudge(t *testing.T) {
	dir := t.TempDir()
	boot := filepath.Join(dir, "boot0")
	if err := os.MkdirAll(boot, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(boot, "config"), []byte("CONFIG_BPF_LSM=y\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	k := &result.KernelRun{Ref: "a", Facts: &step.Facts{Release: "6.12.0"}, Boots: []result.Boot{{Dir: "boot0"}},
		Cases: []result.CaseResult{{ID: "nosuch", Status: result.Pass}}}
	now, kept, err := Rejudge(t.Context(), &result.Run{Dir: dir, Kernels: []*result.KernelRun{k}})
	if err != nil || k.Facts.Config["BPF_LSM"] != "y" {
		t.Errorf("got the configuration %v, %v", k.Facts.Config, err)
	}
	n := 0
	for _, i := range kept {
		n += i
	}
	if n != 1 || !slices.ContainsFunc(now.Kernels[0].Cases, func(c result.CaseResult) bool { return c.ID == "nosuch" }) {
		t.Errorf("a case that is gone is not kept: %v", kept)
	}
}
