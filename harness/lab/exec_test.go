package lab

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// scripted is a program that runs a script, with its output.
func scripted(t *testing.T, script string) (p *Program, out, errs *bytes.Buffer) {
	t.Helper()
	files, err := Gather("/bin/sh", "/bin/sh")
	if err != nil {
		t.Skip(err)
	}
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	return &Program{
		Exec:  wire.Exec{Args: []string{"/bin/sh", "-c", script}, Env: os.Environ(), Dir: t.TempDir()},
		Files: files, Stdout: out, Stderr: errs,
	}, out, errs
}

// TestExec: output, input and exit status of a program come back.
func TestExec(t *testing.T) {
	for _, tt := range []struct {
		name, script, in string
		out, errs        string
		code, signal     int
	}{
		{"output", "echo one; echo two >&2", "", "one\n", "two\n", 0, 0},
		{"a status", "exit 7", "", "", "", 7, 0},
		{"a signal", "kill -9 $$", "", "", "", 137, 9},
		{"input", "tr a-z A-Z", "words\n", "WORDS\n", "", 0, 0},
		{"no input", "cat; echo end", "", "end\n", "", 0, 0},
		{"much input", "wc -c | tr -d ' '", strings.Repeat("x", 1<<20), "1048576\n", "", 0, 0},
		{"unread input", "exit 3", strings.Repeat("x", 1<<20), "", "", 3, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, "clean")
			p, out, errs := scripted(t, tt.script)
			p.Stdin = strings.NewReader(tt.in)
			got, err := l.Exec(t.Context(), "bzImage", p)
			if err != nil {
				t.Fatal(err)
			}
			b := got.Kernel.Boots[0]
			if b.Fate != vm.Clean || got.Exit == nil || got.Exit.Code != tt.code || got.Exit.Signal != tt.signal {
				t.Errorf("%s: %s, %+v", b.Fate, b.Reason, got.Exit)
			}
			if out.String() != tt.out || errs.String() != tt.errs {
				t.Errorf("wrote %q and %q, want %q and %q", out, errs, tt.out, tt.errs)
			}
			if got.Kernel.Release == "" || b.Dir != "boot0" || b.Boot <= 0 {
				t.Errorf("the record is %+v", b)
			}
		})
	}
}

// TestModuleOnDemand: the guest's question for a module is answered, also where the kernel has none.
func TestModuleOnDemand(t *testing.T) {
	l := newLab(t, "module")
	p, out, _ := scripted(t, "sleep 1")
	if _, err := l.Exec(t.Context(), "bzImage", p); err != nil {
		t.Fatal(err)
	}
	if want := `{"why":"the kernel's modules are not known"}`; out.String() != want {
		t.Errorf("the answer is %q, want %q", out, want)
	}
}

// TestExecEnds: how a machine ends under a program, and what that says about both.
func TestExecEnds(t *testing.T) {
	for _, tt := range []struct {
		acts, script string
		fate         vm.Fate
		reason       string
		exits        bool
		under        string // the program that a finding is attributed to
	}{
		{"panic", "true", vm.Panicked, "BUG: kernel NULL pointer dereference in bpf_token_put", false, "/bin/sh"},
		{"off", "true", vm.Lost, "the guest powered off before its done record", false, ""},
		{"refuse", "true", vm.Infra, "qemu exited with status 1", false, ""},
		{"mute", "true", vm.Unbooted, "the machine ended before the guest said hello", false, ""},
		{"twice", "true", vm.Lost, "corrupt record: the guest acknowledged input that was never sent", false, ""},
		{"build", "true", vm.Lost, "the guest's build id is 0123456789abcdef", false, ""},
		{"splat", "true", vm.Tainted, "WARNING in bpf_token_create (kernel/bpf/token.c)", true, "/bin/sh"},
		{"words", "true", vm.Clean, "powered off after its done record", true, ""},
		{"runaway", "true", vm.Infra, "soft lockup, and the host is to blame", true, "/bin/sh"},
	} {
		t.Run(tt.acts, func(t *testing.T) {
			l := newLab(t, tt.acts)
			p, _, _ := scripted(t, tt.script)
			got, err := l.Exec(t.Context(), "bzImage", p)
			if err != nil {
				t.Fatal(err)
			}
			b := got.Kernel.Boots[0]
			if b.Fate != tt.fate || !strings.HasPrefix(b.Reason, tt.reason) || (got.Exit != nil) != tt.exits {
				t.Errorf("%s: %s, exit %+v", b.Fate, b.Reason, got.Exit)
			}
			under := ""
			if len(b.Findings) > 0 {
				under = b.Findings[0].Case
			}
			if under != tt.under {
				t.Errorf("a finding is attributed to %q, want %q", under, tt.under)
			}
		})
	}
}

// TestExecMissing: a program that was not sent is missing in the guest.
func TestExecMissing(t *testing.T) {
	l := newLab(t, "clean")
	p, _, _ := scripted(t, "true")
	p.Files = nil
	got, err := l.Exec(t.Context(), "bzImage", p)
	if err != nil || got.Exit == nil || !got.Exit.Missing || got.Kernel.Boots[0].Fate != vm.Clean {
		t.Errorf("%v, %+v", err, got)
	}
}

// TestExecGet: a requested file comes back.
func TestExecGet(t *testing.T) {
	l := newLab(t, "clean")
	name := filepath.Join(t.TempDir(), "made")
	p, _, _ := scripted(t, "echo made > "+name)
	p.Get = []string{name}
	if _, err := l.Exec(t.Context(), "bzImage", p); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(name); string(text) != "MADE\n" { // the fake guest sends upper case
		t.Errorf("got %q, %v", text, err)
	}
}

// TestFetch: a file that nobody requested, and a part without its start, are refused.
func TestFetch(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	x := &executor{p: &Program{Exec: wire.Exec{Get: []string{name}}}}
	send := func(f wire.File) error { return x.fetch(wire.EncodeFile(&f)) }
	if err := send(wire.File{Path: name, More: true, Data: []byte("b")}); err == nil {
		t.Error("the rest of a file without its start was stored")
	}
	if err := send(wire.File{Path: name + "2", Data: []byte("a")}); err == nil {
		t.Error("a file that was not requested was stored")
	}
	if _, err := os.Stat(name + "2"); err == nil {
		t.Error("a file that was not requested exists")
	}
	for i, f := range []wire.File{{Path: name, Data: []byte("a")}, {Path: name, More: true, Data: []byte("b")}} {
		if err := send(f); err != nil {
			t.Errorf("part %d: %v", i, err)
		}
	}
	if err := x.closeBack(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(name); string(text) != "ab" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
}

// TestSignals: signals reach the program.
func TestSignals(t *testing.T) {
	l := newLab(t, "clean")
	p, _, _ := scripted(t, "echo ready; exec sleep 60")
	ready, signals := &trigger{at: "ready", done: make(chan struct{})}, make(chan wire.Signal, 1)
	p.Stdout, p.Signals = ready, signals
	go func() {
		<-ready.done
		signals <- wire.Signal{Number: 15}
	}()
	got, err := l.Exec(t.Context(), "bzImage", p)
	if err != nil || got.Exit == nil || got.Exit.Signal != 15 || got.Exit.Code != 143 {
		t.Errorf("%v, %+v", err, got.Exit)
	}
}

// trigger is a writer that closes done once it has got a text.
type trigger struct {
	at   string
	got  bytes.Buffer
	done chan struct{}
}

func (g *trigger) Write(p []byte) (int, error) {
	before := strings.Contains(g.got.String(), g.at)
	g.got.Write(p)
	if !before && strings.Contains(g.got.String(), g.at) {
		close(g.done)
	}
	return len(p), nil
}

// TestSilentAgent: console output is no sign of life of an agent that sends nothing.
func TestSilentAgent(t *testing.T) {
	l := newLab(t, "chatter")
	r := l.runner()
	r.deadlines.alive = 300 * time.Millisecond
	p := &Program{Exec: wire.Exec{Args: []string{"true"}}, Stdout: io.Discard, Stderr: io.Discard}
	out, err := r.exec(t.Context(), "bzImage", p)
	if err != nil {
		t.Fatal(err)
	}
	if b := out.Kernel.Boots[0]; b.Fate != vm.Hung ||
		b.Reason != "the agent said nothing for 300ms, whatever the console prints" {
		t.Errorf("%s: %s", b.Fate, b.Reason)
	}
}
