package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"tokentest/harness/lab"
)

// progress shows how far a run is: a live line for each kernel on a terminal,
// a plain line for each stage elsewhere.
type progress struct {
	live *live
	mu   sync.Mutex
	last map[string]lab.Progress // by kernel
}

// end leaves nothing but what was written.
func (p *progress) end() {
	if p.live != nil {
		p.live.end()
	}
}

// progress has the lab show how far it is. A terminal gets the live view,
// unless NO_COLOR or CI say that nobody looks at one.
func (a *app) progress(ctx context.Context, l *lab.Lab) *progress {
	p := &progress{last: map[string]lab.Progress{}}
	if a.quiet {
		return p
	}
	_, tty := terminal(a.stderr)
	_, ci := os.LookupEnv("CI")
	_, plain := os.LookupEnv("NO_COLOR")
	if !tty || ci || plain {
		l.Progress = func(now lab.Progress) { p.line(a.stderr, now) }
		return p
	}
	p.live = newLive(ctx, a.stderr)
	p.live.learn(l.Dir)
	l.Log = p.live.log
	l.Progress = p.live.step
	return p
}

// line says when a kernel's stage changes.
func (p *progress) line(w io.Writer, now lab.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.last[now.Kernel]
	if now.Wrong != nil || now.Stage == last.Stage {
		return
	}
	again := last.Stage == "run"
	p.last[now.Kernel] = now
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
