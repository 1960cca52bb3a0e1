// Package signals ends a command when SIGINT, SIGTERM, SIGHUP or SIGQUIT comes: it cancels the
// context of the command, and ends the process if the command does not return in time.
//
// It does not know what a command does: a command that keeps records or has machines calls
// Keep, and one that wants signals for itself calls Take.
//
// Start with Handler.
package signals

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"
)

// ErrInterrupted is the cause of a context that a signal has canceled.
var ErrInterrupted = errors.New("interrupted")

// How long a command may go on after a signal. A command that only computes looks at its
// context and returns at once; the limit is for what cannot look, such as a read from a pipe.
// A command that keeps records ends its machines and writes what it has.
const (
	graceComputing = 800 * time.Millisecond
	graceKeeping   = 10 * time.Second
	graceInsisting = 2 * time.Second // after another signal
)

// Handler handles the signals of one command.
type Handler struct {
	mu      sync.Mutex
	code    int  // of a command that did not return in time
	keeps   bool // the command keeps records, or has machines to end
	takers  []*taker
	signals chan os.Signal
}

// New returns a handler. code is the exit code of a command that does not return in time.
func New(code int) *Handler { return &Handler{code: code, signals: make(chan os.Signal, 2)} }

// taker gets signals before they end the command.
type taker struct{ take func(os.Signal) bool }

// handlerKey is the key of the handler in a context.
type handlerKey struct{}

// Of returns the handler that runs the command with this context. Without one it returns a
// handler that no signal reaches.
func Of(ctx context.Context) *Handler {
	if h, ok := ctx.Value(handlerKey{}).(*Handler); ok {
		return h
	}
	return New(0)
}

// Keep gives the command the time to end its machines and to write its records. code is its
// exit code if even that time is not enough.
func (h *Handler) Keep(code int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keeps, h.code = true, code
}

// Keeps reports whether Keep was called.
func (h *Handler) Keeps() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keeps
}

// Take has take asked first about each signal until stop is called. If it returns true the
// signal does not end the command. Of several functions the latest is asked first.
func (h *Handler) Take(take func(os.Signal) bool) (stop func()) {
	t := &taker{take}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.takers = append(h.takers, t)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.takers = slices.DeleteFunc(h.takers, func(o *taker) bool { return o == t })
	}
}

// Interrupt ends the command as another signal would.
func (h *Handler) Interrupt() {
	select {
	case h.signals <- os.Interrupt:
	default: // signals are waiting already
	}
}

// taken asks the takers.
func (h *Handler) taken(s os.Signal) bool {
	h.mu.Lock()
	list := slices.Clone(h.takers)
	h.mu.Unlock()
	for _, t := range slices.Backward(list) {
		if t.take(s) {
			return true
		}
	}
	return false
}

// grace is how long the command may still go on, and its exit code then.
func (h *Handler) grace() (time.Duration, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keeps {
		return graceKeeping, h.code
	}
	return graceComputing, h.code
}

// Run runs a command until it returns or its time is up, and returns its exit code. SIGQUIT
// ends it like the other signals: Go's dump of goroutines does not help a user, and would
// leave temporary files behind.
func (h *Handler) Run(stderr io.Writer, command func(context.Context) int) int {
	ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), handlerKey{}, h))
	defer cancel(nil)
	signal.Notify(h.signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(h.signals)
	ended := make(chan int, 1)
	go func() { ended <- command(ctx) }()
	var late <-chan time.Time
	signals := 0
	for {
		select {
		case code := <-ended:
			return code
		case s := <-h.signals:
			if h.taken(s) {
				continue
			}
			left, _ := h.grace()
			if signals++; signals > 1 {
				left = min(left, graceInsisting)
			}
			if signals <= 2 {
				late = time.After(left)
			}
			cancel(ErrInterrupted)
		case <-late: // the programs that it started die with it
			_, code := h.grace()
			fmt.Fprintln(stderr, "tokentest: interrupted, and ended before it was done")
			return code
		}
	}
}
