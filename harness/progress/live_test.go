package progress

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tokentest/harness/lab"
	"tokentest/harness/result"
)

// TestLiveLine never fills more than the terminal's width, and says the most
// important first.
func TestLiveLine(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 10, 0, time.UTC)
	k := func(p lab.Progress) *state {
		return &state{Progress: p, since: now.Add(-5 * time.Second), began: now.Add(-5 * time.Second)}
	}
	for _, tt := range []struct {
		width int
		p     lab.Progress
		want  string
	}{
		{200, lab.Progress{Kernel: "deb:6.12", Stage: "boot", Total: 4000}, "deb:6.12 boot 5s"},
		{200, lab.Progress{Kernel: "deb:6.12", Stage: "boot", Total: 4000, Expect: 12 * time.Second},
			"deb:6.12 boot 7s left"},
		{200, lab.Progress{Kernel: "deb:6.12", Stage: "boot", Total: 4000, Began: result.Restored,
			Expect: 6 * time.Second}, "deb:6.12 restored 1s left"},
		{200, lab.Progress{Kernel: "deb:6.12", Stage: "resolve", Doing: "fetching x, 3.1 of 9.9 MB"},
			"deb:6.12 fetching x, 3.1 of 9.9 MB 5s"},
		{200, lab.Progress{Kernel: "deb:6.12", Stage: "run", Done: 1000, Total: 4000, Failed: 2,
			Expect: 20 * time.Second},
			"deb:6.12 run [#########-----------------------------] 1000/4000 2 WRONG 15s left"},
		{60, lab.Progress{Kernel: "deb:6.12", Stage: "run", Done: 1000, Total: 4000, Failed: 2,
			Expect: 20 * time.Second}, "deb:6.12 run [####--------------] 1000/4000 2 WRONG 15s left"},
		{40, lab.Progress{Kernel: "deb:6.12", Stage: "run", Done: 1000, Total: 4000, Failed: 2,
			Expect: 20 * time.Second}, "deb:6.12 run 1000/4000 2 WRONG 15s left"},
		{30, lab.Progress{Kernel: "deb:6.12", Stage: "run", Done: 1000, Total: 4000, Failed: 2,
			Expect: 20 * time.Second}, "deb:6.12 run 1000/4000 2 WRONG"},
		{20, lab.Progress{Kernel: "deb:6.12", Stage: "run", Done: 1000, Total: 4000, Failed: 2}, "deb:6.12 2 WRONG"},
		{5, lab.Progress{Kernel: "deb:6.12", Stage: "run", Done: 1000, Total: 4000}, "deb:6"},
		{80, lab.Progress{Kernel: "a\x1b[2Jb", Stage: "image"}, "a?[2Jb packing the initramfs 5s"},
		{0, lab.Progress{Kernel: "deb:6.12", Stage: "run"}, ""},
	} {
		if got := k(tt.p).line(tt.width, now); got != tt.want {
			t.Errorf("at %d columns: %q, want %q", tt.width, got, tt.want)
		}
	}
	for width := range 240 {
		for _, done := range []int{0, 1, 999, 1000} {
			text := k(lab.Progress{Kernel: "tree:/a/long/path/linux", Stage: "run", Done: done, Total: 1000,
				Failed: done}).line(width, now)
			if n := utf8.RuneCountInString(text); n > width || strings.ContainsAny(text, "\n\x1b") {
				t.Errorf("at %d columns: %d in %q", width, n, text)
			}
		}
	}
}

// TestLiveLeft foretells only by an earlier run of the same cases, and nothing once that is over.
func TestLiveLeft(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		p           lab.Progress
		spent, want time.Duration
	}{
		{lab.Progress{Stage: "run", Done: 500, Total: 1000}, 10 * time.Second, 0},
		{lab.Progress{Stage: "boot", Total: 1000}, 0, 0},
		{lab.Progress{Stage: "run", Done: 1, Total: 1000, Expect: 30 * time.Second}, 10 * time.Second, 20 * time.Second},
		{lab.Progress{Stage: "run", Done: 1, Total: 1000, Expect: 30 * time.Second}, 40 * time.Second, 0},
		{lab.Progress{Stage: "confirm", Done: 1, Total: 1000, Expect: 30 * time.Second}, 10 * time.Second, 0},
	} {
		k := &state{Progress: tt.p, began: now.Add(-tt.spent)}
		if got := k.left(now); got != tt.want {
			t.Errorf("%+v after %s: %s left, want %s", tt.p, tt.spent, got, tt.want)
		}
	}
}

// TestLiveConsole shows each whole line once, without what moves the cursor.
func TestLiveConsole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console.log")
	k := &console{path: path}
	if got := k.news(); got != nil {
		t.Errorf("before it is there: %q", got)
	}
	for _, tt := range []struct{ add, want string }{
		{"a\r\nb\n", "a b"}, {"half", ""}, {" a line\nx\x1b[2J\n", "half a line x?[2J"}, {"", ""},
	} {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(tt.add)
		f.Close()
		if got := strings.Join(k.news(), " "); got != tt.want {
			t.Errorf("after %q: %q, want %q", tt.add, got, tt.want)
		}
	}
}

// TestLiveEnds comes to an end whatever it was told, and in whatever order.
func TestLiveEnds(t *testing.T) {
	for _, told := range [][]lab.Progress{
		nil,
		{{Kernel: "a", Stage: "boot"}},
		{{Kernel: "a", Stage: "run", Done: 1, Total: 2}, {Kernel: "b", Stage: "boot"}, {Kernel: "a", Stage: "done"},
			{Kernel: "b", Wrong: &result.CaseResult{ID: "x", Status: result.Fail}}},
	} {
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(context.Background())
		v := newLive(ctx, &out)
		for _, p := range told {
			v.step(p)
		}
		done := make(chan bool)
		go func() { v.end(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("it does not end after %+v", told)
		}
		cancel()
	}
}
