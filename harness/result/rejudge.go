package result

import (
	"strings"

	"tokentest/cases"
	"tokentest/cases/program"
)

// setups finds the set-ups of a kernel's worlds. A world is known by what it
// does; in records that do not say, by its place.
func (k *KernelRun) setups(corpus *cases.Corpus) map[*cases.World]*WorldResult {
	out := map[*cases.World]*WorldResult{}
	keys := map[*cases.Group]map[string]*cases.World{}
	for i := range k.Worlds {
		w := &k.Worlds[i]
		g := corpus.Group(w.Group)
		switch {
		case g == nil:
		case w.Key == "" && w.Index < len(g.Worlds):
			out[g.Worlds[w.Index]] = w
		case w.Key != "":
			if keys[g] == nil {
				keys[g] = map[string]*cases.World{}
				for _, now := range g.Worlds {
					keys[g][now.Key()] = now
				}
			}
			if now := keys[g][w.Key]; now != nil {
				out[now] = w
			}
		}
	}
	return out
}

// worldsAgain judges the set-ups of a kernel's worlds again.
func (j *Judge) worldsAgain(k *KernelRun, corpus *cases.Corpus) {
	for now, w := range k.setups(corpus) {
		j.Setup(now, w.Seen)
	}
}

// again judges a case that ran by what it showed, and reports whether it could.
func (j *Judge) again(r *CaseResult, c *cases.Case) bool {
	if len(r.Steps) != c.Len() || len(r.Steps) == 0 || j.worlds[c.World] == nil {
		return false
	}
	seen := make([]program.Observation, len(r.Steps))
	for i := range r.Steps {
		seen[i] = r.Steps[i].Got
	}
	was := *r
	*r = j.Case(c, seen)
	r.Boot = was.Boot
	if r.Status == Pass && was.Status == Pass {
		r.Reason = was.Reason // a known defect's
	}
	return true
}

// Why a case was not judged again.
const (
	KeptGone    = "the cases no longer have it"
	KeptChanged = "its steps or its world are others now"
	KeptSilent  = "it showed nothing"
)

// Again returns the run judged again with the oracle and the corpus as they
// are now, and how many cases stayed as they were, by the reason. What was
// observed is the same; controls are held against their cases again.
func (r *Run) Again(corpus *cases.Corpus) (*Run, map[string]int) {
	out := *r
	out.Kernels = nil
	kept := map[string]int{}
	same := r.sameCases(corpus)
	shared := newShared()
	for _, k := range r.Kernels {
		now := k.again(corpus, r.Lists, same, kept)
		if k.column != nil { // one list at a time: there can be a million cases
			now.pack(shared)
		}
		out.Kernels = append(out.Kernels, now)
	}
	return &out, kept
}

func (k *KernelRun) again(corpus *cases.Corpus, lists []ListEntry, same func(*cases.Case) bool, kept map[string]int) *KernelRun {
	out := *k
	if k.Facts == nil {
		out.Cases, out.column = k.list(), nil
		return &out
	}
	j := NewJudge(k.Facts, "")
	j.worldsAgain(k, corpus)
	out.Cases, out.column = k.list(), nil
	var list []*cases.Case
	at := map[*cases.Case]*CaseResult{}
	silent := map[int]CaseResult{}
	for i := range out.Cases {
		r := &out.Cases[i]
		c := corpus.Case(r.ID)
		switch {
		case c == nil:
			kept[KeptGone]++
			continue
		case !r.canAgain():
			kept[KeptSilent]++
			silent[i] = *r
		case !same(c) || !j.again(r, c):
			kept[KeptChanged]++
			continue
		}
		list, at[c] = append(list, c), r
	}
	Guards(k.Facts, list, func(c *cases.Case) *CaseResult { return at[c] })
	for i, was := range silent { // it has been told why it says nothing
		out.Cases[i] = was
	}
	out.Rules = j.Rules()
	Expect(lists, &out)
	return &out
}

// canAgain says that the case ran, and that what it showed was kept: one that
// a control broke did.
func (r *CaseResult) canAgain() bool {
	switch r.Status {
	case Broken:
		return len(r.Steps) > 0 && strings.HasPrefix(r.Reason, "control ")
	case Skip:
		return len(r.Steps) > 0 && strings.HasPrefix(r.Reason, "drift: ")
	case Pass, Fail, XFail:
		return len(r.Steps) > 0
	}
	return false
}

// sameCases tells whether a case still does what it did when the run took
// place. A record that has no outlines is taken at its word.
func (r *Run) sameCases(corpus *cases.Corpus) func(*cases.Case) bool {
	was := map[string]*cases.Outline{}
	for i := range r.Groups {
		was[r.Groups[i].Name] = &r.Groups[i]
	}
	now := map[*cases.Group]*cases.Outline{}
	equal := map[*cases.Group]bool{}
	return func(c *cases.Case) bool {
		old := was[c.Group.Name]
		if old == nil {
			return len(was) == 0
		}
		o := now[c.Group]
		if o == nil {
			outline := c.Group.Outline()
			o = &outline
			now[c.Group], equal[c.Group] = o, old.Equal(o)
		}
		return equal[c.Group] || old.SameCase(o, c.ID)
	}
}
