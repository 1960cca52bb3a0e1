package splat

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tokentest/harness/wire"
)

// Leaks returns a finding for each object that a kmemleak scan in the guest suspects,
// and one for a scan that should have run and did not: silence would pass for health.
// at is the findings' time.
func Leaks(l *wire.Leaks, at time.Duration) []Finding {
	var out []Finding
	if l.Unscanned != "" {
		out = append(out, Finding{Kind: KindOther, Title: "no leak was looked for: " + l.Unscanned})
	}
	for _, f := range leaked(l.Text) {
		f.Under = allocatedUnder(l, f.Lines)
		out = append(out, f)
	}
	if len(out) > maxFindings {
		out = out[:maxFindings]
	}
	for i := range out {
		f := &out[i]
		f.Offset, f.Time, f.Fingerprint = -1, at, fingerprint(f)
	}
	return out
}

// leaked splits kmemleak's text by object.
func leaked(text string) []Finding {
	var out []Finding
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "unreferenced object") {
			out = append(out, Finding{Kind: KindKmemleak})
		}
		if n := len(out); n > 0 && len(out[n-1].Lines) < maxLines {
			out[n-1].Lines = append(out[n-1].Lines, strings.TrimRight(line, "\n"))
		}
	}
	for i := range out {
		out[i].Lines = slices.DeleteFunc(out[i].Lines, func(l string) bool { return l == "" })
		out[i].Title = "unreferenced object"
		if by := frames(KindKmemleak, out[i].Lines, 1); len(by) > 0 {
			out[i].Title += " of " + by[0]
		}
	}
	return out
}

var leakDate = re(`^  comm ".*", pid -?\d+, jiffies (\d+)`)

// allocatedUnder returns the marks under which an object was allocated: those at the
// start and at the end of its jiffy. Without the clock's rate they are unknown.
func allocatedUnder(l *wire.Leaks, lines []string) []string {
	if l.Jiffies == 0 || l.Ticks == 0 {
		return nil
	}
	for _, line := range lines {
		m := leakDate.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		then, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil || then > l.Jiffies {
			return nil
		}
		// Both clocks count from before the boot, so their ratio is that of their rates.
		at := uint64(float64(then) * float64(l.Ticks) / float64(l.Jiffies))
		return slices.Compact([]string{markAt(l.Marks, at-1), markAt(l.Marks, at+1)})
	}
	return nil
}

// markAt is the text of the last mark before a time; "" is none.
func markAt(marks []wire.MarkAt, ticks uint64) string {
	text := ""
	for _, m := range marks {
		if m.Ticks > ticks {
			break
		}
		text = m.Mark.String()
	}
	return text
}
