// Package progress shows how far a run is: on a terminal a live line for each kernel, elsewhere
// a plain line for each stage.
//
// It prints no result but failures as they happen; package report renders the run.
//
// Start with Show; live.go is the view on a terminal.
package progress

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"tokentest/harness/lab"
)

// Display is the progress of one run. A nil Display shows nothing.
type Display struct {
	live *live
	mu   sync.Mutex
	last map[string]lab.Progress // by kernel
}

// Show has a lab show its progress on w until End is called. With terminal, w must be a
// terminal itself, and signals of the command's handler switch the console on and off.
func Show(ctx context.Context, l *lab.Lab, w io.Writer, terminal bool) *Display {
	d := &Display{last: map[string]lab.Progress{}}
	if !terminal {
		l.Progress = func(now lab.Progress) { d.line(w, now) }
		return d
	}
	d.live = newLive(ctx, w)
	d.live.learn(l.Dir)
	l.Log = d.live.log
	l.Progress = d.live.step
	return d
}

// End takes the live lines away. What was printed above them stays.
func (d *Display) End() {
	if d != nil && d.live != nil {
		d.live.end()
	}
}

// line says when a kernel's stage changes.
func (d *Display) line(w io.Writer, now lab.Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := d.last[now.Kernel]
	if now.Wrong != nil || now.Stage == last.Stage {
		return
	}
	again := last.Stage == "run"
	d.last[now.Kernel] = now
	switch {
	case now.Stage == "boot" && again:
		fmt.Fprintf(w, "%s: booting again, %d of %d cases have a result\n", now.Kernel, now.Done, now.Total)
	case now.Stage == "boot":
		fmt.Fprintf(w, "%s: booting\n", now.Kernel)
	case now.Stage == "run" && now.Total-now.Done == 1:
		fmt.Fprintf(w, "%s: running 1 case\n", now.Kernel)
	case now.Stage == "run":
		fmt.Fprintf(w, "%s: running %d cases\n", now.Kernel, now.Total-now.Done)
	}
}

// pace is how long a kernel took in an earlier run.
type pace struct {
	boot    time.Duration
	perCase time.Duration
}
