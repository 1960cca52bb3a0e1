package report

import (
	"fmt"
	"strings"

	"tokentest/harness/result"
)

// undecided returns why the kernel decided nothing and which flag accepts that, or "".
func (k *run) undecided() string {
	if k.of == nil {
		return ""
	}
	why := k.of.Undecided(k.KernelRun)
	if why == "" {
		return ""
	}
	return why + " (--allow-empty accepts this)"
}

// faults counts the failures that are not the kernel's fault.
func (k *run) faults() int {
	n := 0
	for c := range k.Those(result.Fail) {
		if c.Fault != result.KernelWrong {
			n++
		}
	}
	return n
}

// contradiction describes a step on which the kernel agrees with either the rules or the
// pin, but not with both; "" for any other step.
func contradiction(s *result.StepResult, answers string) string {
	switch s.Fault {
	case result.ExpectationWrong:
		return fmt.Sprintf("the expectation %s contradicts both the kernel and the rules, which say %s", want(s), answers)
	case result.OracleWrong:
		return fmt.Sprintf("the rules are wrong, not the kernel: they say %s, the kernel answers %s as the expectation does",
			want(s), answers)
	}
	return ""
}

// remedy returns what to do about a contradiction.
func remedy(s *result.StepResult) string {
	switch s.Fault {
	case result.ExpectationWrong:
		return "change the expectation to " + s.Got.Errno.String() +
			", unless you know that the kernel and the rules are both wrong"
	case result.OracleWrong:
		return "report the rule as a bug of tokentest, unless you know that the kernel and the expectation are both wrong"
	}
	return ""
}

// unjudged describes a step that neither the rules nor a pin judge.
func unjudged(s *result.StepResult) string {
	shown := ""
	if s.Got.Text != "" {
		shown = " (" + s.Got.Text + ")"
	}
	return clean(fmt.Sprintf("%s got %s%s: %s", s.Text, got(s), shown, s.Rule))
}

// mostUnjudged limits how many unjudged steps of a kernel are shown.
const mostUnjudged = 8

// unjudged writes the results of steps that neither the rules nor a pin judge. The reason
// of a skipped case already contains them.
func (p *pretty) unjudged(k *run) {
	n := 0
	for c := range k.Where(func(c *result.CaseResult) bool { return c.Status != result.Skip && len(c.Unjudged()) > 0 }) {
		for _, s := range c.Unjudged() {
			if n++; n <= mostUnjudged {
				p.head(string(s.Unknown)+":", dim, c.ID+": "+unjudged(s))
			}
		}
	}
	if n > mostUnjudged {
		p.head("not modelled:", dim, Count(n-mostUnjudged, "more step")+"; --format ktap lists them")
	}
}

// warnings returns what a reader must know of a whole run: that it was damaged on purpose, and the list entries that
// match no case.
func warnings(r *result.Run) []string {
	var out []string
	if why := r.Damaged(); why != "" {
		out = append(out, clean(why))
	}
	for i := range r.Lists {
		if e := &r.Lists[i]; e.Unmatched {
			out = append(out, clean(strings.TrimSpace(e.Where+": "+e.Pattern+" matches no case")))
		}
	}
	return out
}
