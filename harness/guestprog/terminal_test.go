package guestprog

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// The shell reads what is typed at once on a terminal that answers no question.
func TestShellOnSilentTerminal(t *testing.T) {
	gosh := filepath.Join(t.TempDir(), "gosh")
	goTool, err := exec.LookPath("/usr/local/go/bin/go")
	if err != nil {
		goTool, err = exec.LookPath("go")
	}
	if err != nil {
		t.Skip("no Go: ", err)
	}
	build := exec.Command(goTool, "build", "-o", gosh, "github.com/u-root/u-root/cmds/core/gosh")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, kind := range []string{"xterm-256color", "dumb", "", "tmux"} {
		cmd := exec.Command(gosh)
		cmd.Env = ShellEnv(kind)
		tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
		if err != nil {
			t.Skip(err)
		}
		var out screen
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(&out, tty)
			ended <- err
		}()
		// What is typed while the shell changes the mode of its terminal is lost: on a busy host it is typed again.
		over := false
		for tries := 0; tries < 40 && !over; tries++ {
			line := "echo $((40+2))x\r"
			if strings.Contains(out.String(), "42x") {
				line = "exit\r"
			}
			if _, err := tty.WriteString(line); err != nil && !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			select {
			case <-ended:
				over = true
			case <-time.After(500 * time.Millisecond):
			}
		}
		if !over {
			t.Errorf("%q: the shell did not end", kind)
			cmd.Process.Kill()
			<-ended
		}
		if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Error(err)
		}
		tty.Close()
		if got := out.String(); !strings.Contains(got, "42x") || strings.Contains(got, "\x1b[6n") {
			t.Errorf("%q: the terminal showed %q", kind, got)
		}
	}
}

// screen keeps what a terminal shows.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
