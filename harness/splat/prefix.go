package splat

import (
	"strings"
	"time"
)

// line is a line of the log without what printk puts before a message.
type line struct {
	msg     string
	caller  string        // the CPU or task that prints ("T12", "C0"), if the kernel names it
	stamped bool          // it has a time stamp
	at      time.Duration // the time since the boot; 0 if the stamp is a date
}

// unprefix removes everything that may precede a message: the syslog header, the
// level, the time stamp and the caller.
func unprefix(raw string) line {
	l := line{msg: fromSyslog(raw)}
	if level, rest, ok := bracketed(l.msg, '<', '>'); ok && level >= "0" && level <= "9" {
		l.msg = rest
	}
	if stamp, rest, ok := bracketed(l.msg, '[', ']'); ok && isStamp(stamp) {
		l.msg, l.stamped, l.at = rest, true, sinceBoot(stamp)
	} else if at := midStamp(l.msg); at > 0 {
		// A program wrote to the console before and did not end its line.
		return unprefix(l.msg[at:])
	}
	if who, rest, ok := bracketed(l.msg, '[', ']'); ok && callerID.MatchString(who) {
		l.msg, l.caller = rest, strings.TrimSpace(who)
	}
	l.msg = strings.TrimPrefix(l.msg, " ")
	return l
}

var (
	callerID = re(`^ *[TC]\d+$`)
	dateTime = re(`^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$`) // dmesg -T
	inLine   = re(`\[ *\d+\.\d{6}\] `)
	syslog   = re(`^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ kernel: `)
)

// sinceBoot is the time of a printk time stamp; 0 for a date.
func sinceBoot(stamp string) time.Duration {
	d, err := time.ParseDuration(strings.TrimSpace(stamp) + "s")
	if err != nil {
		return 0
	}
	return d
}

func isStamp(s string) bool {
	return s != "" && strings.Trim(s, "0123456789. ") == "" || dateTime.MatchString(s)
}

// fromSyslog removes what a syslog daemon puts before the kernel's lines.
func fromSyslog(raw string) string {
	if !strings.Contains(raw, " kernel: ") {
		return raw
	}
	return raw[len(syslog.FindString(raw)):]
}

// midStamp returns the index of a time stamp inside a line; 0 is none.
func midStamp(msg string) int {
	if !strings.Contains(msg, "] ") {
		return 0
	}
	if m := inLine.FindStringIndex(msg); m != nil {
		return m[0]
	}
	return 0
}

// bracketed removes a short prefix between the brackets open and end.
func bracketed(s string, open, end byte) (inner, rest string, ok bool) {
	if s == "" || s[0] != open {
		return "", s, false
	}
	i := strings.IndexByte(s[:min(len(s), 28)], end)
	if i < 0 {
		return "", s, false
	}
	return s[1:i], s[i+1:], true
}
