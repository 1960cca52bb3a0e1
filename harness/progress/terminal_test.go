package progress

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"tokentest/harness/lab"
	"tokentest/harness/result"
)

// tall is how many rows the terminals of tests have, so that nothing leaves the screen.
const tall = 300

// display is a terminal with what a person sees on it.
type display struct {
	t    *testing.T
	tty  *os.File
	host *os.File
	mu   sync.Mutex
	emu  vt10x.Terminal // it does not break lines again
	done chan struct{}
	wide int
}

func newDisplay(t *testing.T, wide int) *display {
	t.Helper()
	t.Setenv("TERM", "linux")
	host, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	d := &display{t: t, tty: tty, host: host, emu: vt10x.New(vt10x.WithSize(wide, tall)), done: make(chan struct{})}
	d.resize(wide)
	go func() {
		defer close(d.done)
		buf := make([]byte, 1<<16)
		for {
			n, err := host.Read(buf)
			d.mu.Lock()
			d.emu.Write(buf[:n])
			d.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { tty.Close(); host.Close(); <-d.done })
	return d
}

func (d *display) resize(wide int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wide = wide
	d.emu.Resize(wide, tall)
	if err := pty.Setsize(d.host, &pty.Winsize{Rows: tall, Cols: uint16(wide)}); err != nil {
		d.t.Fatal(err)
	}
}

// rows are the lines of the screen, without the empty ones at the end.
func (d *display) rows() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for line := range strings.Lines(d.emu.String()) {
		out = append(out, strings.TrimRight(line, " \n"))
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// settle waits until what was written is on the screen.
func (d *display) settle() []string {
	var was []string
	for same := 0; same < 3; time.Sleep(50 * time.Millisecond) {
		now := d.rows()
		if strings.Join(now, "\n") == strings.Join(was, "\n") {
			same++
		} else {
			same = 0
		}
		was = now
	}
	return was
}

// wrapped is a line as a terminal of that width shows it.
func wrapped(line string, wide int) []string {
	var out []string
	for ; len(line) > wide; line = line[wide:] {
		out = append(out, strings.TrimRight(line[:wide], " "))
	}
	return append(out, strings.TrimRight(line, " "))
}

// consoleOf writes a kernel's console as a machine does.
func consoleOf(t *testing.T, path string, from, to int) (lines []string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := from; i < to; i++ {
		line := fmt.Sprintf("[%5d.0] %s", i, strings.Repeat("x", i*17%230))
		fmt.Fprintf(f, "%s\r\n", line)
		lines = append(lines, "deb:6.12| "+line)
	}
	return lines
}

// TestConsoleAndLines shares a real terminal between the console of a kernel, notes, failures and the
// live lines: every line is whole and in its order, and nothing is left of the live lines.
func TestConsoleAndLines(t *testing.T) {
	for _, wide := range []int{40, 80, 200} {
		t.Run(fmt.Sprint(wide), func(t *testing.T) {
			d := newDisplay(t, wide)
			path := filepath.Join(t.TempDir(), "console.log")
			l := &lab.Lab{Console: io.Discard}
			show := Show(context.Background(), l, d.tty, true)
			var want []string
			for i := range 5 {
				l.Progress(lab.Progress{Kernel: "deb:6.12", Stage: "boot", Done: i, Total: 5, Console: path})
				l.Progress(lab.Progress{Kernel: "deb:7.3", Stage: "run", Done: i, Total: 500000, Failed: 1})
				want = append(want, consoleOf(t, path, i*5, i*5+5)...)
				d.until(want)
				note := fmt.Sprintf("%0*d", wide*(i%3+1), i) // it fills its last row
				l.Log("%s", note)
				want = append(want, note)
				l.Progress(lab.Progress{Kernel: "deb:7.3", Wrong: &result.CaseResult{ID: "case", Status: result.Fail}})
				want = append(want, "deb:7.3 fail case: ")
				if i == 4 {
					want[len(want)-1] = "deb:7.3 fail case; the report has the other failures"
				}
				d.until(want)
			}
			want = append(want, consoleOf(t, path, 25, 27)...)
			show.End()
			var screen []string
			for _, line := range want {
				screen = append(screen, wrapped(line, wide)...)
			}
			if got := d.settle(); strings.Join(got, "\n") != strings.Join(screen, "\n") {
				t.Errorf("the screen shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(screen, "\n"))
			}
		})
	}
}

// until waits until the last of the lines is on the screen above the live lines.
func (d *display) until(want []string) {
	d.t.Helper()
	rows := wrapped(want[len(want)-1], d.wide)
	last := rows[len(rows)-1]
	until(d.t, fmt.Sprintf("%q on the screen", last), func() bool {
		for _, row := range d.rows() {
			if row == last {
				return true
			}
		}
		return false
	})
}

// TestResize makes the terminal narrower and wider while the live lines are there: afterwards
// there is one line for each kernel, and the notes above them are whole.
func TestResize(t *testing.T) {
	d := newDisplay(t, 200)
	l := &lab.Lab{}
	show := Show(context.Background(), l, d.tty, true)
	for n, wide := range []int{200, 40, 80, 30, 200} {
		d.resize(wide)
		for _, name := range []string{"deb:6.12", "deb:7.3"} {
			l.Progress(lab.Progress{Kernel: name, Stage: "run", Done: n, Total: 1000})
		}
		l.Log("note %d", n)
		d.until([]string{fmt.Sprintf("note %d", n)})
		rows := d.settle()
		for _, name := range []string{"deb:6.12 ", "deb:7.3 "} {
			lines := 0
			for _, row := range rows {
				if strings.HasPrefix(row, name) {
					lines++
				}
			}
			if lines != 1 {
				t.Errorf("at %d columns: %d lines of %s:\n%s", wide, lines, name, strings.Join(rows, "\n"))
			}
		}
	}
	show.End()
	if got := strings.Join(d.settle(), "\n"); got != "note 0\nnote 1\nnote 2\nnote 3\nnote 4" {
		t.Errorf("the screen shows\n%s", got)
	}
}

// TestRows counts the rows of lines that a narrower terminal has broken.
func TestRows(t *testing.T) {
	drawn := []string{strings.Repeat("a", 40), "b", strings.Repeat("c", 41), ""}
	for _, tt := range []struct {
		reflows       bool
		columns, want int
	}{{true, 80, 4}, {true, 41, 4}, {true, 40, 5}, {true, 20, 7}, {true, 1, 83}, {false, 20, 4}} {
		if got := (&screen{reflows: tt.reflows, drawn: drawn}).rows(tt.columns); got != tt.want {
			t.Errorf("%+v: got %d", tt, got)
		}
	}
	for term, want := range map[string]bool{"xterm-256color": true, "tmux-256color": true, "linux": false,
		"screen-256color": false, "": true} {
		if got := reflowing(func(name string) string { return map[string]string{"TERM": term}[name] }); got != want {
			t.Errorf("TERM=%s reflows: %t", term, got)
		}
	}
}

// TestTooManyKernels never draws more lines than the terminal has.
func TestTooManyKernels(t *testing.T) {
	v := &live{screen: &screen{w: io.Discard, size: func() (int, int) { return 80, 5 }}}
	for i := range 9 {
		v.kernel(fmt.Sprintf("deb:6.%d", i))
		v.draw()
		if got, most := len(v.screen.drawn), min(i+1, 4); got != most {
			t.Errorf("%d kernels: %d lines, want %d", i+1, got, most)
		}
	}
	if last := v.screen.drawn[3]; last != "and 6 more" {
		t.Errorf("the last line is %q", last)
	}
}
