package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeRun is a tokentest on which a case fails under the regression 1, only a control breaks under 2, only a case of
// --full fails under 3, the kernel reports something under 4, and 5 shows nothing.
const fakeRun = `#!/usr/bin/env bash
say() { echo "{\"kernels\": [{\"cases\": [$1]}]}"; }
case "$*" in
*bpf_mutant=1*) say '{"case": "a/x", "status": "fail", "cause": {"rule": "map_create/no-cap-bpf"}},
	{"case": "a/y", "status": "fail", "cause": {"rule": "map_create/no-cap-bpf"}},
	{"case": "a/z", "status": "fail", "cause": {"rule": "map_create/allowed"}},
	{"case": "b/x", "status": "broken", "cause": {"rule": "prog_load/allowed"}}'; exit 1 ;;
*bpf_mutant=2*) say '{"case": "b/x", "status": "broken", "cause": {"rule": "prog_load/allowed"}}'; exit 3 ;;
*bpf_mutant=3*--full*) say '{"case": "c/x", "status": "fail", "cause": {"kind": "refuted need"}}'; exit 1 ;;
*bpf_mutant=4*) say '{"case": "a/x", "status": "pass"}'; exit 1 ;;
*) say '{"case": "a/x", "status": "pass"}' ;;
esac
`

func TestMutantsSayWhatNotices(t *testing.T) {
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("no jq")
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile("mutants.sh")
	if err != nil {
		t.Fatal(err)
	}
	write("scripts/mutants.sh", string(script))
	write("bin/tokentest", fakeRun)
	write("cases/testdata/mutants/6.12.txt", "1\tone\n2\ttwo\n3\tthree\n4\tfour\n5\tfive\n")
	got, err := exec.Command(filepath.Join(dir, "scripts/mutants.sh"), "bzImage").Output()
	if err == nil {
		t.Error("exit code 0 although three regressions go unnoticed")
	}
	want := strings.Join([]string{
		"1\tcase\t3\tmap_create/no-cap-bpf map_create/allowed\ta/x\tone",
		"2\tonly control\t1\tprog_load/allowed\tb/x\ttwo",
		"3\tonly --full\t1\tno rule\tc/x\tthree",
		"4\tonly exit\t0\t\t-\tfour",
		"5\tNOT (exit code 0)\t0\t\t-\tfive",
		"mutants: 1 of those that passed are seen only with --full",
		"mutants: 2 passed, 3 failed",
	}, "\n") + "\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
