package result

import (
	"path/filepath"
	"testing"

	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

// TestBaselineKeepsSymptoms: a run compared with its own baseline has no new finding,
// however its machines ended.
func TestBaselineKeepsSymptoms(t *testing.T) {
	for name, tt := range map[string]struct {
		boot Boot
		kept bool
	}{
		"clean":                     {Boot{Fate: vm.Clean}, false},
		"lost":                      {Boot{Fate: vm.Lost, Reason: "r"}, false},
		"a finding":                 {Boot{Fate: vm.Tainted, Findings: []splat.Finding{{Title: "WARNING in f"}}}, true},
		"an allowed finding":        {Boot{Fate: vm.Clean, Findings: []splat.Finding{{Title: "w", Allowed: "known"}}}, true},
		"hung under a case":         {Boot{Fate: vm.Hung, Blame: "a", Blamed: Blame{Case: "a"}}, true},
		"hung under several cases":  {Boot{Fate: vm.Hung, Reason: "silent (under one of 7 cases, a to g)"}, true},
		"panic without a finding":   {Boot{Fate: vm.Panicked, Reason: "r"}, true},
		"hung as a known defect is": {Boot{Fate: vm.Hung, Known: "known"}, true},
	} {
		k := kernelOf("k", gotCase("a", Pass, ePERM))
		k.Boots = []Boot{tt.boot}
		r := &Run{Version: Version, Kernels: []*KernelRun{k}}
		file := filepath.Join(t.TempDir(), "base")
		if err := WriteBaseline(file, r); err != nil {
			t.Fatal(err)
		}
		base, err := (&Loader{}).Side(file)
		if err != nil {
			t.Fatal(err)
		}
		if kept := len(base.Runs[0].Kernels[0].Boots) == 1; kept != tt.kept {
			t.Errorf("%s: the baseline has the machine: %v, want %v", name, kept, tt.kept)
		}
		c := Compare(base, &Side{Name: "new", Runs: []*Run{r}})
		if n := len(c.Pairs[0].Findings); n != 0 || c.ExitCode() != ExitOK {
			t.Errorf("%s: %d new findings, exit code %d", name, n, c.ExitCode())
		}
	}
}
