package result

import (
	"path/filepath"
	"slices"
	"testing"

	"tokentest/cases"
	"tokentest/cases/program"
	"tokentest/cases/uapi"
)

// The baseline that is kept has each case of the default suite on each of its
// kernels, and nothing else; where the oracle alone can tell, from the release,
// what a case of one call must answer, the kernel answered that.
func TestKeptBaseline(t *testing.T) {
	const again = "see what changed, and keep it with make baseline"
	r, err := (&Loader{}).Baseline(filepath.Join(root, "results/baseline/suite.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	corpus, err := cases.Load()
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
		if n := k.Counts(); n[Pass] == 0 || n[Pass]+n[Skip] != k.Len() || k.Len() != len(suite) || len(k.Boots) > 0 {
			t.Errorf("%s: %v of the %d cases of the suite: %s", k.Ref, n, len(suite), again)
		}
		for _, c := range suite {
			if k.Find(c.ID) == nil {
				t.Errorf("%s has no %s: %s", k.Ref, c.ID, again)
				break
			}
		}
		if decided := decisionsHold(t, k, suite); decided < 100 && k.Note == "" {
			t.Errorf("%s: only %d decisions could be held against the oracle", k.Ref, decided)
		}
	}
	if !slices.Equal(refs, []string{"deb:6.12", "deb:7.3", "deb:6.1"}) {
		t.Errorf("kernels %q: %s", refs, again)
	}
}

// decisionsHold plays the suite's cases of one step as the oracle sees them,
// and returns how many it could compare with what the kernel did.
func decisionsHold(t *testing.T, k *KernelRun, suite []*cases.Case) (compared int) {
	release, err := uapi.ParseRelease(k.Release)
	if err != nil {
		t.Fatal(err)
	}
	facts := cases.FactsAt(release)
	sims := map[*cases.World]*cases.Sim{}
	for _, c := range suite {
		r := k.Find(c.ID)
		if r == nil || r.Status != Pass || len(r.Steps) != 1 || c.Len() != 1 {
			continue
		}
		if sims[c.World] == nil {
			sims[c.World] = settled(facts, c.World)
		}
		steps, info := c.Steps()
		if e := sims[c.World].Step(&steps[0]); e.Verdict.Known && info[0].Pin == nil {
			if compared++; r.Steps[0].Got.Errno != e.Verdict.Errno {
				t.Errorf("%s on %s: it answered %s, and the oracle says %s (%s)", c.ID, k.Ref, r.Steps[0].Got.Errno, e.Verdict.Errno, e.Verdict.ID)
			}
		}
	}
	return compared
}

// settled is a world after its set-up.
func settled(f *program.Facts, w *cases.World) *cases.Sim {
	s := cases.NewSim(f, &w.Program, false)
	for i := range w.Program.Setup {
		s.Step(&w.Program.Setup[i])
	}
	return s
}
