package progress

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/signals"
)

// live is the view of a run on a terminal: a line for each kernel that is at work, failures
// above the lines as they happen, and, after Ctrl-\, what the machines print.
type live struct {
	screen *screen
	stop   context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	at     []*liveKernel // in the order in which they began

	console bool // is shown
}

// liveKernel is the state of one kernel at work.
type liveKernel struct {
	state
	told     int        // failures that were shown
	consoles []*console // of the newest machines
}

// console is the log of a machine's kernel.
type console struct {
	path    string
	printed int64
}

// maxConsoles is how many machines of a kernel run side by side at most, or have more to print.
const maxConsoles = 8

// maxTold is how many failures of a kernel are shown as they come.
const maxTold = 5

func newLive(ctx context.Context, w io.Writer) *live {
	inner, stop := context.WithCancel(ctx)
	v := &live{screen: newScreen(w), stop: stop}
	quit := make(chan os.Signal, 1)
	drop := signals.Of(ctx).Take(func(s os.Signal) bool {
		if s != syscall.SIGQUIT {
			return false
		}
		select {
		case quit <- s:
		default: // one more press in the same moment
		}
		return true
	})
	v.done.Add(1)
	go func() {
		defer v.done.Done()
		defer drop()
		v.watch(inner, quit)
	}()
	return v
}

// watch draws the lines, switches the console on and off, and shows what is new of it.
func (v *live) watch(ctx context.Context, quit <-chan os.Signal) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-quit:
			v.toggle()
		case <-tick.C:
			v.follow()
			v.draw()
		}
	}
}

// draw draws the lines of the kernels, as many as there is room for.
func (v *live) draw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.screen.draw(func(columns, rows int) []string {
		var out []string
		for i, k := range v.at {
			if left := len(v.at) - i; len(out) == rows-1 && left > 1 {
				return append(out, fmt.Sprintf("and %d more", left))
			}
			out = append(out, k.line(columns, time.Now()))
		}
		return out
	})
}

func (v *live) toggle() {
	v.mu.Lock()
	v.console = !v.console
	word := "off"
	if v.console {
		word = "on"
	}
	v.mu.Unlock()
	v.log("console %s (Ctrl-\\)", word)
}

// follow prints the new lines of the consoles.
func (v *live) follow() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, k := range v.at {
		v.show(k)
	}
}

// show prints the new lines of a kernel's console. The caller holds v.mu.
func (v *live) show(k *liveKernel) {
	if !v.console {
		return
	}
	var text strings.Builder
	for _, c := range k.consoles {
		for _, line := range c.news() {
			fmt.Fprintf(&text, "%s| %s\n", visible(k.Kernel), line)
		}
	}
	if text.Len() > 0 {
		io.WriteString(v.screen, text.String())
	}
}

// news returns the console's lines that are whole and new.
func (c *console) news() []string {
	f, err := os.Open(c.path)
	if err != nil {
		return nil // there is none yet
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, c.printed, 1<<20))
	end := bytes.LastIndexByte(text, '\n') + 1
	if err != nil || end == 0 {
		return nil
	}
	c.printed += int64(end)
	var out []string
	for s := bufio.NewScanner(bytes.NewReader(text[:end])); s.Scan(); {
		out = append(out, visible(strings.TrimRight(s.Text(), "\r")))
	}
	return out
}

func (v *live) log(format string, args ...any) { fmt.Fprintf(v.screen, format+"\n", args...) }

// end takes the lines away, and prints what is left of the consoles.
func (v *live) end() {
	v.stop()
	v.done.Wait()
	v.follow()
	v.mu.Lock()
	v.at = nil
	v.mu.Unlock()
	v.draw()
}

// kernel returns the line of a kernel, which it makes if there is none.
func (v *live) kernel(ref string) *liveKernel {
	for _, k := range v.at {
		if k.Kernel == ref {
			return k
		}
	}
	k := &liveKernel{state: state{Progress: lab.Progress{Kernel: ref}}}
	v.at = append(v.at, k)
	return k
}

// step takes in a progress report of the lab.
func (v *live) step(now lab.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k := v.kernel(now.Kernel)
	if now.Wrong != nil {
		v.tell(k, now.Wrong)
		return
	}
	if now.Console != "" && now.Console != k.Console {
		v.show(k) // what is left of the machines before
		k.consoles = append(k.consoles, &console{path: now.Console})
		k.consoles = k.consoles[max(0, len(k.consoles)-maxConsoles):]
	}
	if now.Stage == "done" {
		v.show(k)
	}
	k.take(now)
	if now.Stage == "done" {
		v.at = slices.DeleteFunc(v.at, func(o *liveKernel) bool { return o == k })
	}
}

// tell prints a failure when it happens; the report has all.
func (v *live) tell(k *liveKernel, r *result.CaseResult) {
	if r.Status == result.Interrupted {
		return // the user did that
	}
	k.told++
	switch {
	case k.told < maxTold:
		fmt.Fprintf(v.screen, "%s %s %s: %s\n", k.Kernel, r.Status, visible(r.ID), visible(r.Reason))
	case k.told == maxTold:
		fmt.Fprintf(v.screen, "%s %s %s; the report has the other failures\n", k.Kernel, r.Status, visible(r.ID))
	}
}
