package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"

	"tokentest/cases/uapi"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// threat is a reviewer's question, with the results of the run's kernels.
type threat struct {
	Case, Path, Question, Answer string
	Who                          []string  // descriptions of the case's actors
	Shown                        []witness // kernels on which its case passed
	Others                       []witness // the other kernels
	Steps                        []threatStep
}

// witness is the result of one kernel for a question.
type witness struct {
	Kernel string // its reference and release
	Status result.Status
	Why    string // unless it is a clean pass
}

// threatStep is one call of the case, with its results.
type threatStep struct {
	Text, Note, Got string
	Allowed         bool
	errnos          []uapi.Errno
	kernels         []string
}

// Holds reports whether a kernel showed the answer and no kernel showed another one.
func (t *threat) Holds() bool {
	for _, w := range t.Others {
		if w.Status == result.Fail {
			return false
		}
	}
	return len(t.Shown) > 0
}

// Contradicted reports whether a kernel gave another answer.
func (t *threat) Contradicted() bool {
	for _, w := range t.Others {
		if w.Status == result.Fail {
			return true
		}
	}
	return false
}

// threats collects the questions of the run's case files, in their order.
func threats(r *result.Run) []*threat {
	var out []*threat
	for i := range r.Groups {
		g := &r.Groups[i]
		if g.Question == "" {
			continue
		}
		t := &threat{Case: g.Name, Path: g.Path, Question: clean(g.Question), Answer: clean(g.Answer)}
		actors, err := g.Cast()
		t.Who = whoIsWho(actors, err, g.Actors)
		for n := range g.Steps {
			s := threatStep{Text: clean(g.Steps[n])}
			if n < len(g.Notes) {
				s.Note = clean(g.Notes[n])
			}
			t.Steps = append(t.Steps, s)
		}
		for _, k := range kernels(r) {
			t.ask(k)
		}
		t.settle()
		out = append(out, t)
	}
	return out
}

// ask adds a kernel's result.
func (t *threat) ask(k *run) {
	w := witness{Kernel: k.title()}
	if c := k.Find(t.Case); c != nil {
		t.hear(k, c, w)
		return
	}
	w.Status, w.Why = result.Broken, cmp.Or(clean(k.untried()), "the case did not run")
	t.Others = append(t.Others, w)
}

func (t *threat) hear(k *run, c *result.CaseResult, w witness) {
	w.Status = c.Status
	if c.Status != result.Pass || len(c.Steps) != len(t.Steps) {
		w.Why = cmp.Or(clean(c.Reason), "its steps are not those of the file")
		t.Others = append(t.Others, w)
		return
	}
	if c.Boot >= 0 && c.Boot < len(k.Boots) && k.Boots[c.Boot].Fate != vm.Clean {
		w.Why = "on a machine that ended " + string(k.Boots[c.Boot].Fate)
	}
	t.Shown = append(t.Shown, w)
	for i := range c.Steps {
		t.Steps[i].errnos = append(t.Steps[i].errnos, c.Steps[i].Got.Errno)
		t.Steps[i].kernels = append(t.Steps[i].kernels, k.name())
	}
}

// title is a kernel's reference with its release.
func (k *run) title() string {
	if k.Release == "" || k.Release == k.Ref {
		return k.name()
	}
	return k.name() + " (" + clean(k.Release) + ")"
}

// settle computes the text of each step's result: one for all kernels, or one a kernel.
func (t *threat) settle() {
	for i := range t.Steps {
		s := &t.Steps[i]
		if len(s.errnos) == 0 {
			continue
		}
		s.Allowed = true
		same := true
		for _, e := range s.errnos {
			same = same && e == s.errnos[0]
			s.Allowed = s.Allowed && e == uapi.OK
		}
		s.Got = s.errnos[0].String()
		if same {
			continue
		}
		var words []string
		for n, e := range s.errnos {
			words = append(words, fmt.Sprintf("%s on %s", e, s.kernels[n]))
		}
		s.Got = strings.Join(words, ", ")
	}
}

// Evidence returns the steps that answer the question: refused calls, and allowed calls with
// a note.
func (t *threat) Evidence() []threatStep {
	var out []threatStep
	for _, s := range t.Steps {
		if s.Got != "" && (!s.Allowed || s.Note != "") {
			out = append(out, s)
		}
	}
	return out
}

// Threats writes each question of the case files with its answer, and the kernels and calls
// that show it. It also lists the kernels that did not show it.
func Threats(r *result.Run, w io.Writer, o Options) error {
	p := &textWriter{w: bufio.NewWriter(w), width: cmp.Or(o.Width, 80), color: o.Color}
	for _, text := range warnings(r) {
		p.head("warning:", yellow, text)
	}
	all := threats(r)
	if len(all) == 0 {
		p.head("nothing asked:", bold,
			"no case of this run has a question; use "+program(r)+" run --full to run those that have one")
	}
	for i, t := range all {
		if i > 0 {
			p.blank()
		}
		t.write(p, i+1)
	}
	p.settings(r)
	return flush(p.w)
}

// settings writes the settings of the kernels. The guest changed some, so that the kernel's
// own checks decide.
func (p *textWriter) settings(r *result.Run) {
	for _, k := range kernels(r) {
		if text := k.settings(); text != "" {
			p.blank()
			p.head("settings", bold, "of "+k.title())
			p.field(textField("", text))
		}
	}
}

func (t *threat) write(p *textWriter, number int) {
	p.head(fmt.Sprintf("%d.", number), bold, t.Question)
	switch {
	case t.Contradicted():
		p.field(textField("answer",
			"It depends on the kernel: one below answers differently from the others, or from the rules."))
	case len(t.Shown) == 0:
		p.field(textField("answer", "None: no kernel of this run has shown it."))
	}
	if len(t.Shown) > 0 {
		label := "answer"
		if t.Contradicted() {
			label = "where ok"
		}
		p.field(textField(label, t.Answer))
	}
	p.field(textField("case", t.Case+" ("+t.Path+")"))
	for _, who := range t.Who {
		p.field(textField("who", who))
	}
	for _, words := range together(t.Shown) {
		p.field(textField("shown", words))
	}
	for _, w := range t.Others {
		p.field(textField("not shown", w.text()))
	}
	for _, s := range t.Evidence() {
		p.field(textField(s.label(), s.text()))
	}
}

// together joins the kernels on which a case passed into one line.
func together(list []witness) []string {
	var pass, out []string
	for _, w := range list {
		if w.Status == result.Pass && w.Why == "" {
			pass = append(pass, w.Kernel)
		} else {
			out = append(out, w.text())
		}
	}
	if len(pass) > 0 {
		out = append([]string{"pass on " + strings.Join(pass, ", ")}, out...)
	}
	return out
}

func (w witness) text() string {
	text := w.Kernel + ": " + string(w.Status)
	if w.Why != "" {
		text += ": " + w.Why
	}
	return text
}

func (s *threatStep) label() string {
	if s.Allowed {
		return "allowed"
	}
	return "refused"
}

func (s *threatStep) text() string {
	text := s.Text
	if !s.Allowed {
		text += ": " + s.Got
	}
	if s.Note != "" {
		text += " (" + s.Note + ")"
	}
	return text
}
