package progress

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/signals"
)

// live is the view of a run on a terminal: a line for each kernel that is at work, failures
// above the lines as they happen, and, after Ctrl-\, what the machines print.
type live struct {
	out   io.Writer
	bars  *mpb.Progress
	stop  context.CancelFunc
	done  sync.WaitGroup
	mu    sync.Mutex // never taken while a line is drawn: bars waits for that
	at    map[string]*liveKernel
	paces map[string]pace

	console bool // is shown
}

// liveKernel is the state of one kernel at work.
type liveKernel struct {
	mu sync.Mutex // of what a line is made from
	lab.Progress
	bar     *mpb.Bar
	since   time.Time // of the stage
	from    int       // cases that had a result when the stage began
	pace    pace
	told    int   // failures that were shown
	printed int64 // of the console
}

// maxTold is how many failures of a kernel are shown as they come.
const maxTold = 5

func newLive(ctx context.Context, w io.Writer) *live {
	inner, stop := context.WithCancel(ctx)
	v := &live{out: w, stop: stop, at: map[string]*liveKernel{}, paces: map[string]pace{},
		bars: mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.WithRefreshRate(100*time.Millisecond))}
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
		v.watch(ctx, inner, quit)
	}()
	return v
}

// watch switches the console on and off, and shows what is new of it. When the
// run is interrupted the terminal has echoed ^C: the cursor goes back over it.
func (v *live) watch(ctx, inner context.Context, quit <-chan os.Signal) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-inner.Done():
			if ctx.Err() != nil {
				fmt.Fprint(v.out, "\r")
			}
			return
		case <-quit:
			fmt.Fprint(v.out, "\r")
			v.toggle()
		case <-tick.C:
			v.follow()
		}
	}
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
	if !v.console {
		return
	}
	for _, k := range v.at {
		for _, line := range k.news() {
			fmt.Fprintf(v.bars, "%s| %s\n", k.Kernel, line)
		}
	}
}

// news returns the console's lines that are whole and new.
func (k *liveKernel) news() []string {
	f, err := os.Open(k.Console)
	if err != nil {
		return nil // there is none yet
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, k.printed, 1<<20))
	end := bytes.LastIndexByte(text, '\n') + 1
	if err != nil || end == 0 {
		return nil
	}
	k.printed += int64(end)
	var out []string
	for s := bufio.NewScanner(bytes.NewReader(text[:end])); s.Scan(); {
		out = append(out, visible(strings.TrimRight(s.Text(), "\r")))
	}
	return out
}

// visible keeps a guest from moving the cursor.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

func (v *live) log(format string, args ...any) { fmt.Fprintf(v.bars, format+"\n", args...) }

// end takes the lines away.
func (v *live) end() {
	v.stop()
	v.done.Wait()
	v.mu.Lock()
	for _, k := range v.at {
		k.bar.Abort(true)
	}
	v.mu.Unlock()
	v.bars.Wait()
}

// step takes in a progress report of the lab.
func (v *live) step(now lab.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k := v.at[now.Kernel]
	if k == nil {
		k = &liveKernel{pace: v.paces[now.Kernel]}
		bar, err := v.bars.Add(0, mpb.BarFillerFunc(func(w io.Writer,
			s decor.Statistics) error {
			return k.fill(w, s.AvailableWidth)
		}), mpb.BarRemoveOnComplete(), mpb.BarFillerTrim())
		if err != nil {
			return // the view has ended
		}
		k.bar = bar
		v.at[now.Kernel] = k
	}
	if now.Wrong != nil {
		v.tell(k, now.Wrong)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Stage != k.Stage || now.Console != "" && now.Console != k.Console {
		k.since, k.from = time.Now(), now.Done
	}
	if now.Console == "" {
		now.Console = k.Console
	} else if now.Console != k.Console {
		k.printed = 0
	}
	k.Progress = now
	if now.Stage == "done" {
		delete(v.at, now.Kernel)
		go k.bar.Abort(true) // it waits for the line, which waits for us
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
		fmt.Fprintf(v.bars, "%s %s %s: %s\n", k.Kernel, r.Status, visible(r.ID), visible(r.Reason))
	case k.told == maxTold:
		fmt.Fprintf(v.bars, "%s %s %s; the report has the other failures\n", k.Kernel, r.Status, visible(r.ID))
	}
}

// fill writes a kernel's line.
func (k *liveKernel) fill(w io.Writer, width int) error {
	k.mu.Lock()
	text := k.line(width, time.Now())
	k.mu.Unlock()
	_, err := io.WriteString(w, text)
	return err
}

// line words how far a kernel is in at most so many columns. What does not
// fit is left out, the least important first.
func (k *liveKernel) line(width int, now time.Time) string {
	name, stage := visible(k.Kernel), k.Stage
	count, wrong, left := "", "", ""
	if k.Total > 0 && (k.Stage == "run" || k.Done > 0) {
		count = fmt.Sprintf("%d/%d", k.Done, k.Total)
	}
	if k.Failed > 0 {
		wrong = fmt.Sprintf("%d WRONG", k.Failed)
	}
	if d := k.left(now); d > 0 {
		left = max(d.Round(time.Second), time.Second).String() + " left"
	} else if spent := now.Sub(k.since); spent >= time.Second && !k.since.IsZero() {
		left = spent.Round(time.Second).String()
	}
	bar := ""
	if k.Stage == "run" && k.Total > 0 {
		room := width - columns(name, stage, count, wrong, left) - 1
		if room = min(room, 40); room >= 8 {
			full := (room - 2) * min(k.Done, k.Total) / k.Total
			bar = "[" + strings.Repeat("#", full) + strings.Repeat("-", room-2-full) + "]"
		}
	}
	for _, drop := range []*string{&left, &stage, &count} {
		if columns(name, stage, bar, count, wrong, left) > width {
			*drop = ""
		}
	}
	text := joined(name, stage, bar, count, wrong, left)
	if n := utf8.RuneCountInString(text); n > width {
		text = string([]rune(text)[:max(width, 0)])
	}
	return text
}

func joined(words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " ")
}

func columns(words ...string) int { return utf8.RuneCountInString(joined(slices.Clone(words)...)) }

// left estimates the time that is left: from the kernel's own pace if that is known, else
// from the pace of an earlier run.
func (k *liveKernel) left(now time.Time) time.Duration {
	spent := now.Sub(k.since)
	cases := time.Duration(k.Total - k.Done)
	switch k.Stage {
	case "boot":
		if k.pace.boot == 0 {
			return 0
		}
		return max(k.pace.boot-spent, 0) + cases*k.pace.perCase
	case "run":
		if ran := k.Done - k.from; ran*10 > k.Total && spent > time.Second {
			return cases * spent / time.Duration(ran)
		}
		return cases * k.pace.perCase
	}
	return 0
}

// maxLearned is how many earlier runs are looked at.
const maxLearned = 30

// learn takes each kernel's pace from the newest of the runs that are kept
// next to this one. Without such runs there is no estimate.
func (v *live) learn(dir string) {
	names, err := result.Runs(filepath.Dir(dir))
	if err != nil {
		return
	}
	for _, name := range names[max(0, len(names)-maxLearned):] {
		r, err := result.LoadHead(name)
		if err != nil {
			continue // what cannot be read foretells nothing
		}
		for _, k := range r.Kernels {
			if len(k.Boots) > 0 && k.Boots[0].Cases > 0 {
				b := &k.Boots[0]
				v.paces[k.Ref] = pace{b.Boot, b.Decide / time.Duration(b.Cases)}
			}
		}
	}
}
