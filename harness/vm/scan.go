package vm

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Kind is what sort of trouble a finding is, from a closed set.
type Kind string

// The kinds of findings.
const (
	KindPanic      Kind = "panic"
	KindOops       Kind = "oops"
	KindBug        Kind = "bug"
	KindWarn       Kind = "warn"
	KindUBSAN      Kind = "ubsan"
	KindKASAN      Kind = "kasan"
	KindKCSAN      Kind = "kcsan"
	KindKFENCE     Kind = "kfence"
	KindKMSAN      Kind = "kmsan"
	KindLockdep    Kind = "lockdep"
	KindRCU        Kind = "rcu"
	KindLockup     Kind = "lockup"
	KindHungTask   Kind = "hungtask"
	KindRefcount   Kind = "refcount"
	KindCorruption Kind = "corruption"
	KindKmemleak   Kind = "kmemleak"
	KindAtomic     Kind = "atomic"
	KindOOM        Kind = "oom"
	KindTaint      Kind = "taint"
	KindOther      Kind = "other"
)

// Finding is one report of the kernel about itself.
type Finding struct {
	Kind   Kind
	Title  string        // one line without addresses, offsets, process and line numbers: the same fault has the same title
	Lines  []string      // the report as printed, cut after maxLines
	Offset int64         // of its first line in console.log, -1 for what is not from there
	Time   time.Duration // from the machine's start to when it was seen

	// Fingerprint is the same for the same fault on the same path, whatever
	// the addresses, CPUs and offsets were.
	Fingerprint string `json:",omitempty"`
	// Mark is what the guest's agent last said in the log that it was about to do.
	Mark string `json:",omitempty"`
	// Under is what the agent was about to do, one of these, when what the
	// finding is about happened, where that was long before it was found.
	Under []string `json:",omitempty"`
	// Case names what was running, where the caller knows.
	Case string `json:",omitempty"`
	// Allowed is the reason of the entry that covers it; "" means that it counts.
	Allowed string `json:",omitempty"`
	// Host is what the host gave the machine, where that is why the kernel says
	// that something takes too long: such a finding is not the kernel's fault.
	Host *Share `json:",omitempty"`
}

// Counts says whether a finding is the kernel's fault and not known.
func (f *Finding) Counts() bool { return f.Allowed == "" && f.Host == nil }

// Limits that keep a flood of reports out of memory.
const (
	maxLines    = 64   // of one finding
	maxLine     = 1024 // bytes of one line
	maxFindings = 100
)

// Scan finds the kernel's reports in a console log.
func Scan(log []byte) []Finding { return scan(log).findings }

func scan(log []byte) report {
	s := newScanner(func() time.Duration { return 0 })
	s.Write(log)
	return s.close()
}

// report is what a scanner found.
type report struct {
	findings []Finding
	fatal    *Finding // the one that the kernel died of
	agent    string   // PID 1 ended by itself: one line that says so
	said     string   // why the agent gave up, in its own words
	lastLine string
}

// draft is a finding that still collects lines.
type draft struct {
	Finding
	rule *rule
	died bool // the "[#1]" line of an oops was seen
	full bool // takes no more lines
}

// scanner classifies a console log while it arrives. It is an io.Writer.
type scanner struct {
	now      func() time.Duration
	offset   int64             // of the line in partial
	partial  []byte            // a line without its end
	skipped  int64             // bytes of an overlong line that were dropped
	open     map[string]*draft // the report that a CPU or task is printing
	drafts   []*draft
	dropped  int
	fatal    *draft
	agent    string
	last     string
	said     string                // why the agent gave up
	share    func(question) *Share // what the host gave, where it is to blame; nil in a log alone
	clock    time.Duration         // the guest's, on the last line that has one
	begun    time.Duration         // it, where the machine began, so far as that is known
	mark     string                // what the agent last said that it was about to do
	stamped  bool                  // the kernel puts the time before its lines
	restored bool                  // the log goes on from that of another machine
}

func newScanner(now func() time.Duration) *scanner {
	return &scanner{now: now, open: map[string]*draft{}}
}

// Write takes the next bytes of the log.
func (s *scanner) Write(p []byte) (int, error) {
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
func (s *scanner) keep(p []byte) {
	room := min(max(maxLine-len(s.partial), 0), len(p))
	s.partial = append(s.partial, p[:room]...)
	s.skipped += int64(len(p) - room)
}

// flush ends the current line; end is the length of its line end.
func (s *scanner) flush(end int64) {
	s.line(string(s.partial))
	s.offset += int64(len(s.partial)) + s.skipped + end
	s.partial, s.skipped = s.partial[:0], 0
}

// line classifies one line.
func (s *scanner) line(raw string) {
	raw = strings.TrimRight(raw, "\r ")
	l := unprefix(raw)
	if strings.TrimSpace(l.msg) != "" {
		s.last = raw
	}
	s.stamped = s.stamped || l.stamped
	if l.at > 0 {
		s.tell(l.at)
	}
	// What the guest's own programs write to the log never counts.
	if own, ok := strings.CutPrefix(l.msg, ownPrefix); ok {
		if mark, ok := strings.CutPrefix(own, markPrefix); ok {
			s.mark = mark
		}
		if said, ok := strings.CutPrefix(own, agentPrefix); ok {
			s.said = said
		}
		return
	}
	// Where the kernel stamps its lines, one without a stamp is a program's. It
	// can stand amid a report, but begins none.
	if s.stamped && !l.stamped {
		if cur := s.open[l.caller]; cur != nil {
			cur.add(l.msg, raw)
		}
		return
	}
	s.message(l.msg, raw, l.caller)
}

// tell takes note of the guest's clock. That of a machine which was restored
// began with the first line that it printed then, or before.
func (s *scanner) tell(at time.Duration) {
	if s.clock == 0 && s.restored {
		s.begun = at
	}
	s.clock = at
}

// blame looks for the cause of a report that comes from a clock.
func (s *scanner) blame(d *draft, msg string) {
	enough := patience[d.Kind]
	if enough == 0 || s.share == nil {
		return
	}
	q := question{enough: enough, span: enough, guest: s.clock - s.begun}
	if m := stuckFor.FindStringSubmatch(msg); m != nil {
		if d, err := time.ParseDuration(m[1]); err == nil {
			q.span = max(q.span, d)
		}
	}
	d.Host = s.share(q)
}

// stuckFor is how long a soft lockup lasts, which is reported again and again.
var stuckFor = re(`stuck for (\d+s)`)

// What the guest's agent writes to the log begins with ownPrefix; behind it,
// markPrefix says what it is about to do, and agentPrefix why it gives up.
const (
	ownPrefix   = "tokentest: "
	markPrefix  = "begin "
	agentPrefix = "agent: "
)

const (
	cutHere = "------------[ cut here ]------------"
	endMark = "---[ end "
)

func (s *scanner) message(msg, raw, caller string) {
	cur := s.open[caller]
	if strings.HasPrefix(msg, cutHere) && (cur == nil || !cur.continues(&opening)) {
		s.begin(caller, raw)
		return
	}
	if r, m := find(msg); r != nil {
		s.matched(r, msg, m, raw, caller)
		return
	}
	if cur == nil {
		if strings.HasPrefix(msg, endMark) && len(s.drafts) == 0 {
			s.begin(caller, raw).name(&beheaded, beheaded.title)
			delete(s.open, caller)
		}
		return
	}
	cur.add(msg, raw)
	if strings.HasPrefix(msg, endMark) || strings.HasPrefix(msg, "=====") && len(cur.Lines) > 2 {
		delete(s.open, caller)
	}
}

// find answers the first rule that matches, and what it captured.
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

// matched takes a line that a rule knows: the begin of a report, or the next
// line of one that has begun.
func (s *scanner) matched(r *rule, msg string, m []int, raw, caller string) {
	title := normalise(string(r.match.ExpandString(nil, r.title, msg, m)))
	cur := s.open[caller]
	switch {
	case r.kind == KindPanic:
		s.panicked(r, title, msg, raw, caller)
		return
	case cur != nil && cur.rule == nil:
		cur.name(r, title)
		s.blame(cur, msg)
		cur.add(msg, raw)
	case cur != nil && cur.continues(r):
		cur.add(msg, raw)
	default:
		cur = s.begin(caller, raw)
		cur.name(r, title)
		s.blame(cur, msg)
	}
	cur.died = cur.died || r.die
	if r.fatal && s.fatal == nil {
		s.fatal = cur
	}
	if cur.rule.single {
		delete(s.open, caller)
	}
}

// panicked takes the line of a panic. Often it is only the end of what was
// reported before; and when PID 1 ends by itself, the kernel is not to blame.
func (s *scanner) panicked(r *rule, title, msg, raw, caller string) {
	prior := s.prior(caller, title)
	switch {
	case prior != nil:
		if prior.full = false; prior.rule == &beheaded {
			prior.name(r, title)
		}
		prior.add(msg, raw)
		s.fatal = prior
	case strings.Contains(msg, "Attempted to kill init!"):
		s.agent = fmt.Sprintf("the guest agent exited (%s)", exitcode.FindString(msg))
	default:
		d := s.begin(caller, raw)
		d.name(r, title)
		s.fatal = d
	}
}

var exitcode = regexp.MustCompile(`exitcode=0x[0-9a-f]+`)

// prior is the report whose consequence a panic is, if it is one.
func (s *scanner) prior(caller, title string) *draft {
	if s.fatal != nil {
		return s.fatal
	}
	any := consequence.MatchString(title)
	for i := len(s.drafts) - 1; i >= 0; i-- {
		k := s.drafts[i].Kind
		if any || strings.Contains(title, "Attempted to kill init") && (k == KindOops || k == KindBug) {
			return s.drafts[i]
		}
	}
	return nil
}

// begin opens a report, as yet without a name.
func (s *scanner) begin(caller, raw string) *draft {
	d := &draft{Finding: Finding{Lines: []string{raw}, Offset: s.offset, Time: s.now(), Mark: s.mark}}
	s.open[caller] = d
	if len(s.drafts) < maxFindings {
		s.drafts = append(s.drafts, d)
	} else {
		s.dropped++
	}
	return d
}

func (d *draft) name(r *rule, title string) { d.Kind, d.Title, d.rule = r.kind, title, r }

// continues says whether a line that could begin a report belongs to d, as
// the "Oops:" line after "BUG: unable to handle", or the WARNING that carries
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

var (
	ripLine = regexp.MustCompile(`^RIP: [0-9a-f]{4}:([^+ ]+)\+0x`)
	pcLine  = regexp.MustCompile(`^pc : ([^+ ]+)\+0x`)
)

// add takes a further line of the report.
func (d *draft) add(msg, raw string) {
	if d.rule != nil && d.rule.rip && !strings.Contains(d.Title, " in ") {
		for _, re := range []*regexp.Regexp{ripLine, pcLine} {
			if m := re.FindStringSubmatch(msg); m != nil {
				d.Title += " in " + normalise(m[1])
			}
		}
	}
	if len(d.Lines) >= maxLines {
		d.full = true
	}
	if !d.full {
		d.Lines = append(d.Lines, raw)
	}
}

// close ends the log and answers what it held.
func (s *scanner) close() report {
	if len(s.partial) > 0 {
		s.flush(0)
	}
	r := report{agent: s.agent, said: s.said, lastLine: s.last}
	for _, d := range s.drafts {
		if d.rule == nil { // a "cut here" whose report never named itself
			d.Kind, d.Title = KindWarn, "WARNING without a name"
		}
		d.Fingerprint = fingerprint(&d.Finding)
		r.findings = append(r.findings, d.Finding)
	}
	if s.dropped > 0 {
		r.findings = append(r.findings, Finding{Kind: KindOther, Title: fmt.Sprintf("%d more findings", s.dropped), Offset: s.offset, Time: s.now()})
	}
	if s.fatal != nil {
		r.fatal = &s.fatal.Finding
	}
	return r
}
