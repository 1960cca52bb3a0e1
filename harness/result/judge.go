package result

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// Judge compares the observations of one kernel with what the oracle and the pins say. It
// keeps a world's simulation between the world's cases.
type Judge struct {
	facts  *step.Facts
	play   cases.Player
	worlds map[*cases.World]*judgedWorld
	passed map[slimStep][]StepResult
	rules  map[string]RuleText

	lacking map[*cases.Case]*cases.Need // nil for a case that lacks nothing
}

type judgedWorld struct {
	setup  []StepResult
	cause  Cause   // why the set-up breaks the world's cases; without a kind if it does not
	reason string  // the cause in words
	fault  Culprit // who is wrong then
}

// breaks records why the set-up breaks the world's cases.
func (w *judgedWorld) breaks(c Cause, reason string) { w.cause, w.reason = c, reason }

func (w *judgedWorld) broken() bool { return w.cause.Kind != "" }

// NewJudge returns a judge for a kernel with the facts f. omit is the name of a rule that
// the oracle leaves out; "" is none.
func NewJudge(f *step.Facts, omit string) *Judge {
	return &Judge{facts: f, play: cases.Player{Facts: f, Omit: omit}, worlds: map[*cases.World]*judgedWorld{},
		passed: map[slimStep][]StepResult{}, rules: map[string]RuleText{}, lacking: map[*cases.Case]*cases.Need{}}
}

// Unmet returns the result of a case that cannot run on this kernel: a skip, or a failure if
// the kernel should have what the case needs. It returns nil if the case can run.
func (j *Judge) Unmet(c *cases.Case) *CaseResult {
	if r := j.unmet(c, slices.Concat(cases.Always, c.Needs())...); r != nil {
		return r
	}
	for _, k := range append([]*cases.Case{c}, c.Guards()...) { // a case needs its controls
		if n := j.lacks(k); n != nil {
			return j.unmet(c, *n)
		}
	}
	return nil
}

// lacks remembers the answer for each case: thousands share a control.
func (j *Judge) lacks(c *cases.Case) *cases.Need {
	n, known := j.lacking[c]
	if !known {
		n = c.UnmetByStep(j.facts)
		j.lacking[c] = n
	}
	return n
}

func (j *Judge) unmet(c *cases.Case, needs ...cases.Need) *CaseResult {
	n, refuted := cases.Unmet(needs, j.facts)
	if n == nil {
		return nil
	}
	r := NewResult(c.ID, Skip, Cause{Kind: Unmet, Need: needOf(*n)}, n.Reason(j.facts), -1)
	if refuted != "" {
		r = NewResult(c.ID, Fail, Cause{Kind: Refuted, Need: needOf(*n)}, refuted, -1)
	}
	return &r
}

// Setup judges the observations of a world's set-up. The caller must call it before Case for
// the world's cases.
func (j *Judge) Setup(w *cases.World, seen []step.Observation) {
	jw := &judgedWorld{}
	j.worlds[w] = jw
	if len(seen) != len(w.Program.Setup) {
		jw.breaks(Cause{Kind: ByGuest},
			fmt.Sprintf("the set-up has %d steps and showed %d", len(w.Program.Setup), len(seen)))
		return
	}
	expected, err := j.play.Setup(w)
	for i, e := range expected {
		o := seen[i]
		if o.Proof == step.SurvivesExec {
			o.Proof = step.Works // it works here; cases of their own check close-on-exec
		}
		r := judgeStep(e, &w.Info[i], o)
		if r.Wrong && (!jw.broken() || r.Fault.graver(jw.fault)) {
			jw.breaks(r.cause(BySetup, i), fmt.Sprintf("set-up step %q: %s", r.Text, r.Explain()))
			jw.fault = r.Fault
		}
		jw.setup = append(jw.setup, r)
	}
	if err != nil {
		jw.breaks(Cause{Kind: ByGuest}, err.Error())
	}
}

// Case judges the observations of a case.
func (j *Judge) Case(c *cases.Case, seen []step.Observation) CaseResult {
	return j.made(makeSteps(c), seen)
}

// made is Case for a case with its steps.
func (j *Judge) made(c *madeCase, seen []step.Observation) CaseResult {
	out := CaseResult{ID: c.ID, Status: Pass}
	jw := j.worlds[c.World]
	switch {
	case jw == nil:
		return broken(out, Cause{Kind: ByGuest}, "the guest did not answer for its set-up")
	case jw.broken():
		out.Steps, out.Fault = slices.Clone(jw.setup), jw.fault
		return broken(out, jw.cause, jw.reason)
	case len(seen) != c.Len():
		return broken(out, Cause{Kind: ByGuest}, fmt.Sprintf("it has %d steps and showed %d", c.Len(), len(seen)))
	}
	play, err := j.play.Before(c.Case)
	if err != nil {
		return broken(out, Cause{Kind: ByGuest}, err.Error())
	}
	out.Steps = make([]StepResult, len(seen))
	decided := false
	for i := range seen {
		e, err := play.Step(&c.cell[i])
		if err != nil {
			return broken(CaseResult{ID: out.ID}, Cause{Kind: ByGuest}, err.Error())
		}
		s, control := &out.Steps[i], c.info[i].Control
		*s = judgeStep(e, &c.info[i], seen[i])
		out.judge(i, control)
		decided = decided || !control && !s.unjudged() && e.Decides()
	}
	if out.Status == Pass && !decided {
		out.skipUnjudged()
	}
	if out.Status == Pass {
		out.Steps = j.slim(out.Steps)
	}
	return out
}

// slim leaves out what a passed case shares with the corpus and the oracle, and lets cases
// with the same observations share their steps: there can be a hundred thousand.
func (j *Judge) slim(steps []StepResult) []StepResult {
	for i := range steps {
		j.note(&steps[i])
		if steps[i].Unknown == "" { // otherwise no rule explains it
			steps[i] = StepResult{Got: steps[i].Got, ID: steps[i].ID, Measured: steps[i].Measured}
		}
	}
	if len(steps) != 1 || steps[0].Got.Values != nil || steps[0].Unknown != "" {
		return steps
	}
	key := slimStep{steps[0].Got.Errno, steps[0].Got.Proof, steps[0].ID}
	if j.passed[key] == nil {
		j.passed[key] = steps
	}
	return j.passed[key]
}

// note keeps the text of a rule, which passed cases do not repeat.
func (j *Judge) note(s *StepResult) {
	if _, known := j.rules[s.ID]; !known && s.ID != "" {
		j.rules[s.ID] = RuleText{s.Rule, s.Func}
	}
}

// Rules returns the texts of the rules that decided, by their stable names.
func (j *Judge) Rules() map[string]RuleText { return j.rules }

// slimStep is what slim keeps of a step.
type slimStep struct {
	errno uapi.Errno
	proof step.Proof
	rule  string
}

func broken(r CaseResult, c Cause, reason string) CaseResult {
	r.end(Broken, c, reason)
	return r
}

// cause returns the cause of a wrong step; i is its index.
func (s *StepResult) cause(kind CauseKind, i int) Cause {
	return Cause{Kind: kind, Step: i + 1, Rule: s.ID}
}

// judge applies one step to the case's status: a wrong control makes it broken, another
// wrong step makes it fail. The first wrong step is the reason, unless a later one is the
// kernel's fault and the first is not.
func (r *CaseResult) judge(i int, control bool) {
	s := &r.Steps[i]
	worse := r.Status == Pass || s.Fault.graver(r.Fault)
	switch {
	case !s.Wrong:
	case control && (r.Status == Fail || worse):
		r.end(Broken, s.cause(ByControlStep, i), fmt.Sprintf("control %q: %s", s.Text, s.Explain()))
		r.Fault = s.Fault
	case !control && r.Status != Broken && worse:
		r.end(Fail, s.cause(ByStep, i), s.Explain())
		r.Fault = s.Fault
	}
}

// graver reports whether a fault counts more than another: the kernel's counts most.
func (f Culprit) graver(than Culprit) bool { return f == KernelWrong && than != KernelWrong }

// unjudged reports whether neither the rules nor a pin know the step's answer, and nothing
// else is wrong with it.
func (s *StepResult) unjudged() bool { return s.Unknown != "" && s.Want == nil && !s.Wrong }

// Unjudged returns the steps that neither the rules nor a pin judge.
func (r *CaseResult) Unjudged() []*StepResult {
	var out []*StepResult
	for i := range r.Steps {
		if s := &r.Steps[i]; s.unjudged() {
			out = append(out, s)
		}
	}
	return out
}

// skipUnjudged skips a case of which only controls were judged: it says nothing about the
// kernel.
func (r *CaseResult) skipUnjudged() {
	for i := range r.Steps {
		if s := &r.Steps[i]; s.unjudged() {
			why := fmt.Sprintf("%s: %s; the kernel answers %s", s.Unknown, s.Rule, s.Got.Errno)
			r.end(Skip, s.cause(NotJudged, i), why)
			return
		}
	}
}

// Guards makes the cases broken whose controls do not hold. of returns the result of a case
// on a kernel, or nil.
//
// If the kernel's configuration is unknown and it shows neither BTF nor symbols, a control
// that is refused like a type that is not compiled in is the only sign that it is not:
// Guards skips its cases, with the option's name.
//
// Guards calls set with the new results, and does not change those that of returns.
func Guards(f *step.Facts, all []*cases.Case, of func(*cases.Case) *CaseResult, set func(*cases.Case, CaseResult)) {
	if f != nil && f.Config == nil && f.OptionsFrom == "" {
		skipUnknown(all, of, set)
	}
	broke, open := map[*cases.Case]*guard{}, map[*cases.Case]*guard{}
	for _, c := range all {
		r := of(c)
		if r == nil || r.Status == Skip || r.Status == Interrupted || r.refuted() {
			continue
		}
		if c.Control != "" {
			if why := failed(c, r); why != nil {
				broke[c] = why
			}
		}
		for _, g := range c.Guards() {
			if control := of(g); control != nil && control.Status == Interrupted {
				open[c] = interruptedBy(g, control)
			} else if why := failed(g, control); why != nil {
				broke[c] = why
			}
		}
	}
	settle := func(why map[*cases.Case]*guard, status Status) {
		for c, g := range why {
			now := *of(c)
			now.end(status, g.cause, g.reason)
			set(c, now)
		}
	}
	settle(open, Interrupted)
	settle(broke, Broken)
}

// refuted reports whether the case failed without a run: the kernel lacks what it should
// have, and so has no answer for the case's controls either.
func (r *CaseResult) refuted() bool { return r.Status == Fail && len(r.Steps) == 0 }

// notCompiledIn are the errnos for a map or program type that is not compiled in:
// find_prog_type and map_create, and for a struct_ops bpf_struct_ops_map_alloc and
// check_struct_ops_btf_id.
var notCompiledIn = []uapi.Errno{uapi.Errno(unix.EINVAL), uapi.ENOTSUPP}

func skipUnknown(all []*cases.Case, of func(*cases.Case) *CaseResult, set func(*cases.Case, CaseResult)) {
	absent := map[*cases.Case]*guard{}
	for _, c := range all {
		r := of(c)
		if c.Control != "allow" || r == nil || len(r.Steps) != 1 {
			continue
		}
		errno := r.Steps[0].Got.Errno
		if !slices.Contains(notCompiledIn, errno) {
			continue
		}
		needs := c.Needs()
		if i := slices.IndexFunc(needs, func(n cases.Need) bool { return n.Kind == cases.NeedConfig }); i >= 0 {
			const text = "CONFIG_%s seems not to be set: the configuration is not known, and root is refused with %s"
			absent[c] = &guard{Cause{Kind: Unmet, Need: needOf(needs[i])}, fmt.Sprintf(text, needs[i].Name, errno)}
		}
	}
	for _, c := range all {
		why := absent[c]
		for _, g := range c.Guards() {
			why = cmp.Or(why, absent[g])
		}
		if r := of(c); r != nil && why != nil {
			set(c, NewResult(c.ID, Skip, why.cause, why.reason, r.Boot))
		}
	}
}

// guard is the cause that a control gives a case.
type guard struct {
	cause  Cause
	reason string
}

// failed says why a control does not hold; nil if it holds: it passed, and was allowed or
// refused as it must be.
func failed(g *cases.Case, r *CaseResult) *guard {
	switch {
	case r == nil:
		cause := Cause{Kind: ByControl, Control: g.ID, Of: NoResult}
		return &guard{cause, fmt.Sprintf("control %s did not run", g.ID)}
	case r.Status == Skip || r.refuted():
		return nil
	case r.Status != Pass:
		return &guard{r.ofControl(g), fmt.Sprintf("control %s is %s: %s", g.ID, r.Status, r.Reason)}
	case len(r.Steps) > 0 && (r.Steps[0].Got.Errno == 0) != (g.Control == "allow"):
		must := map[string]string{"allow": "allowed", "refuse": "refused"}[g.Control]
		reason := fmt.Sprintf("control %s must be %s and got %s", g.ID, must, r.Steps[0].Got.Errno)
		return &guard{Cause{Kind: ByControl, Control: g.ID, Of: WrongAnswer, Step: 1, Rule: r.Steps[0].ID}, reason}
	}
	return nil
}

// interruptedBy is the cause of a control that was not tried.
func interruptedBy(g *cases.Case, r *CaseResult) *guard {
	return &guard{r.ofControl(g), "its control " + g.ID + " was not tried: " + r.Reason}
}

// ofControl is the cause that r, the result of the control g, gives a case.
func (r *CaseResult) ofControl(g *cases.Case) Cause {
	c := r.Cause
	c.Text = r.Why()
	if c.Kind != ByControl {
		c.Control, c.Of, c.Kind = g.ID, c.Kind, ByControl
	}
	return c
}

// judgeStep compares an observation with the oracle and the pin.
func judgeStep(e sim.Expect, info *cases.StepInfo, got step.Observation) StepResult {
	s := StepResult{Text: info.Text, Got: got, Rule: e.Verdict.Rule, Func: e.Verdict.Func, ID: e.Verdict.ID,
		Unknown: e.Verdict.Unknown(), Measured: e.AtMost != nil || e.Among != nil}
	if e.Verdict.Known {
		want := e.Verdict.Errno
		s.Want = &want
	}
	if p := info.Pin; p != nil {
		s.Pin = p.Where
		if p.Note != "" {
			s.Pin += " (" + p.Note + ")"
		}
		if s.Want == nil || *s.Want != p.Errno && got.Errno != p.Errno {
			s.Want = &p.Errno
		}
		s.Wrong = got.Errno != p.Errno
	}
	s.Wrong = s.Wrong || s.Want != nil && got.Errno != *s.Want || got.Proof.Fails()
	s.Fault = faultOf(&e, info.Pin, got)
	if e.Values != nil && got.Errno == 0 && !slices.Equal(e.Values, got.Values) {
		s.Wrong, s.Fault = true, KernelWrong
		s.Rule = fmt.Sprintf("the token's fdinfo shows the masks %#x, want %#x", got.Values, e.Values)
		s.Func = "bpf_token_show_fdinfo"
		if e.Verdict.ID == "token_info/allowed" {
			s.Rule = fmt.Sprintf("the token's info has the masks %#x, want %#x", got.Values, e.Values)
			s.Func = "bpf_token_get_info_by_fd"
		}
	}
	if why := beyond(&e, &got); why != "" {
		s.Wrong, s.Fault, s.Rule, s.Func = true, KernelWrong, why, ""
	}
	return s
}

// faultOf says who is wrong if the kernel's errno, the rules and a pin differ. An object that
// does not work is the kernel's fault, whatever the errno.
func faultOf(e *sim.Expect, p *cases.Pin, got step.Observation) Culprit {
	switch {
	case p == nil || !e.Verdict.Known || e.Verdict.Errno == p.Errno || got.Proof.Fails():
		return KernelWrong
	case got.Errno == e.Verdict.Errno:
		return ExpectationWrong
	case got.Errno == p.Errno:
		return OracleWrong
	}
	return KernelWrong
}

// beyond says what an allowed step shows and must not show; "" is nothing.
func beyond(e *sim.Expect, got *step.Observation) string {
	switch {
	case got.Errno != 0 || !e.Verdict.Known:
	case e.Text != got.Text && e.Text != "":
		return fmt.Sprintf("the kernel shows %q, want %q", got.Text, e.Text)
	case e.Code != nil && (len(got.Values) != 1 || got.Values[0] != *e.Code):
		return fmt.Sprintf("the program ended with %d, want %d; it wrote %q", got.Values, *e.Code, got.Text)
	case !strings.Contains(got.Text, e.Prints):
		return fmt.Sprintf("the program wrote %q, which does not contain %q", got.Text, e.Prints)
	case e.AtMost != nil && len(got.Values) != len(e.AtMost), e.Among != nil && len(got.Values) == 0:
		return "it showed nothing that can be compared"
	}
	for i, most := range e.AtMost {
		if got.Values[i] > most {
			return fmt.Sprintf("%d objects were not freed, want at most %d: %s", got.Values[i], most, got.Text)
		}
	}
	for _, v := range got.Values {
		if e.Among != nil && !slices.Contains(e.Among, v) {
			return fmt.Sprintf("a call got %s, which neither order gives", uapi.Errno(v))
		}
	}
	return ""
}

// Explain says in one line what is wrong with a step.
func (s *StepResult) Explain() string {
	want := "an unknown answer"
	if s.Want != nil {
		want = s.Want.String()
	}
	switch {
	case s.Got.Proof.Fails():
		return "got " + s.Got.Proof.Fault()
	case s.Want != nil && s.Got.Errno == *s.Want && s.Got.Errno == uapi.OK:
		return s.Rule
	}
	rule := s.Rule
	if s.Func != "" {
		rule += " (" + s.Func + ")"
	}
	switch s.Fault {
	case ExpectationWrong:
		return fmt.Sprintf("the expectation %s at %s contradicts both the kernel and the rules, which say %s: %s", want,
			s.Pin, s.Got.Errno, rule)
	case OracleWrong:
		return fmt.Sprintf("the rules are wrong, not the kernel: they say %s, but the kernel answers %s as %s expects: %s",
			want, s.Got.Errno, s.Pin, rule)
	}
	return fmt.Sprintf("got %s, want %s: %s", s.Got.Errno, want, rule)
}

// SetupFailed records that the guest could not set up a world at all; why is its reason.
func (j *Judge) SetupFailed(w *cases.World, why string) {
	j.worlds[w] = &judgedWorld{cause: Cause{Kind: ByGuest}, reason: "the guest could not set it up: " + why}
}

// Faulted returns the result of a case that the guest could not run; why is its reason.
func (j *Judge) Faulted(c *cases.Case, why string) CaseResult {
	out := CaseResult{ID: c.ID}
	if jw := j.worlds[c.World]; jw != nil && jw.broken() {
		out.Fault = jw.fault
		return broken(out, jw.cause, jw.reason)
	}
	return broken(out, Cause{Kind: ByGuest}, why)
}
