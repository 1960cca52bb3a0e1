package result

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

// Known compares a machine that ran only the case c with the defects that its kernel is known
// to have. If the machine ended as such a defect says, and the case showed what is pinned or
// died with the machine, the case passes and the machine does not count. Otherwise the
// defect is gone or is another one, and the case fails. If the kernel has no known defect,
// the results stay as they are.
func Known(c *cases.Case, f *step.Facts, b *Boot, r *CaseResult) {
	list := c.Group.KnownIn(f)
	judged := slices.Contains([]vm.Fate{vm.Clean, vm.Tainted, vm.Panicked}, b.Fate)
	if len(list) == 0 || r.Boot < 0 || r.Status == Skip || !judged {
		return
	}
	lived := b.Fate != vm.Panicked
	for _, k := range list {
		if string(b.Fate) == k.Fate && k.Explains(reports(b.Findings)) && (r.Status == Pass || !lived) {
			text := fmt.Sprintf("%s (%s)", k.Text(), k.Where)
			r.end(Pass, Cause{Kind: KnownDefect, Entry: k.Where, Text: text}, "known defect: "+text)
			r.Fault = KernelWrong
			b.Known = k.Text()
			return
		}
	}
	why := fmt.Sprintf("the machine must be %s; it is %s: %s", ending(&list[0]), b.Fate, b.Reason)
	now := Cause{Kind: UnknownDefect, Entry: list[0].Where}
	if r.Status != Pass && lived {
		why, now.Step, now.Rule = r.Reason, r.Cause.Step, r.Cause.Rule
		if s := r.Decisive(); s != nil {
			why = s.Explain()
		}
	}
	r.end(Fail, now, fmt.Sprintf("known defect %s no longer matches: %s", list[0].Where, why))
	r.Fault = KernelWrong
}

func ending(k *cases.Known) string {
	return strings.TrimSpace(k.Fate + " " + strings.Join(k.Titles, " + "))
}

// reports are the findings in the form of package cases.
func reports(findings []splat.Finding) []cases.Report {
	var out []cases.Report
	for i := range findings {
		out = append(out, cases.Report{Title: findings[i].Title, Callers: findings[i].Callers()})
	}
	return out
}
