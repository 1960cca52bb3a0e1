package splat

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"

	"tokentest/harness/wire"
)

// draft is a finding that still collects lines.
type draft struct {
	Finding
	rule *rule
	died bool // the "[#1]" line of an oops was seen
}

// Scanner classifies a console log while it arrives. It is an io.Writer; set the
// exported fields before the first Write. The zero value is ready for a log alone.
type Scanner struct {
	// Now returns the time since the machine started, for Finding.Time; nil
	// leaves it 0.
	Now func() time.Duration
	// Excuse returns what the host gave the machine, if that explains why
	// something took too long, and nil if it does not. A nil Excuse excuses nothing.
	Excuse func(Overrun) *Share
	// Resumed says that the log continues that of another machine: the kernel is
	// already running, and its clock with it.
	Resumed bool
	// Stamps says whether the kernel stamps its lines; StampsUnknown lets the first
	// stamped line decide.
	Stamps Stamps

	offset  int64             // of the line in partial
	partial []byte            // a line without its end
	skipped int64             // bytes of an overlong line that were dropped
	open    map[string]*draft // the report that a CPU or task is printing, by its caller ID
	drafts  []*draft
	dropped int // findings past maxFindings
	fatal   *draft
	exit    string // Report.InitExit
	init    *draft // the panic that exit is of
	reason  string // Report.AgentReason
	last    string
	clock   time.Duration // the guest's, on the last line that has a time stamp
	started time.Duration // the guest's clock when the machine started, as far as known
	mark    string        // the agent's last mark
	stamped bool          // the kernel puts a time stamp before its lines
}

func (s *Scanner) now() time.Duration {
	if s.Now == nil {
		return 0
	}
	return s.Now()
}

// Dying reports whether the log so far says that the kernel is dead.
func (s *Scanner) Dying() bool { return s.fatal != nil || s.exit != "" }

// Write takes the next bytes of the log.
func (s *Scanner) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.keep(p)
			return n, nil
		}
		s.keep(p[:i])
		s.flush(1)
		p = p[i+1:]
	}
}

// keep adds to the current line, which has a limit.
func (s *Scanner) keep(p []byte) {
	room := min(max(maxLine-len(s.partial), 0), len(p))
	s.partial = append(s.partial, p[:room]...)
	s.skipped += int64(len(p) - room)
}

// flush ends the current line; end is the length of its line end.
func (s *Scanner) flush(end int64) {
	s.line(string(s.partial))
	s.offset += int64(len(s.partial)) + s.skipped + end
	s.partial, s.skipped = s.partial[:0], 0
}

// line classifies one line.
func (s *Scanner) line(raw string) {
	raw = strings.TrimRight(raw, "\r ")
	l := unprefix(raw)
	if strings.TrimSpace(l.msg) != "" {
		s.last = raw
	}
	if l.form == formForeign {
		return
	}
	s.stamped = s.Stamps == StampsAll || s.Stamps == StampsUnknown && (s.stamped || s.Resumed || l.stamped())
	if l.at > 0 {
		s.tick(l.at)
	}
	// If the kernel stamps its lines, a line without a stamp is a program's. It
	// can stand inside a report, but does not start one.
	if s.stamped != l.stamped() {
		if cur := s.open[l.caller]; cur != nil {
			cur.add(l.msg, raw)
		}
		return
	}
	if own, ok := strings.CutPrefix(l.msg, wire.LogPrefix); ok {
		s.own(own)
		return
	}
	s.message(l.last().msg, raw, l.caller)
}

// last is the line without a text before it that the kernel or a program did not end,
// if a report begins after it.
func (l *line) last() *line {
	if !l.stamped() {
		if m := unfinished.FindStringSubmatchIndex(l.msg); m != nil {
			return &line{msg: l.msg[m[2]:]}
		}
		return l
	}
	if at := midStamp(l.msg); at > 0 {
		if next := unprefix(l.msg[at:]); strings.HasPrefix(next.msg, cutHere) || ours(next.msg) {
			return &next
		}
	}
	return l
}

// unfinished matches the beginning of a report after other text in a line without a
// stamp. After a space or a quotation mark it is part of a sentence, except after a prompt.
var unfinished = re(`(?:[^\s"'` + "`" + `(=]|login: |[#$>] )(` + cutHereText + `|Kernel panic - not syncing: |` +
	`WARNING: CPU: \d+ PID: \d+ at |BUG: (?:K[A-Z]+AN|KFENCE|unable to handle|kernel NULL)|` +
	`general protection fault.*\[#\d|INFO: (?:rcu_\w+ (?:self-)?detected|task \S+:\d+ blocked))`)

const cutHereText = `-{12}\[ cut here \]-{12}`

// own takes a line of the guest's own programs, which never is a finding.
func (s *Scanner) own(text string) {
	if mark, ok := strings.CutPrefix(text, wire.MarkPrefix); ok {
		s.mark = mark
	}
	if reason, ok := strings.CutPrefix(text, wire.AgentPrefix); ok {
		s.reason = reason
	}
}

// tick records the guest's clock. The clock of a restored machine started with
// the first line that it prints, or earlier.
func (s *Scanner) tick(at time.Duration) {
	if s.clock == 0 && s.Resumed {
		s.started = at
	}
	s.clock = at
}

// excuse looks for the cause of a report that a timeout triggers.
func (s *Scanner) excuse(d *draft, msg string) {
	limit := timeouts[d.Kind]
	if limit == 0 || s.Excuse == nil {
		return
	}
	o := Overrun{Limit: limit, Span: limit, Guest: s.clock - s.started}
	if m := stuckFor.FindStringSubmatch(msg); m != nil {
		if d, err := time.ParseDuration(m[1]); err == nil {
			o.Span = max(o.Span, d)
		}
	}
	d.Host = s.Excuse(o)
}

// stuckFor is how long a soft lockup has lasted; the kernel reports one again and again.
var stuckFor = re(`stuck for (\d+s)`)

const (
	cutHere = "------------[ cut here ]------------"
	endMark = "---[ end "
)

// message classifies a line of the kernel.
func (s *Scanner) message(msg, raw, caller string) {
	cur := s.open[caller]
	if strings.HasPrefix(msg, cutHere) && (cur == nil || !cur.continues(&opening)) {
		s.begin(caller, raw)
		return
	}
	unnamed := cur != nil && cur.rule == nil
	if r, m := find(msg); r != nil && (unnamed || !r.inside) && !strings.Contains(msg, " [inline]") {
		s.matched(r, msg, m, raw, caller)
		return
	}
	if cur == nil {
		if strings.HasPrefix(msg, endMark) && len(s.drafts) == 0 && s.exit == "" {
			s.begin(caller, raw).name(&endOnly, endOnly.title)
			delete(s.open, caller)
		}
		return
	}
	cur.add(msg, raw)
	if strings.HasPrefix(msg, endMark) || strings.HasPrefix(msg, "=====") && len(cur.Lines) > 2 {
		delete(s.open, caller)
	}
}

// find returns the first rule that matches, and the indexes of what it captured.
func find(msg string) (*rule, []int) {
	for i := range rules {
		if !strings.Contains(msg, hints[i]) {
			continue
		}
		if m := rules[i].match.FindStringSubmatchIndex(msg); m != nil {
			return &rules[i], m
		}
	}
	return nil, nil
}

// matched takes a line that a rule knows: the first line of a report, or a
// further line of an open one.
func (s *Scanner) matched(r *rule, msg string, m []int, raw, caller string) {
	title := normalise(string(r.match.ExpandString(nil, r.title, msg, m)))
	cur := s.open[caller]
	switch {
	case r.kind == KindPanic:
		s.panicked(r, title, msg, raw, caller)
		return
	case cur != nil && cur.rule == nil:
		cur.name(r, title)
		s.excuse(cur, msg)
		cur.add(msg, raw)
	case cur != nil && cur.continues(r):
		cur.add(msg, raw)
	default:
		cur = s.begin(caller, raw)
		cur.name(r, title)
		s.excuse(cur, msg)
	}
	cur.died = cur.died || r.die
	if r.fatal && s.fatal == nil {
		s.fatal = cur
	}
	if cur.rule.single {
		delete(s.open, caller)
	}
}

// panicked takes the line of a panic. A panic often only ends an earlier report;
// and if PID 1 exits by itself, the kernel is not at fault.
func (s *Scanner) panicked(r *rule, title, msg, raw, caller string) {
	cause := s.causeOf(title)
	switch {
	case cause != nil:
		if cause.rule == &endOnly {
			cause.name(r, title)
		}
		if len(cause.Lines) <= maxLines { // also the panic of a report that is full
			cause.Lines = append(cause.Lines, raw)
		}
		s.fatal = cause
	case strings.Contains(msg, "Attempted to kill init!"):
		s.exit = cmp.Or(exitcode.FindString(msg), "exit code unknown")
		s.init = s.draft(raw)
		s.init.name(r, "kernel panic: Attempted to kill init! "+s.exit)
		s.open[caller] = s.init
	default:
		d := s.begin(caller, raw)
		d.name(r, title)
		s.fatal = d
	}
}

var exitcode = re(`exitcode=0x[0-9a-f]+`)

// causeOf returns the earlier report that a panic follows from; nil is none.
func (s *Scanner) causeOf(title string) *draft {
	if s.fatal != nil {
		return s.fatal
	}
	follows := consequence.MatchString(title)
	for i := len(s.drafts) - 1; i >= 0; i-- {
		k := s.drafts[i].Kind
		if follows || strings.Contains(title, "Attempted to kill init") && (k == KindOops || k == KindBug) {
			return s.drafts[i]
		}
	}
	return nil
}

// draft is a report that begins with a line.
func (s *Scanner) draft(raw string) *draft {
	if s.open == nil {
		s.open = map[string]*draft{}
	}
	return &draft{Finding: Finding{Lines: []string{raw}, Offset: s.offset, Time: s.now(), Mark: s.mark}}
}

// begin opens a report that has no name yet.
func (s *Scanner) begin(caller, raw string) *draft {
	d := s.draft(raw)
	s.open[caller] = d
	if len(s.drafts) < maxFindings {
		s.drafts = append(s.drafts, d)
	} else {
		s.dropped++
	}
	return d
}

func (d *draft) name(r *rule, title string) { d.Kind, d.Title, d.rule = r.kind, title, r }

// continues reports whether a line that could start a report belongs to d, as
// does the "Oops:" line after "BUG: unable to handle", or the WARNING that carries
// a refcount message.
func (d *draft) continues(r *rule) bool {
	switch {
	case d.rule == nil:
		return false
	case r.die:
		return (d.rule.fatal || d.rule.carried) && !d.died
	case r.carrier:
		return d.rule.carried && len(d.Lines) <= 3
	}
	return (r.part || r.kind == KindRCU) && d.Kind == r.kind
}

// opening is the "cut here" line, which may follow a message that it carries.
var opening = rule{traits: carrier}

// add takes a further line of the report.
func (d *draft) add(msg, raw string) {
	if d.rule != nil && d.rule.rip && !strings.Contains(d.Title, " in ") {
		if name := atFault(msg); name != "" {
			d.Title += " in " + name
		}
	}
	if len(d.Lines) < maxLines {
		d.Lines = append(d.Lines, raw)
	}
}

// Close ends the log and returns what it held.
func (s *Scanner) Close() Report {
	if len(s.partial) > 0 {
		s.flush(0)
	}
	r := Report{InitExit: s.exit, AgentReason: s.reason, LastLine: s.last}
	for _, d := range s.drafts {
		if d.rule == nil { // a "cut here" line without a report after it
			d.Kind, d.Title = KindWarn, "WARNING without a name"
		}
		d.finish()
		r.Findings = append(r.Findings, d.Finding)
	}
	if s.init != nil {
		s.init.finish()
		r.Init = &s.init.Finding
	}
	if s.dropped > 0 {
		more := Finding{
			Kind: KindOther, Title: fmt.Sprintf("%d more findings", s.dropped), Offset: s.offset, Time: s.now(),
		}
		more.Fingerprint = fingerprint(&more)
		r.Findings = append(r.Findings, more)
	}
	if s.fatal != nil {
		r.Fatal = &s.fatal.Finding
	}
	return r
}
