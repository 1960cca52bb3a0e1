package cases

import (
	"slices"
	"testing"

	"tokentest/cases/step"
)

// What follows the program's name is the program's, and the world lists the programs of this host.
func TestRun(t *testing.T) {
	g := mustExpand(t, scenarioControls+"root run code=3 caps=CAP_BPF /bin/tool --caps=x code=4 a=b\n"+
		"root run make_hash\nroot run out=a\\040b tool\n")
	steps := g.Cases[0].Cell()[2:]
	if got := steps[0].Args; len(got) != 2 || got[0].Str != "3" || got[1].Key != step.KeyCommand ||
		got[1].Str != "/bin/tool --caps=x code=4 a=b" {
		t.Errorf("arguments %+v", got)
	}
	if steps[2].Args[0].Str != "a b" {
		t.Errorf("output %q", steps[2].Args[0].Str)
	}
	if got := g.Worlds[0].Runs; !slices.Equal(got, []string{"/bin/tool", "tool"}) {
		t.Errorf("programs %q", got)
	}
}

// The directories of other places than the usual ones are the world's.
func TestPlaces(t *testing.T) {
	g := mustExpand(t, "actor a userns\na bpffs at=/run/x -> b\na bpffs at=/mnt/a\na bind from=/run/x at=/sys/fs/bpf\n"+
		scenarioControls)
	if got := g.Worlds[0].Program.Dirs; !slices.Equal(got, []string{"/run/x", "/sys/fs/bpf"}) {
		t.Errorf("directories %q", got)
	}
}
