package result

import (
	"tokentest/cases"
	"tokentest/cases/program"
)

// Rejudge judges what a kernel showed again, with the oracle and the corpus
// as they are now; omit names a rule that the oracle leaves out. Cases that
// did not run stay as they were, and so do those that the corpus no longer
// has in the same form.
func Rejudge(k *KernelRun, corpus *cases.Corpus, omit string) []CaseResult {
	j := NewJudge(k.Facts, omit)
	for _, w := range k.Worlds {
		if g := corpus.Group(w.Group); g != nil && w.Index < len(g.Worlds) {
			j.Setup(g.Worlds[w.Index], w.Seen)
		}
	}
	out := make([]CaseResult, len(k.Cases))
	for i := range k.Cases {
		out[i] = j.again(&k.Cases[i], corpus)
	}
	return out
}

func (j *Judge) again(r *CaseResult, corpus *cases.Corpus) CaseResult {
	c := corpus.Case(r.ID)
	if c == nil || r.Status == Broken || r.Status == Skip || len(r.Steps) != c.Len() || j.worlds[c.World] == nil {
		return *r
	}
	seen := make([]program.Observation, len(r.Steps))
	for i := range r.Steps {
		seen[i] = r.Steps[i].Got
	}
	out := j.Case(c, seen)
	out.Boot = r.Boot
	if out.Status == Pass {
		out.Reason = r.Reason // a known defect's
	}
	return out
}
