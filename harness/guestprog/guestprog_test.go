package guestprog

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/signals"
	"tokentest/harness/splat"
	"tokentest/harness/testlog"
	"tokentest/harness/usage"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// dirWith makes a directory with files, which are programs that hold their own names.
func dirWith(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(filepath.Base(name)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// places are where the files of a program go, of those below a directory.
func places(p *lab.Program, dir string) []string {
	var out []string
	for _, f := range p.Files {
		if rest, ok := strings.CutPrefix(f.To, dir); ok {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out
}

func TestNew(t *testing.T) {
	dir := dirWith(t, "prog", "data/a", "data/b", "other")
	p, err := New(Options{Args: []string{dir + "/prog", "x"}, Env: []string{"A=b"}, Here: dir, User: "7:8",
		With: []string{"data", dir + "/other:/etc/other"}, Get: []string{"out", "/abs"}})
	if err == nil {
		t.Fatal("names that are relative to Here were found elsewhere")
	}
	t.Chdir(dir)
	p, err = New(Options{Args: []string{"./prog", "x"}, Env: []string{"A=b"}, Here: dir, User: "7:8",
		With: []string{"data", dir + "/other:/etc/other"}, Get: []string{"out", "/abs"}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Args, []string{dir + "/prog", "x"}) || p.Dir != dir || p.UID != 7 || p.GID != 8 ||
		!slices.Equal(p.Env, []string{"A=b"}) {
		t.Errorf("got %+v", p.Exec)
	}
	if got, want := places(p, dir), []string{"/data", "/data/a", "/data/b", "/prog"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if got := places(p, "/etc/"); !slices.Equal(got, []string{"other"}) {
		t.Errorf("in /etc: %q", got)
	}
	if want := []string{dir + "/out", "/abs"}; !slices.Equal(p.Get, want) {
		t.Errorf("it fetches %q, want %q", p.Get, want)
	}
}

// A dynamically linked program brings its loader and libraries.
func TestNewBringsLibraries(t *testing.T) {
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skip("this host has no /bin/sh")
	}
	list, err := lab.Libraries(sh)
	if err != nil || len(list) == 0 {
		t.Skipf("/bin/sh is static here: %v", err)
	}
	p, err := New(Options{Args: []string{sh}, Here: "/"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		if !slices.ContainsFunc(p.Files, func(f lab.File) bool { return f.To == name }) {
			t.Errorf("%s is left behind", name)
		}
	}
}

// With a root the program is one in it, and nothing of this host comes along.
func TestNewRoot(t *testing.T) {
	dir := dirWith(t, "bin/prog", "extra")
	p, err := New(Options{Args: []string{"/bin/prog"}, Here: "/", Root: dir, Dir: "tmp",
		With: []string{dir + "/extra:/x"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Root != guestRoot || p.Dir != "/tmp" || p.Args[0] != "/bin/prog" {
		t.Errorf("got %+v", p.Exec)
	}
	if got, want := places(p, guestRoot), []string{"", "/bin", "/bin/prog", "/extra", "/x"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

// A Go test brings its directory and testdata, and returns the profiles that it writes.
func TestNewGoTest(t *testing.T) {
	dir := dirWith(t, "x.test", "x.go", "testdata/a", "sub/b")
	o := Options{Args: []string{dir + "/x.test", "-test.v", "-test.outputdir=prof", "-test.cpuprofile=cpu",
		"-test.gocoverdir=cover"}, Here: dir}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := places(p, dir), []string{"/testdata", "/testdata/a", "/x.go", "/x.test"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if !slices.Equal(p.Get, []string{dir + "/prof/cpu"}) || !slices.Equal(p.Make,
		[]string{dir + "/prof", dir + "/cover"}) {
		t.Errorf("it fetches %q and makes %q", p.Get, p.Make)
	}
	o.NoTestdata = true
	if p, err = New(o); err != nil || !slices.Equal(places(p, dir), []string{"/x.test"}) {
		t.Errorf("without testdata: %q, %v", places(p, dir), err)
	}
	o.Args = []string{dir + "/x.test", "x"} // not run by go test
	if p, err = New(o); err != nil || len(p.Get) > 0 {
		t.Errorf("a program that is called so: %q, %v", p.Get, err)
	}
}

func TestNewErrors(t *testing.T) {
	dir := dirWith(t, "prog")
	if err := os.WriteFile(dir+"/text", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, code := range map[string]int{"no-such-program": ExitNotFound, dir + "/none": ExitNotFound,
		dir: ExitCannotRun, dir + "/text": ExitCannotRun} {
		var cannot *ProgramError
		if _, err := New(Options{Args: []string{name}, Here: dir}); !errors.As(err, &cannot) || cannot.Code != code {
			t.Errorf("%s: got %v, want the exit code %d", name, err, code)
		}
	}
	for _, o := range []Options{
		{User: "somebody"}, {User: "1:x"}, {User: "-1"}, {With: []string{"/nowhere"}},
		{With: []string{dir + "/prog:/proc/x"}},
		{With: []string{dir + "/prog:/dev"}},
	} {
		o.Args, o.Here = []string{dir + "/prog"}, dir
		_, err := New(o)
		var u *usage.Error
		if !errors.As(err, &u) {
			t.Errorf("%+v: got %v, want a usage error", o, err)
		}
	}
	for text, want := range map[string][2]uint32{"": {}, "root": {}, "nobody": {65534, 65534}, "5": {5, 5},
		"5:6": {5, 6}} {
		if uid, gid, err := parseUser(text); err != nil || uid != want[0] || gid != want[1] {
			t.Errorf("%q: got %d:%d, %v", text, uid, gid, err)
		}
	}
}

// ended is a program's end in a machine with a fate.
func ended(fate vm.Fate, x *wire.Exit, findings ...splat.Finding) *lab.Ended {
	k := &result.KernelRun{Ref: "k", Boots: []result.Boot{{Dir: "kernel0/boot0", Fate: fate, Reason: "why",
		Findings: findings}}}
	return &lab.Ended{Kernel: k, Exit: x}
}

func TestVerdict(t *testing.T) {
	warn := splat.Finding{Kind: splat.KindWarn, Title: "WARNING in f", Fingerprint: "f00"}
	allowed := warn
	allowed.Allowed = "known"
	unsent := []wire.Unsent{{Path: "/h/cover", Error: "no such file", Missing: true},
		{Path: "/h/asked", Error: "no such file", Missing: true}, {Path: "/h/dir", Error: "is a directory"}}
	for _, tt := range []struct {
		name        string
		e           *lab.Ended
		interrupted bool
		code        int
		says        int
	}{
		{"it is well", ended(vm.Clean, &wire.Exit{}), false, 0, 0},
		{"its own status", ended(vm.Clean, &wire.Exit{Code: 7}), false, 7, 0},
		{"it is not there", ended(vm.Clean, &wire.Exit{Missing: true, Error: "no such file"}), false, ExitNotFound, 1},
		{"it cannot run", ended(vm.Clean, &wire.Exit{Error: "exec format error"}), false, ExitCannotRun, 1},
		{"a panic", ended(vm.Panicked, nil), false, result.ExitDiffers, 1},
		{"a hang", ended(vm.Hung, nil), false, result.ExitDiffers, 1},
		{"a lost machine", ended(vm.Lost, nil), false, ExitNoMachine, 1},
		{"a machine lost after its end", ended(vm.Lost, &wire.Exit{}), false, ExitNoMachine, 1},
		{"QEMU failed after its end", ended(vm.Infra, &wire.Exit{}), false, ExitNoMachine, 1},
		{"a panic after its end", ended(vm.Panicked, &wire.Exit{}), false, result.ExitDiffers, 1},
		{"an interruption", ended(vm.Lost, nil), true, ExitNoMachine, 1},
		{"an interruption after its end", ended(vm.Lost, &wire.Exit{Code: 143}), true, 143, 1},
		{"a splat", ended(vm.Tainted, &wire.Exit{}, warn), false, result.ExitDiffers, 2},
		{"a splat and a status", ended(vm.Tainted, &wire.Exit{Code: 3}, warn), false, 3, 2},
		{"an allowed splat", ended(vm.Clean, &wire.Exit{}, allowed), false, 0, 0},
		{"a file is missing", ended(vm.Clean, &wire.Exit{Unsent: unsent}), false, exitNotFetched, 2},
		{"a file is missing, and a status", ended(vm.Clean, &wire.Exit{Code: 5, Unsent: unsent}), false, 5, 2},
		{"a file of a Go test is missing", ended(vm.Clean, &wire.Exit{Unsent: unsent[:1]}), false, 0, 0},
	} {
		code, says := (&Options{Here: "/h", Get: []string{"asked"}}).Verdict(tt.e, "run", tt.interrupted)
		if code != tt.code || len(says) != tt.says {
			t.Errorf("%s: got %d %q, want %d and %d lines", tt.name, code, says, tt.code, tt.says)
		}
	}
}

// An exit status that the tests do not explain is a result of its own.
func TestResults(t *testing.T) {
	const twoPass, oneFails = "1..2\nok 1 a\nok 2 b\n", "1..2\nok 1 a\nnot ok 2 b\n"
	for _, tt := range []struct {
		name, output string
		e            *lab.Ended
		want         string
	}{
		{"all pass", twoPass, ended(vm.Clean, &wire.Exit{}), "prog/a pass, prog/b pass"},
		{"one fails, and the status says so", oneFails, ended(vm.Clean, &wire.Exit{Code: 1}), "prog/a pass, prog/b fail"},
		{"all pass, and the status fails", twoPass, ended(vm.Clean, &wire.Exit{Code: 1}),
			"prog/a pass, prog/b pass, prog/exit fail"},
		{"the status of a skip", twoPass, ended(vm.Clean, &wire.Exit{Code: kselftestSkip}), "prog/a pass, prog/b pass"},
		{"killed at the end", twoPass, ended(vm.Clean, &wire.Exit{Code: 137, Signal: 9}),
			"prog/a pass, prog/b pass, prog/exit fail"},
		{"the machine died", "1..2\nok 1 a\n", ended(vm.Panicked, nil), "prog/a pass, prog/plan broken, prog/exit broken"},
		{"it could not run", "", ended(vm.Clean, &wire.Exit{Error: "no such file"}), "prog/exit broken"},
	} {
		name := filepath.Join(t.TempDir(), "output")
		if err := os.WriteFile(name, []byte(tt.output), 0o644); err != nil {
			t.Fatal(err)
		}
		list, err := Results(name, tt.e, "/bin/prog", "tap")
		var got []string
		for _, c := range list {
			got = append(got, c.ID+" "+string(c.Status))
			if (c.Cause.Kind == "") != (c.Status == result.Pass) {
				t.Errorf("%s: %s %s has the cause %q", tt.name, c.ID, c.Status, c.Cause.Kind)
			}
		}
		if text := strings.Join(got, ", "); err != nil || text != tt.want {
			t.Errorf("%s: got %s, %v; want %s", tt.name, text, err, tt.want)
		}
	}
	name := filepath.Join(t.TempDir(), "output")
	if _, err := Results(name, ended(vm.Clean, &wire.Exit{}), "prog", "tap"); err == nil {
		t.Error("no error without an output")
	}
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Results(name, ended(vm.Clean, &wire.Exit{}), "prog", "tap"); !errors.Is(err, testlog.ErrNothing) {
		t.Errorf("an output without tests: got %v", err)
	}
}

// The first ending signal and every SIGUSR1 go to the program. If the program does not end in time,
// the command ends.
func TestForward(t *testing.T) {
	kill := func(s syscall.Signal) { syscall.Kill(os.Getpid(), s) }
	got := make(chan wire.Signal)
	var took time.Duration
	code := signals.New(3).Run(io.Discard, func(ctx context.Context) int {
		stop := Forward(ctx, got)
		defer stop()
		for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR1, syscall.SIGTERM} {
			kill(s)
			if g := <-got; g.Number != int(s) || ctx.Err() != nil {
				return 1
			}
		}
		start := time.Now()
		<-ctx.Done()
		took = time.Since(start)
		return 0
	})
	if code != 0 || took < graceProgram/2 {
		t.Errorf("exit code %d, the program had %s", code, took)
	}
}

// Before a program runs a signal ends the command.
func TestForwardToNobody(t *testing.T) {
	code := signals.New(3).Run(io.Discard, func(ctx context.Context) int {
		stop := Forward(ctx, make(chan wire.Signal))
		defer stop()
		syscall.Kill(os.Getpid(), syscall.SIGINT)
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(10 * time.Second):
			return 1
		}
	})
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// What is stored reads back as a kernel of run.json, with the program's end beside it.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	if err := Store(dir, ended(vm.Panicked, &wire.Exit{Code: 7}), 7); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "machine.json"))
	var got struct {
		Boots   []result.Boot
		Program *wire.Exit
		Code    int `json:"exit_code"`
	}
	if err = errors.Join(err, json.Unmarshal(text, &got)); err != nil {
		t.Fatal(err)
	}
	if len(got.Boots) != 1 || got.Boots[0].Fate != vm.Panicked || got.Program.Code != 7 || got.Code != 7 {
		t.Errorf("got %+v of %s", got, text)
	}
	if err := Store(filepath.Join(dir, "none"), ended(vm.Clean, nil), 0); err == nil {
		t.Error("no error without a directory")
	}
}

// u-root's commands are found after all others, and only by a program that looks for commands at all.
func TestWithExtras(t *testing.T) {
	for in, want := range map[string]string{"PATH=/usr/bin": "PATH=/usr/bin:/bin", "PATH=/bin:/x": "PATH=/bin:/x",
		"PATH=": "PATH=/bin", "HOME=/": "HOME=/"} {
		if got := withExtras([]string{"A=b", in}); !slices.Equal(got, []string{"A=b", want}) {
			t.Errorf("%s: %q", in, got)
		}
	}
}
