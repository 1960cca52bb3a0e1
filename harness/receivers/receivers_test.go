package receivers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

// tree makes sources with a script that prints the files that it is asked about.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		script:               "print map { \"Who <$_>\\n\" } grep { /\\.c$/ } @ARGV;\n",
		"kernel/bpf/token.c": "int bpf_token_create(union bpf_attr *attr)\n{\n}\n",
		usual:                "static int bpf_prog_load(union bpf_attr *attr)\n{\n\treturn bpf_token_create(attr);\n}\n",
		"fs/super.c":         "extern int bpf_token_create(void *);\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFilesOf(t *testing.T) {
	dir := tree(t)
	for place, want := range map[string]string{"bpf_token_create": "kernel/bpf/token.c", "bpf_prog_load": usual,
		"fs/super.c": "fs/super.c", "no_function": usual} {
		if got := filesOf(dir, []string{place}); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %s", place, got, want)
		}
	}
}

// A run that differs has receivers if there are sources; other runs and formats have none.
func TestOf(t *testing.T) {
	dir := tree(t)
	k := &result.KernelRun{Ref: "deb:6.12", Cases: []result.CaseResult{{ID: "a/b", Status: result.Fail,
		Cause: result.Cause{Kind: result.ByStep, Step: 1},
		Steps: []result.StepResult{{Func: "bpf_token_create", Wrong: true}}}}}
	r := &result.Run{Version: result.Version, Kernels: []*result.KernelRun{k}}
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	got := Of("mail", r, dir, "", note)
	if !slices.Equal(got, []string{"Who <kernel/bpf/token.c>"}) || len(notes) > 0 {
		t.Errorf("%q, %q", got, notes)
	}
	k.Boots = []result.Boot{{Fate: vm.Panicked, Findings: []splat.Finding{{Title: "WARNING in f (fs/super.c)"}}}}
	if got := Of("mail", r, dir, "", note); len(got) != 2 || got[0] != "Who <fs/super.c>" {
		t.Errorf("with a report in the kernel's log: %q", got)
	}
	if got := append(Of("html", r, dir, "", note), Of("mail", r, "", "", note)...); len(got)+len(notes) > 0 {
		t.Errorf("another format, and no sources: %q, %q", got, notes)
	}
	if got := Of("mail", r, t.TempDir(), "", note); got != nil || len(notes) != 1 || !strings.Contains(notes[0], script) {
		t.Errorf("a tree without the script: %q, %q", got, notes)
	}
	k.Cases[0].Status, k.Boots = result.Pass, nil
	if got := Of("mail", r, dir, "", note); got != nil {
		t.Errorf("a run that passed: %q", got)
	}
}
