package progress

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tokentest/harness/count"
	"tokentest/harness/lab"
	"tokentest/harness/result"
)

// state is how far one kernel is.
type state struct {
	lab.Progress
	since  time.Time // of the stage
	began  time.Time // of the first machine
	booted bool      // cases have run
}

// take takes in a report of the lab. A report of the same stage keeps what it does not repeat.
func (k *state) take(now lab.Progress) {
	at := time.Now()
	if now.Stage != k.Stage || now.Console != "" && now.Console != k.Console {
		k.since = at
	}
	if now.Stage == "boot" && k.began.IsZero() {
		k.began = at
	}
	if now.Console == "" {
		now.Console = k.Console
	}
	if now.Began == "" && now.Stage != "boot" {
		now.Began = k.Began
	}
	if now.Expect == 0 {
		now.Expect = k.Expect
	}
	if now.Doing == "" && now.Stage == k.Stage {
		now.Doing = k.Doing
	}
	if now.Total == 0 {
		now.Done, now.Total, now.Failed = k.Done, k.Total, k.Failed
	}
	k.Progress = now
}

// left is the time that is left, by an earlier run of the same cases; 0 if it is not known, or if
// this run takes longer.
func (k *state) left(now time.Time) time.Duration {
	if k.Expect == 0 || k.began.IsZero() || k.Stage != "boot" && k.Stage != "run" {
		return 0
	}
	return max(k.Expect-now.Sub(k.began), 0)
}

// doing is what the kernel's stage is about, in words.
func (k *state) doing() string {
	switch {
	case k.Doing != "" && (k.Stage == "resolve" || k.Stage == "image"):
		return k.Doing
	case k.Stage == "resolve":
		return "finding the kernel"
	case k.Stage == "image":
		return "packing the initramfs"
	case k.Stage == "snapshot":
		return "saving a booted machine"
	case k.Stage == "boot" && k.Began == result.Restored:
		return "restored"
	case k.Stage == "confirm":
		return "confirming failures"
	}
	return k.Stage
}

// clock is the time that is left, or else the time that the stage took so far.
func (k *state) clock(now time.Time) string {
	if d := k.left(now); d > 0 {
		return max(d.Round(time.Second), time.Second).String() + " left"
	}
	if spent := now.Sub(k.since); spent >= time.Second && !k.since.IsZero() {
		return spent.Round(time.Second).String()
	}
	return ""
}

// sentence says how far the kernel is in one line of a log.
func (k *state) sentence(now time.Time) string {
	parts := []string{k.doing()}
	if k.Total > 0 && (k.Stage == "run" || k.Done > 0) {
		parts = append(parts, fmt.Sprintf("%d of %s have a result", k.Done, count.Of(k.Total, "case")))
	}
	if k.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d WRONG", k.Failed))
	}
	if c := k.clock(now); c != "" {
		parts = append(parts, c)
	}
	return visible(k.Kernel) + ": " + visible(strings.Join(parts, ", "))
}

// line words how far a kernel is in at most so many columns. What does not
// fit is left out, the least important first.
func (k *state) line(width int, now time.Time) string {
	name, stage := visible(k.Kernel), visible(k.doing())
	count, wrong, left := "", "", k.clock(now)
	if k.Total > 0 && (k.Stage == "run" || k.Done > 0) {
		count = fmt.Sprintf("%d/%d", k.Done, k.Total)
	}
	if k.Failed > 0 {
		wrong = fmt.Sprintf("%d WRONG", k.Failed)
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

// visible keeps a guest from moving the cursor.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}
