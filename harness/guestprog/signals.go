package guestprog

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tokentest/harness/signals"
	"tokentest/harness/wire"
)

// How long a program may take to end after a signal, before its machine is ended. A Go program
// prints all its goroutines at SIGQUIT.
const (
	graceProgram = 700 * time.Millisecond
	graceQuit    = 10 * time.Second
)

// Forward sends the first signal that would end this command to the program instead, and
// every SIGUSR1 and SIGUSR2, until stop is called. If the program does not end in time, and at
// the second signal, the command and with it the machine ends.
func Forward(ctx context.Context, to chan<- wire.Signal) (stop func()) {
	h := signals.Of(ctx)
	var limit *time.Timer
	drop := h.Take(func(s os.Signal) bool {
		if limit != nil || !send(to, s) {
			return false
		}
		grace := graceProgram
		if s == syscall.SIGQUIT {
			grace = graceQuit
		}
		limit = time.AfterFunc(grace, h.Interrupt)
		return true
	})
	more, done := make(chan os.Signal, 4), make(chan struct{})
	signal.Notify(more, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for {
			select {
			case s := <-more:
				send(to, s)
			case <-done:
				return
			}
		}
	}()
	return func() {
		drop()
		signal.Stop(more)
		close(done)
	}
}

// send hands a signal to the program. Before the program runs nobody takes it.
func send(to chan<- wire.Signal, s os.Signal) bool {
	n, ok := s.(syscall.Signal)
	if !ok {
		return false
	}
	select {
	case to <- wire.Signal{Number: int(n)}:
		return true
	case <-time.After(50 * time.Millisecond):
		return false
	}
}
