package report

import (
	"strings"

	"tokentest/harness/result"
)

// Summary words what became of a kernel's cases in one line: of a single one its
// status, answer and rule, of several how many have each status. It is empty
// when there is none.
func Summary(k *result.KernelRun) string {
	switch k.Len() {
	case 0:
		return ""
	case 1:
		for c := range k.All() {
			return sumOne(c)
		}
	}
	var out []string
	n := k.Counts()
	for _, s := range result.Statuses() {
		if n[s] > 0 {
			out = append(out, Count(n[s], "case")+" "+string(s))
		}
	}
	return strings.Join(out, ", ")
}

func sumOne(c *result.CaseResult) string {
	words := []string{string(c.Status)}
	switch c.Status {
	case result.Skip, result.Broken, result.XFail, result.Interrupted:
		words = append(words, c.Reason)
	case result.Fail:
		words = append(words, why(c), ruleOf(c))
	case result.Pass:
		words = append(words, answers(c))
		if len(c.Steps) == 1 {
			words = append(words, ruleOf(c))
		}
	}
	return clean(strings.Join(strings.Fields(strings.Join(words, " ")), " "))
}
