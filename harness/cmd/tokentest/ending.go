package main

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

	"tokentest/harness/result"
)

// errInterrupted is the cause of a context that a signal has ended.
var errInterrupted = errors.New("interrupted")

// How long a command may go on after a signal. One that only computes looks at
// its context and ends at once; the limit is for what cannot, such as a read
// from a pipe. One that keeps records ends its machines and writes what it has.
const (
	graceComputing = 800 * time.Millisecond
	graceKeeping   = 10 * time.Second
	graceInsisting = 2 * time.Second // after another signal
)

// ending ends a command when a signal says so.
type ending struct {
	code int // of a command that was ended

	mu      sync.Mutex
	keeps   bool // it keeps records, or has machines to end
	takers  []*taker
	signals chan os.Signal
}

// taker is for whom signals are before they end the command.
type taker struct{ take func(os.Signal) bool }

// endingKey is where a context keeps the ending.
type endingKey struct{}

// endingOf returns the ending of a command. One that is not run by a command
// line has one that nothing comes of.
func endingOf(ctx context.Context) *ending {
	if e, ok := ctx.Value(endingKey{}).(*ending); ok {
		return e
	}
	return &ending{}
}

// keep gives a command the time to end its machines and to write its records,
// and sets the exit code that it has if even that is not enough.
func (e *ending) keep(code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keeps, e.code = true, code
}

// keep says that the command that begins keeps records.
func (a *app) keep(ctx context.Context) {
	code := result.ExitNoVerdict
	if a.bisecting {
		code = result.BisectAbort
	}
	endingOf(ctx).keep(code)
}

// takes has take asked first about each signal. It answers whether the signal
// was for it; then the command goes on.
func (e *ending) takes(take func(os.Signal) bool) (stop func()) {
	t := &taker{take}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.takers = append(e.takers, t)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.takers = slices.DeleteFunc(e.takers, func(o *taker) bool { return o == t })
	}
}

// insist ends the command as another signal would.
func (e *ending) insist() {
	select {
	case e.signals <- os.Interrupt:
	default: // there are signals already
	}
}

// taken asks the takers, the latest first.
func (e *ending) taken(s os.Signal) bool {
	e.mu.Lock()
	list := slices.Clone(e.takers)
	e.mu.Unlock()
	for _, t := range slices.Backward(list) {
		if t.take(s) {
			return true
		}
	}
	return false
}

func (e *ending) keeping() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.keeps
}

// grace is how long the command may still go on, and its exit code then.
func (e *ending) grace() (time.Duration, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.keeps {
		return graceKeeping, e.code
	}
	return graceComputing, e.code
}

// run runs a command until it ends, or until it is ended. SIGQUIT ends it as
// the others do: the goroutines that Go prints are no help to a user, and
// nothing would be removed.
func (e *ending) run(stderr io.Writer, command func(context.Context) int) int {
	ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), endingKey{}, e))
	defer cancel(nil)
	e.signals = make(chan os.Signal, 2)
	signal.Notify(e.signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(e.signals)
	ended := make(chan int, 1)
	go func() { ended <- command(ctx) }()
	var late <-chan time.Time
	signals := 0
	for {
		select {
		case code := <-ended:
			return code
		case s := <-e.signals:
			if e.taken(s) {
				continue
			}
			left, _ := e.grace()
			if signals++; signals > 1 {
				left = min(left, graceInsisting)
			}
			if signals <= 2 {
				late = time.After(left)
			}
			cancel(errInterrupted)
		case <-late: // what it has started dies with it
			_, code := e.grace()
			fmt.Fprintln(stderr, "tokentest: interrupted, and ended before it was done")
			return code
		}
	}
}
