// Package progress shows how far a run is: on a terminal a live line for each kernel, elsewhere
// a plain line for each stage, and one every half minute.
//
// It prints no result but failures as they happen; package report renders the run.
//
// Start with Show; live.go is the view on a terminal, line.go words how far a kernel is.
package progress

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"tokentest/harness/count"
	"tokentest/harness/lab"
	"tokentest/harness/result"
)

// Display is the progress of one run. A nil Display shows nothing.
type Display struct {
	live  *live
	plain *plain
}

// Show has a lab show its progress on w until End is called. With terminal, w must be a
// terminal itself, and signals of the command's handler switch the console on and off. If the
// lab has a Console, the display shows the consoles line by line, so that lines of both stay
// whole.
func Show(ctx context.Context, l *lab.Lab, w io.Writer, terminal bool) *Display {
	if !terminal {
		p := newPlain(w, beat)
		l.Progress = p.step
		if l.Console != nil {
			p.console = &wholeLines{to: p}
			l.Console = p.console
		}
		if l.Log != nil {
			log := l.Log
			l.Log = func(format string, args ...any) {
				p.mu.Lock()
				defer p.mu.Unlock()
				log(format, args...)
			}
		}
		return &Display{plain: p}
	}
	v := newLive(ctx, w)
	if l.Console != nil {
		v.console, l.Console = true, io.Discard // the machines still start as for somebody who looks
	}
	l.Log = v.log
	l.Progress = v.step
	return &Display{live: v}
}

// End takes the live lines away. What was printed above them stays.
func (d *Display) End() {
	switch {
	case d == nil:
	case d.live != nil:
		d.live.end()
	case d.plain != nil:
		d.plain.end()
	}
}

// beat is how often a run without a terminal says that it is alive.
const beat = 30 * time.Second

// plain is the progress without a terminal.
type plain struct {
	mu sync.Mutex // of all that follows, and of whole lines
	w  io.Writer
	at map[string]*state // the kernels at work

	console *wholeLines // nil if nobody looks at it
	stop    chan struct{}
	done    chan struct{}
}

func newPlain(w io.Writer, every time.Duration) *plain {
	p := &plain{w: w, at: map[string]*state{}, stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-tick.C:
				p.beat()
			}
		}
	}()
	return p
}

func (p *plain) end() {
	close(p.stop)
	<-p.done
	if p.console != nil {
		p.console.flush()
	}
}

// beat prints how far each kernel at work is.
func (p *plain) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(p.at)) {
		fmt.Fprintln(p.w, p.at[name].sentence(time.Now()))
	}
}

// step prints when a machine begins and when cases run.
func (p *plain) step(now lab.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.at[now.Kernel]
	if k == nil {
		k = &state{}
		p.at[now.Kernel] = k
	}
	if now.Wrong != nil {
		return
	}
	was := k.Progress
	k.take(now)
	k.booted = k.booted || was.Stage == "run"
	switch {
	case now.Stage == "done":
		delete(p.at, now.Kernel)
	case now.Began != "":
		fmt.Fprintf(p.w, "%s: %s\n", now.Kernel, k.starting(now))
	case now.Stage == "run" && was.Stage != "run":
		fmt.Fprintf(p.w, "%s: running %s\n", now.Kernel, count.Of(now.Total-now.Done, "case"))
	}
}

// starting says that a machine begins, and whether it is the first.
func (k *state) starting(now lab.Progress) string {
	how := "booting"
	if now.Began == result.Restored {
		how = "restored from a snapshot"
	}
	if k.booted && now.Done > 0 {
		return fmt.Sprintf("%s again, %d of %s have a result", how, now.Done, count.Of(now.Total, "case"))
	}
	return how
}

// wholeLines writes the lines of a console between those of the progress.
type wholeLines struct {
	to  *plain
	mu  sync.Mutex
	cut []byte // the beginning of a line
}

func (c *wholeLines) Write(text []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = append(c.cut, text...)
	end := bytes.LastIndexByte(c.cut, '\n') + 1
	if end == 0 {
		return len(text), nil
	}
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	if _, err := c.to.w.Write(c.cut[:end]); err != nil {
		return 0, err
	}
	c.cut = append([]byte(nil), c.cut[end:]...)
	return len(text), nil
}

// flush writes a last line that has no end.
func (c *wholeLines) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to.w.Write(c.cut) // without a terminal there is nobody to tell
	c.cut = nil
}
