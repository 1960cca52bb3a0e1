package cases

import (
	"strings"
	"testing"

	"tokentest/cases/sim"
)

const livesHead = "actor o userns\nactor c child o\nactor p userns\no bpffs cmds=any -> b\n"

// A step of an actor whose process does not exist is a mistake in the file.
func TestLives(t *testing.T) {
	for _, tt := range []struct{ steps, want string }{
		{"o fork c\nc map_create type=hash\n", ""},
		{"o send b p\np exit\no close b\n", ""},
		{"c map_create type=hash\n", "actor c is not there before a step forks it"},
		{"o send b c\n", "actor c is not there before a step forks it"},
		{"o pidfd_getfd b from=c\n", "actor c is not there before a step forks it"},
		{"o fork c\no fork c\n", "c is no actor declared as child o that is yet to be forked"},
		{"p fork c\n", "c is no actor declared as child p"},
		{"o fork p\n", "p is no actor declared as child o"},
		{"p exit\np map_create type=hash\n", "actor p has ended"},
		{"p exit\no send b p\n", "actor p has ended"},
		{"p exit\no proc_open b from=p\n", "actor p has ended"},
		{"o fork c\nc exit\nc exit\n", "actor c has ended"},
	} {
		f, err := Parse(t.Context(), "f.txt", "f", livesHead+tt.steps+scenarioControls)
		if err == nil {
			_, err = f.Expand(t.Context())
		}
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%q: %v", tt.steps, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) ||
			!strings.HasPrefix(err.Error(), "f.txt:")):
			t.Errorf("%q: error %v, want %s", tt.steps, err, tt.want)
		}
	}
}

// A step that leaves out what its operation needs, or says it twice, is one too.
func TestComplete(t *testing.T) {
	for steps, want := range map[string]string{
		"o open\n":                          "open needs one of of= at=",
		"o open of=b at=/mnt/a\n":           "open needs one of of= at=",
		"o fspick\n":                        "fspick needs at=",
		"o pin b name=x\n":                  "pin needs in=",
		"o churn bpffs=b times=1\n":         "churn needs slack=",
		"o umount at=mnt/z\n":               "no place",
		"o race nonsense times=1\n":         "unknown word",
		"o cloexec b\n":                     "cloexec needs HANDLE ON",
		"o pidfd_getfd b from=nobody_yet\n": "unknown actor",
	} {
		f, err := Parse(t.Context(), "f.txt", "f", livesHead+steps+scenarioControls)
		if err == nil {
			_, err = f.Expand(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", steps, err, want)
		}
	}
}

// A fork of the simulation has file systems of its own: what a cell does to a
// bpffs, the next one does not see.
func TestForkMounts(t *testing.T) {
	g := mustExpand(t, "actor o userns uid=7\no bpffs at=/mnt/a -> b\no fsopen -> c\n"+
		matrixHead+"do root map_create type=hash\n"+matrixTail)
	first := setUp(t, g.Worlds[0], released["6.12"], "")
	play := func(s *sim.Sim, line string) sim.Expect {
		t.Helper()
		f, err := Parse(t.Context(), "f.txt", "f",
			"actor o userns uid=7\no bpffs at=/mnt/a -> b\no fsopen -> c\n"+line+"\n"+scenarioControls)
		if err != nil {
			t.Fatal(err)
		}
		h, err := f.Expand(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return must(s.Step(&h.Cases[0].Cell()[2]))
	}
	fork := first.Fork()
	play(fork, "o chmod b mode=0")
	play(fork, "o mkdir in=b name=d")
	play(fork, "o fscreate c")
	play(fork, "o umount at=/mnt/a lazy=1")
	for line, want := range map[string]string{
		"o stat b":              "mode=1777 uid=0 gid=0",
		"o mountinfo at=/mnt/a": "rw,uid=7,gid=7",
	} {
		if got := play(first, line); got.Text != want {
			t.Errorf("%s: %q, want %q", line, got.Text, want)
		}
	}
	if e := play(first, "o mkdir in=b name=d"); e.Verdict.Errno != 0 {
		t.Errorf("mkdir got %s: another cell's directory is seen", e.Verdict.Errno)
	}
	if e := play(first, "o fsconfig c cmds=0"); e.Verdict.Errno != 0 {
		t.Errorf("fsconfig got %s: another cell's context is seen", e.Verdict.Errno)
	}
	if e := play(fork, "o umount at=/mnt/a"); e.Verdict.ID != "umount/nothing-mounted" {
		t.Errorf("umount in the fork: %s", e.Verdict.ID)
	}
}
