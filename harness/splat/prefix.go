package splat

import (
	"regexp"
	"strings"
	"time"
)

// line is a line of the log without what printk, a log daemon or a reader of the log
// puts before a message.
type line struct {
	msg    string
	caller string        // the CPU or task that prints ("T12", "C0"), if the kernel names it
	form   form          // what the prefix is
	at     time.Duration // the time since the boot; 0 if the stamp is a date
}

// form is the kind of prefix that shows where a line comes from.
type form int

// The forms. Lines of Bare may be the kernel's if it prints no time stamps, lines of
// Foreign are another program's.
const (
	formBare form = iota
	formPrintk
	formDmesg
	formKmsg
	formSyslog
	formForeign
)

// formNames are the forms that are the kernel's lines, as a report names them.
var formNames = map[form]string{
	formPrintk: "printk time stamps", formDmesg: "dmesg's dates or differences",
	formKmsg: "/dev/kmsg or extended netconsole", formSyslog: "a log daemon's \"kernel:\"",
}

// stamped reports whether the prefix shows that the line is the kernel's.
func (l *line) stamped() bool { return formNames[l.form] != "" }

const (
	dayTime = `\d\d:\d\d:\d\d`
	isoTime = `\d{4}-\d\d-\d\d[T ]` + dayTime + `(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?`
)

var (
	escapes  = re(`\x1b\[[0-9;]*[A-Za-z]`)
	quote    = re(`^(?:> ?)+`)
	decoded  = re(`^[a-z0-9]+ *:[a-z]+ *: `)                                         // dmesg -x
	priority = re(`^<\d{1,3}>(?:1 )?`)                                               // syslog(2), RFC 5424
	kmsg     = re(`^(?:[\w.+-]+,)?\d+,\d+,(\d+),[-c+](?:,caller=([TC]\d+))?[^; ]*;`) // also with a release
	isoDmesg = re(`^\d{4}-\d\d-\d\dT` + dayTime + `,\d+[+-]\d\d:?\d\d(?: |$)`)       // dmesg --time-format iso
	isoStart = re(`^` + isoTime + ` +`)                                              // added by a reader of a console
	isoInner = re(`^` + isoTime + `$`)
	anyDate  = re(`^(?:[^\[\]<>;]{0,40}?` + dayTime + `(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?(?: \d{4}| [A-Z]{2,5})?|` +
		`\d{9,11}\.\d+) `)
	kernelIs = re(`^(?:[\w.:@-]+ +)?(?:[a-z0-9]+\.[a-z]+ +)?kernel(?:\[\d+\])?(?: - - -|:)(?: |$)`)
	otherIs  = re(`^[\w.:@-]+ (?:[a-z0-9]+\.[a-z]+ +)?[\w./@-]+(?:\[\d+\])?: `)
	seconds  = re(`^ *\d+\.\d{1,9}s?$`)
	// since the last one, dmesg -e, dmesg -T; each also with dmesg -d
	inKernel = re(`^(?: *\+? *\d+\.\d+|[A-Z]\p{L}*\.? ?\d\d? \d\d:\d\d|\S+ \S+ +\S+ ` + dayTime + ` \d{4})?` +
		`(?: ?< *\+?\d+\.\d+>)?$`)
	callerID = re(`^ ?\[ *([TC]\d+)\](?: |$)`)
	vendorID = re(`^ ?(?:\[\d+: *(\S+?): *\d+\] ?|\(\d+\)\[\d+:(\S+?)\] ?|\[pid:\d+,cpu\d+,([^\]]+)\] ?)`)
	inLine   = re(`\[ *\d+\.\d{6}\](?: |\[ *[TC]\d+\])`)
)

// unprefix removes everything that may precede a message.
func unprefix(raw string) line {
	l := line{msg: clean(raw)}
	if l.msg == "" {
		return l
	}
	if l.msg[0] == '>' {
		l.msg = l.msg[len(quote.FindString(l.msg)):]
	}
	if facility := match(decoded, l.msg, ':'); facility != "" {
		rest := l.msg[len(facility):]
		switch {
		case strings.HasPrefix(facility, "kern"):
			l.msg, l.form = rest, formDmesg
		case formOf(rest) != formBare:
			l.msg = rest
		}
	}
	l.msg = l.msg[len(match(priority, l.msg, '<')):]
	l.date()
	if !l.stamp() && l.form != formForeign {
		if at := midStamp(l.msg); at > 0 {
			// A program wrote to the console before and did not end its line.
			return unprefix(l.msg[at:])
		}
	}
	l.who()
	return l
}

// Message returns a line of a log without the prefixes of the kernel, of log daemons and of readers of logs,
// and without colours; kernel says whether there was one that shows that the line is the kernel's.
func Message(raw string) (msg string, kernel bool) {
	l := unprefix(raw)
	if l.form == formForeign {
		return clean(raw), false
	}
	return l.msg, l.stamped()
}

// formOf is the form of a line that begins with its time.
func formOf(msg string) form {
	l := line{msg: msg}
	l.date()
	l.stamp()
	return l.form
}

// match is the text at the start of s that e matches; "" if s lacks the byte that each
// match has.
func match(e *regexp.Regexp, s string, has byte) string {
	if strings.IndexByte(s[:min(len(s), 80)], has) < 0 {
		return ""
	}
	return e.FindString(s)
}

// clean removes colours, and writes no-break spaces, as mail programs make them, as spaces.
func clean(raw string) string {
	if strings.IndexByte(raw, 0x1b) >= 0 {
		raw = escapes.ReplaceAllString(raw, "")
	}
	if strings.IndexByte(raw, 0xa0) >= 0 {
		raw = strings.ReplaceAll(raw, "\u00a0", " ")
	}
	return raw
}

// date removes the date of a log daemon or of dmesg, and the sender after it.
func (l *line) date() {
	if l.msg == "" || l.msg[0] == '[' {
		return
	}
	if m := kmsgPrefix(l.msg); m != nil {
		l.form, l.caller = formKmsg, m[2]
		l.at, _ = time.ParseDuration(m[1] + "us")
		l.msg = l.msg[len(m[0]):]
		return
	}
	if iso := match(isoDmesg, l.msg, 'T'); iso != "" {
		l.form, l.msg = formDmesg, l.msg[len(iso):]
		return
	}
	when := match(anyDate, l.msg, ' ')
	rest := l.msg[len(when):]
	switch from := fromKernel(rest); {
	case when == "":
	case from != "":
		l.form, l.msg = formSyslog, rest[len(from):]
	case otherIs.MatchString(rest) && midStamp(rest) == 0 && !ours(rest):
		l.form = formForeign
	default:
		l.msg = l.msg[len(match(isoStart, l.msg, '-')):]
	}
}

// fromKernel is what a log daemon puts before the kernel's messages, at the start of a text.
func fromKernel(text string) string {
	if !strings.Contains(text[:min(len(text), 120)], "kernel") {
		return ""
	}
	return kernelIs.FindString(text)
}

// ours reports whether a text that looks like "HOST PROGRAM: " begins a report.
func ours(text string) bool {
	r, _ := find(text)
	return r != nil
}

func kmsgPrefix(msg string) []string {
	if strings.IndexByte(msg[:min(len(msg), 120)], ';') < 0 {
		return nil
	}
	return kmsg.FindStringSubmatch(msg)
}

// stamp removes a time stamp in brackets, and the sender that journalctl puts after it.
func (l *line) stamp() bool {
	inner, rest, ok := bracketed(l.msg)
	switch {
	case !ok:
		return false
	case strings.Count(inner, ":") == 2 && isoInner.MatchString(inner): // a terminal program's
		l.msg = strings.TrimPrefix(rest, " ")
		return l.stamp()
	case seconds.MatchString(inner):
		l.form = max(l.form, formPrintk)
		l.at, _ = time.ParseDuration(strings.TrimRight(strings.TrimSpace(inner), "s") + "s")
	case inner != "" && inKernel.MatchString(inner):
		l.form = max(l.form, formDmesg)
	default:
		return false
	}
	l.msg = strings.TrimPrefix(rest, " ")
	if from := fromKernel(l.msg); from != "" {
		l.msg = l.msg[len(from):]
	} else if strings.Contains(rest, "]: ") && l.form == formPrintk && l.at > 0 && journalForeign.MatchString(rest) {
		l.form = formForeign
	}
	return true
}

// journalForeign matches what journalctl -o short-monotonic puts before another program's line.
var journalForeign = re(`^ [\w.-]+ [\w./@-]+\[\d+\]: `)

// who removes the name of the CPU or task that prints.
func (l *line) who() {
	if !l.stamped() || !strings.HasPrefix(l.msg, "[") && !strings.HasPrefix(l.msg, "(") &&
		!strings.HasPrefix(l.msg, " [") && !strings.HasPrefix(l.msg, " (") {
		return
	}
	for _, e := range []*regexp.Regexp{callerID, vendorID} {
		if m := e.FindStringSubmatch(l.msg); m != nil {
			l.caller = strings.Join(m[1:], "")
			l.msg = l.msg[len(m[0]):]
			return
		}
	}
}

// midStamp returns the index of a time stamp inside a line; 0 is none.
func midStamp(msg string) int {
	if !strings.Contains(msg, "]") {
		return 0
	}
	if m := inLine.FindStringIndex(msg); m != nil {
		return m[0]
	}
	return 0
}

// bracketed removes a short prefix in square brackets.
func bracketed(s string) (inner, rest string, ok bool) {
	if s == "" || s[0] != '[' {
		return "", s, false
	}
	i := strings.IndexByte(s[:min(len(s), 64)], ']')
	if i < 0 {
		return "", s, false
	}
	return s[1:i], s[i+1:], true
}
