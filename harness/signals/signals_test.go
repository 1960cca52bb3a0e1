package signals

import (
	"bytes"
	"context"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestRun runs commands that do not look at their context.
func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		command func(context.Context, *Handler) int
		want    int
	}{
		{"it ends by itself", func(context.Context, *Handler) int { return 7 }, 7},
		{"it looks at its context", func(ctx context.Context, h *Handler) int {
			h.Interrupt()
			<-ctx.Done()
			if context.Cause(ctx) != ErrInterrupted {
				return 9
			}
			return 5
		}, 5},
		{"it waits for ever", func(_ context.Context, h *Handler) int {
			h.Interrupt()
			select {}
		}, 3},
		{"it keeps records, and is asked twice", func(_ context.Context, h *Handler) int {
			h.Keep(42)
			h.Interrupt()
			time.Sleep(100 * time.Millisecond)
			h.Interrupt()
			select {}
		}, 42},
		{"it keeps records, and takes longer than one that computes", func(_ context.Context, h *Handler) int {
			h.Keep(42)
			h.Interrupt()
			time.Sleep(graceComputing + 200*time.Millisecond)
			return 6
		}, 6},
		{"the signal is for somebody else", func(ctx context.Context, h *Handler) int {
			taken := make(chan os.Signal, 1)
			stop := h.Take(func(s os.Signal) bool { taken <- s; return true })
			h.Interrupt()
			<-taken
			stop()
			if ctx.Err() != nil {
				return 9
			}
			return 4
		}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := New(3)
			if got := h.Run(&bytes.Buffer{}, func(ctx context.Context) int { return tt.command(ctx, h) }); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
		})
	}
}

// Signals of the system end a command, and the latest of several takers is asked first.
func TestSignals(t *testing.T) {
	var order []string
	code := New(3).Run(&bytes.Buffer{}, func(ctx context.Context) int {
		h := Of(ctx)
		asked := make(chan bool, 2)
		taker := func(name string, takes bool) func(os.Signal) bool {
			return func(os.Signal) bool { order = append(order, name); asked <- true; return takes }
		}
		defer h.Take(taker("first", true))()
		stop := h.Take(taker("second", false))
		syscall.Kill(os.Getpid(), syscall.SIGHUP)
		<-asked
		<-asked
		stop()
		syscall.Kill(os.Getpid(), syscall.SIGQUIT)
		<-asked
		if ctx.Err() != nil || h.Keeps() {
			return 1
		}
		h.Keep(4)
		if !h.Keeps() {
			return 2
		}
		return 0
	})
	if want := []string{"second", "first", "first"}; code != 0 || !slices.Equal(order, want) {
		t.Errorf("exit code %d, asked %q, want %q", code, order, want)
	}
}

// Outside a command there is a handler that nothing reaches.
func TestOfNobody(t *testing.T) {
	h := Of(t.Context())
	h.Keep(1)
	h.Take(func(os.Signal) bool { return true })()
	if h.Interrupt(); Of(t.Context()).Keeps() {
		t.Error("two contexts share a handler")
	}
}
