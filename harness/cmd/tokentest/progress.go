package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"tokentest/harness/lab"
)

// progress shows how far a run is: a bar for each kernel on a terminal, a
// line for each stage elsewhere.
type progress struct {
	bars *mpb.Progress
	bar  *mpb.Bar
	mu   sync.Mutex
	last lab.Progress
}

// end leaves nothing but what was written.
func (p *progress) end() {
	if p.bar != nil {
		p.bar.Abort(true)
	}
	if p.bars != nil {
		p.bars.Wait()
	}
}

func (a *app) progress(l *lab.Lab) *progress {
	p := &progress{}
	if a.quiet {
		return p
	}
	width, tty := terminal(a.stderr)
	if _, ci := os.LookupEnv("CI"); !tty || ci {
		l.Progress = func(now lab.Progress) { p.line(a.stderr, now) }
		return p
	}
	p.bars = mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(min(width, 60)), mpb.WithRefreshRate(100*time.Millisecond))
	l.Log = func(format string, args ...any) { fmt.Fprintf(p.bars, format+"\n", args...) }
	l.Progress = p.step
	return p
}

// line says when a kernel's stage changes.
func (p *progress) line(w io.Writer, now lab.Progress) {
	if now.Kernel == p.last.Kernel && now.Stage == p.last.Stage {
		return
	}
	again := now.Kernel == p.last.Kernel && p.last.Stage == "run"
	p.last = now
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

func (p *progress) step(now lab.Progress) {
	p.mu.Lock()
	if now.Kernel != p.last.Kernel {
		if p.bar != nil {
			p.bar.Abort(true)
		}
		p.bar = p.bars.AddBar(int64(max(now.Total, 1)), mpb.PrependDecorators(decor.Any(p.label)), mpb.BarRemoveOnComplete())
	}
	p.last = now
	p.mu.Unlock()
	p.bar.SetTotal(int64(max(now.Total, 1)), false)
	p.bar.SetCurrent(int64(now.Done))
}

func (p *progress) label(decor.Statistics) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf("%s: %s %d/%d", p.last.Kernel, p.last.Stage, p.last.Done, p.last.Total)
	if p.last.Failed > 0 {
		text += fmt.Sprintf(", %d not as expected", p.last.Failed)
	}
	return text + " "
}
