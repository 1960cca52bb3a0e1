package vm

import (
	"slices"
	"strconv"
	"strings"
)

// Leaks is what a kmemleak scan in the guest found.
type Leaks struct {
	Text      string // the objects, as kmemleak describes them
	Jiffies   uint64 // the clock by which it dates them, and
	Ticks     uint64 // the same in hundredths of a second, at one time; 0 is unknown
	Marks     []LeakMark
	Unscanned string // why there was no scan
}

// LeakMark is when, in ticks, the agent said what it was about to do.
type LeakMark struct {
	Ticks uint64
	Mark  string
}

// Leaks tells the machine what a kmemleak scan in the guest found.
func (m *Machine) Leaks(l Leaks) {
	m.note(func(f *facts) { f.leaks = l })
}

// addLeaks makes a finding of each leaked object, and one of a scan that was
// wanted and did not come about: silence would pass for health.
func (f *facts) addLeaks() {
	l := f.leaks
	f.leaks = Leaks{}
	if l.Unscanned != "" {
		f.log.findings = append(f.log.findings, Finding{Kind: KindOther, Title: "no leak was looked for: " + l.Unscanned, Offset: -1, Time: f.total})
	}
	for _, o := range leaked(l.Text) {
		if len(f.log.findings) >= maxFindings {
			return
		}
		o.Time = f.total
		o.Under = l.when(o.Lines)
		f.log.findings = append(f.log.findings, o)
	}
}

// leaked splits kmemleak's words by object.
func leaked(text string) []Finding {
	var out []Finding
	for _, o := range strings.SplitAfter(text, "\n") {
		if strings.HasPrefix(o, "unreferenced object") {
			out = append(out, Finding{Kind: KindKmemleak, Offset: -1})
		}
		if n := len(out); n > 0 && len(out[n-1].Lines) < maxLines {
			out[n-1].Lines = append(out[n-1].Lines, strings.TrimRight(o, "\n"))
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

// when says under which marks an object was allocated: those at the begin and
// at the end of its jiffy. Without the clock's rate it is not known.
func (l *Leaks) when(lines []string) []string {
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
		// Both count from before the boot on, so that their ratio is that of the rates.
		at := uint64(float64(then) * float64(l.Ticks) / float64(l.Jiffies))
		return slices.Compact([]string{l.markAt(at - 1), l.markAt(at + 1)})
	}
	return nil
}

// markAt is the last mark before a time.
func (l *Leaks) markAt(ticks uint64) string {
	mark := ""
	for _, m := range l.Marks {
		if m.Ticks > ticks {
			break
		}
		mark = m.Mark
	}
	return mark
}
