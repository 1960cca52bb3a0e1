package vm

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Leaks is what a kmemleak scan in the guest found.
type Leaks struct {
	Text      string // the objects, as kmemleak describes them
	Jiffies   uint64 // the clock by which it dates them, when the log was marked with leakMark; 0 is unknown
	HZ        int    // the clock's rate; 0 is unknown
	Unscanned string // why there was no scan
}

// leakMark is the mark in the log that tells when the last scan began.
const leakMark = "leak scan"

// Leaks tells the machine what a kmemleak scan in the guest found.
func (m *Machine) Leaks(l Leaks) {
	m.note(func(f *facts) { f.leaks = l })
}

// stamp is when, by the log's own clock, the agent said what it was about to do.
type stamp struct {
	at   time.Duration
	mark string
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
		o.Under = f.log.when(&l, o.Lines)
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

// when says under which marks an object was allocated: those that the log
// shows at the begin and at the end of its jiffy. Without the clock's rate it
// is not known.
func (r *report) when(l *Leaks, lines []string) []string {
	scan := slices.IndexFunc(r.marks, func(s stamp) bool { return s.mark == leakMark })
	if scan < 0 || l.HZ == 0 || l.Jiffies == 0 {
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
		jiffy := time.Second / time.Duration(l.HZ)
		at := r.marks[scan].at - time.Duration(l.Jiffies-then)*jiffy
		return slices.Compact([]string{r.markAt(at - jiffy), r.markAt(at + jiffy)})
	}
	return nil
}

// markAt is the last mark before a time of the log.
func (r *report) markAt(at time.Duration) string {
	mark := ""
	for _, s := range r.marks {
		if s.at > at {
			break
		}
		mark = s.mark
	}
	return mark
}
