package progress

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/signals"
)

// output is a writer for several goroutines.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *output) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *output) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.NewReplacer("\r", "", clearRight, "", clearBelow, "").Replace(s.text.String())
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("not in time: %s", what)
			return
		}
	}
}

// Without a terminal there is a line for each stage that a person waits for.
func TestShowLines(t *testing.T) {
	var out output
	l := &lab.Lab{}
	d := Show(t.Context(), l, &out, false)
	for _, p := range []lab.Progress{
		{Kernel: "a", Stage: "resolve", Total: 10},
		{Kernel: "a", Stage: "boot", Total: 10},
		{Kernel: "a", Stage: "boot", Total: 10, Began: "direct"},
		{Kernel: "b", Stage: "boot", Total: 10},
		{Kernel: "b", Stage: "boot", Total: 10, Began: result.Restored},
		{Kernel: "a", Stage: "run", Total: 10},
		{Kernel: "a", Stage: "run", Done: 5, Total: 10},
		{Kernel: "a", Wrong: &result.CaseResult{ID: "x", Status: result.Fail}},
		{Kernel: "a", Stage: "boot", Done: 9, Total: 10},
		{Kernel: "a", Stage: "boot", Done: 9, Total: 10, Began: "direct"},
		{Kernel: "a", Stage: "run", Done: 9, Total: 10},
		{Kernel: "a", Stage: "done", Done: 10, Total: 10},
	} {
		l.Progress(p)
	}
	d.End()
	want := "a: booting\nb: restored from a snapshot\na: running 10 cases\n" +
		"a: booting again, 9 of 10 cases have a result\na: running 1 case\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// Nothing is shown and nothing breaks without a display.
func TestNilDisplay(t *testing.T) {
	var d *Display
	d.End()
}

// On a terminal the lab's notes and failures stay on the screen, the first few of them.
func TestShowTerminal(t *testing.T) {
	var out output
	l := &lab.Lab{Dir: filepath.Join(t.TempDir(), "run")}
	d := Show(t.Context(), l, &out, true)
	l.Log("building %s", "x")
	l.Progress(lab.Progress{Kernel: "k", Stage: "run", Total: 10})
	for range maxTold + 3 {
		l.Progress(lab.Progress{Kernel: "k", Wrong: &result.CaseResult{ID: "case", Status: result.Fail,
			Reason: "got\x1b[2J ok"}})
	}
	l.Progress(lab.Progress{Kernel: "k", Wrong: &result.CaseResult{ID: "stopped", Status: result.Interrupted}})
	d.End()
	if !strings.Contains(out.String(), "the report has the other failures\n") {
		t.Errorf("got %q", out.String())
	}
	if got := strings.Count(out.String(), "k fail case: got?[2J ok\n"); got != maxTold-1 {
		t.Errorf("%d failures are shown, want %d: %q", got, maxTold-1, out.String())
	}
	if !strings.Contains(out.String(), "building x\n") || strings.Contains(out.String(), "stopped") {
		t.Errorf("got %q", out.String())
	}
}

// SIGQUIT switches the console on and off; other signals are not for the display.
func TestConsoleOnSignal(t *testing.T) {
	console := filepath.Join(t.TempDir(), "console.log")
	if err := os.WriteFile(console, []byte("[    0.0] Linux version 6.12\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out output
	code := signals.New(3).Run(&out, func(ctx context.Context) int {
		l := &lab.Lab{}
		d := Show(ctx, l, &out, true)
		l.Progress(lab.Progress{Kernel: "k", Stage: "boot", Console: console})
		kill := func(s syscall.Signal) { syscall.Kill(os.Getpid(), s) }
		is := func(of func() bool) func() bool {
			return func() bool {
				d.live.mu.Lock()
				defer d.live.mu.Unlock()
				return of()
			}
		}
		kill(syscall.SIGQUIT)
		until(t, "the console is on", is(func() bool { return d.live.console }))
		until(t, "the console is read", is(func() bool { return d.live.kernel("k").consoles[0].printed > 0 }))
		kill(syscall.SIGQUIT)
		until(t, "the console is off", is(func() bool { return !d.live.console }))
		if ctx.Err() != nil {
			return 1
		}
		kill(syscall.SIGTERM)
		<-ctx.Done()
		d.End()
		return 0
	})
	if code != 0 {
		t.Errorf("exit code %d: SIGQUIT ended the command", code)
	}
	for _, want := range []string{"console on (Ctrl-\\)\n", "k| [    0.0] Linux version 6.12\n",
		"console off (Ctrl-\\)\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
}

// TestBeat says how far each kernel is without a terminal, again and again, and nothing of those
// that are done.
func TestBeat(t *testing.T) {
	var out output
	p := newPlain(&out, time.Hour)
	defer p.end()
	p.step(lab.Progress{Kernel: "a", Stage: "resolve", Total: 10})
	p.step(lab.Progress{Kernel: "a", Doing: "fetching x, 3.1 of 9.9 MB", Stage: "resolve"})
	p.step(lab.Progress{Kernel: "b", Stage: "run", Done: 4, Total: 10, Failed: 1, Expect: time.Hour})
	p.step(lab.Progress{Kernel: "c", Stage: "boot", Began: result.Restored, Expect: time.Minute})
	p.step(lab.Progress{Kernel: "d", Stage: "run", Total: 10})
	p.step(lab.Progress{Kernel: "d", Stage: "done", Done: 10, Total: 10})
	before := len(out.String())
	p.beat()
	want := "a: fetching x, 3.1 of 9.9 MB\nb: run, 4 of 10 cases have a result, 1 WRONG\nc: restored, 1m0s left\n"
	if got := out.String()[before:]; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	quick := newPlain(&out, time.Millisecond)
	quick.step(lab.Progress{Kernel: "e", Stage: "image"})
	until(t, "a line by itself", func() bool { return strings.Contains(out.String(), "e: packing the initramfs\n") })
	quick.end()
}

// TestConsoleLines keeps lines of a console whole between those of the progress.
func TestConsoleLines(t *testing.T) {
	var out output
	l := &lab.Lab{Console: &out}
	d := Show(t.Context(), l, &out, false)
	fmt.Fprint(l.Console, "[ 0.1] half")
	l.Progress(lab.Progress{Kernel: "a", Stage: "boot", Began: "direct"})
	fmt.Fprint(l.Console, " a line\r\n[ 0.2] next")
	d.End()
	if want := "a: booting\n[ 0.1] half a line\r\n"; !strings.HasPrefix(out.text.String(), want) {
		t.Errorf("got %q", out.text.String())
	}
	if !strings.HasSuffix(out.text.String(), "[ 0.2] next") {
		t.Errorf("the end is missing: %q", out.text.String())
	}
}
