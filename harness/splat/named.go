package splat

import "strings"

// named are the kinds whose title gets the function that the report is about, if the
// kernel's own words do not name one.
var named = map[Kind]bool{
	KindRCU: true, KindLockup: true, KindHungTask: true, KindAtomic: true, KindRefcount: true, KindCorruption: true,
	KindLockdep: true, KindKmemleak: true, KindBug: true, KindKASAN: true, KindKMSAN: true, KindKFENCE: true,
}

var inFunction = re(` in ([A-Za-z_][\w.]*)$`)

// finish completes the title and the fingerprint of a report that has ended.
func (d *draft) finish() {
	of := ""
	if d.Kind == KindLockdep {
		of = lockdepAbout(d.Lines)
	}
	by := frames(d.Kind, d.Lines, 1)
	m := inFunction.FindStringSubmatchIndex(d.Title)
	switch {
	case of != "":
		d.Title += of
	case !named[d.Kind] || len(by) == 0 || d.rule != nil && d.rule.single:
	case m == nil && !strings.Contains(d.Title, " in "):
		d.Title += " in " + by[0]
	case m != nil && isHelper(d.Kind, d.Title[m[2]:m[3]]):
		d.Title = d.Title[:m[2]] + by[0]
	}
	d.Fingerprint = fingerprint(&d.Finding)
}

var (
	lockLine    = re(`\((.+)\)(?:\{[^}]*\}(?:-\{[\d:]+\})?| at:)`)
	lockNumber  = re(`#\d+`)
	lockdepNext = re(`existing dependency chain|other info that might|stack backtrace|^-> #`)
	rcuUsage    = re(`^(\S+\.[chS]):\d+ `)
)

// lockdepAbout names the locks of a lockdep report, at most two, or the file of a wrong use of RCU.
func lockdepAbout(lines []string) string {
	var locks []string
	for _, raw := range lines[min(len(lines), 1):] {
		msg := unprefix(raw).msg
		if lockdepNext.MatchString(msg) && len(locks) > 0 || len(locks) == 2 {
			break
		}
		if m := rcuUsage.FindStringSubmatch(msg); m != nil {
			return " in " + normalise(m[1])
		}
		if m := lockLine.FindStringSubmatch(msg); m != nil {
			locks = append(locks, normalise(lockNumber.ReplaceAllString(m[1], "")))
		}
	}
	if len(locks) == 0 {
		return ""
	}
	return ": " + strings.Join(locks, ", ")
}
