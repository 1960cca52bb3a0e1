package kernel

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A cancelled fetch ends at once and leaves neither files nor child processes of apt. Each
// child holds one end of a pipe, so the test sees whether it lives.
func TestCancelled(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	if err := syscall.Mkfifo(w.path("slow"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(w.path("slow"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	child := bufio.NewReader(pipe)
	ctx, cancel := context.WithCancel(t.Context())
	began, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer cancel()
		for {
			select {
			case <-ended:
				began <- errors.New("apt was not asked for anything")
				return
			default:
			}
			word, err := child.ReadString('\n')
			if word == "" && err == io.EOF { // no program has it open yet
				time.Sleep(time.Millisecond)
				continue
			}
			began <- err
			return
		}
	}()
	if _, err := Resolve(ctx, "deb:6.1", w.opts); !errors.Is(err, context.Canceled) ||
		strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v", err)
	}
	close(ended)
	if err := <-began; err != nil {
		t.Fatal(err)
	}
	if left := w.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	pipe.SetReadDeadline(time.Now().Add(5 * time.Minute))
	if _, err := child.ReadByte(); err != io.EOF {
		t.Errorf("a child of apt is left: %v", err)
	}
}
