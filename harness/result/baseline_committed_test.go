package result

import (
	"path/filepath"
	"slices"
	"testing"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// TestCommittedBaseline: the committed baseline has today's cases of the default suite on each of
// its kernels. If the oracle knows a step's answer from the release alone, the kernel gave that
// answer.
func TestCommittedBaseline(t *testing.T) {
	const again = "see what changed, and keep it with make baseline"
	r, err := (&Loader{}).Baseline(filepath.Join(root, "results/baseline/suite.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	corpus, err := cases.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	suite, err := corpus.Select(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	for _, k := range r.Kernels {
		refs = append(refs, k.Ref)
		if n := k.Counts(); n[Pass] == 0 || n[Pass]+n[Skip] != k.Len() || len(k.Boots) > 0 {
			t.Errorf("%s: %v of the %d cases of the suite: %s", k.Ref, n, len(suite), again)
		}
		if n := differing(k, suite); n > 0 {
			t.Errorf("%s: %d of the %d cases of the suite are other ones now, or gone: %s", k.Ref, n, len(suite), again)
		}
		if decided := decisionsHold(t, k, suite); decided < 100 && k.Note == "" {
			t.Errorf("%s: only %d decisions could be held against the oracle", k.Ref, decided)
		}
	}
	if !slices.Equal(refs, []string{"deb:6.12", "deb:7.3", "deb:6.1"}) {
		t.Errorf("kernels %q: %s", refs, again)
	}
}

// differing counts the cases that are not the same in the suite and in the baseline.
func differing(k *KernelRun, suite []*cases.Case) int {
	n, has := 0, 0
	for _, c := range suite {
		r := k.Find(c.ID)
		if r != nil {
			has++
		}
		if r == nil || r.Status == Pass && len(r.Steps) != c.Len() {
			n++
		}
	}
	return n + k.Len() - has
}

// decisionsHold compares the oracle's answers to the suite's cases with the kernel's, and returns
// how many steps it could compare.
func decisionsHold(t *testing.T, k *KernelRun, suite []*cases.Case) (compared int) {
	release, err := uapi.ParseRelease(k.Release)
	if err != nil {
		t.Fatal(err)
	}
	facts := cases.FactsAt(release)
	facts.Release = k.Release // fixes come to a series later
	sims := map[*cases.World]*sim.Sim{}
	for _, c := range suite {
		r := k.Find(c.ID)
		if r == nil || r.Status != Pass || len(r.Steps) != c.Len() {
			continue
		}
		if sims[c.World] == nil {
			sims[c.World] = settled(facts, c.World)
		}
		sim := sims[c.World].Fork()
		steps, info := c.Steps()
		for i := range steps {
			e, got := must(sim.Step(&steps[i])), r.Steps[i].Got.Errno
			if !e.Verdict.Known || e.Among != nil || info[i].Pin != nil {
				continue
			}
			if compared++; got != e.Verdict.Errno {
				t.Errorf("%s on %s, step %d: it answered %s, and the oracle says %s (%s)", c.ID, k.Ref, i+1, got, e.Verdict.Errno,
					e.Verdict.ID)
			}
		}
	}
	return compared
}

// settled is a world after its set-up.
func settled(f *step.Facts, w *cases.World) *sim.Sim {
	s := sim.New(f, &w.Program, false)
	for i := range w.Program.Setup {
		must(s.Step(&w.Program.Setup[i]))
	}
	return s
}
