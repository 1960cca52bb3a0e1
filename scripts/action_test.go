package scripts

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// action is action.yml, as far as it is tested.
type action struct {
	Name, Description string
	Inputs            map[string]struct {
		Description string
		Required    bool
		Default     *string
	}
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []struct {
			ID, If, Uses, Shell, Run string
			With, Env                map[string]string
		}
	}
}

func readAction(t *testing.T) *action {
	t.Helper()
	text, err := os.ReadFile("action/action.yml")
	if err != nil {
		t.Fatal(err)
	}
	a := &action{}
	if err := yaml.Unmarshal(text, a); err != nil {
		t.Fatal(err)
	}
	return a
}

var (
	inputName  = regexp.MustCompile(`inputs\.([a-z]+)`)
	stepOutput = regexp.MustCompile(`steps\.([a-z]+)\.outputs\.([a-z]+)`)
)

// What the action refers to exists, and every input is used.
func TestActionIsWhole(t *testing.T) {
	a := readAction(t)
	if a.Runs.Using != "composite" || a.Name == "" || a.Description == "" {
		t.Errorf("got %+v", a)
	}
	var text []string
	var ids []string
	for _, s := range a.Runs.Steps {
		ids = append(ids, s.ID)
		text = append(text, s.If)
		for _, values := range []map[string]string{s.With, s.Env} {
			for _, v := range values {
				text = append(text, v)
			}
		}
		if s.Run != "" && s.Shell != "bash" || (s.Run == "") == (s.Uses == "") {
			t.Errorf("step %q: run %q in the shell %q, uses %q", s.ID, s.Run, s.Shell, s.Uses)
		}
	}
	for _, o := range a.Outputs {
		text = append(text, o.Value)
	}
	all := strings.Join(text, "\n")
	used := map[string]bool{}
	for _, m := range inputName.FindAllStringSubmatch(all, -1) {
		if used[m[1]] = true; a.Inputs[m[1]].Description == "" {
			t.Errorf("no input %s", m[1])
		}
	}
	for name, in := range a.Inputs {
		if !used[name] || in.Required == (in.Default != nil) {
			t.Errorf("input %s: used %t, required %t, default %v", name, used[name], in.Required, in.Default)
		}
	}
	for _, m := range stepOutput.FindAllStringSubmatch(all, -1) {
		script, err := os.ReadFile("action/" + m[1] + ".sh")
		if !slices.Contains(ids, m[1]) || err != nil || !strings.Contains(string(script), m[2]+"=") {
			t.Errorf("no step %s sets the output %s: %v", m[1], m[2], err)
		}
	}
}

// The steps call the program with the inputs, and the verdict is the step's.
func TestActionRuns(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "tokentest")
	bin := world(t, map[string]string{"qemu-system-x86_64": "exit 0", "sudo": "exit 0"})
	for _, name := range []string{"bash", "realpath", "xargs", "printf", "chmod"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	text := "#!/bin/sh\nfor a; do printf '<%s>' \"$a\"; done\nexit 1\n"
	version := "#!/bin/sh\ntest \"$1\" != --version || exit 0\n"
	if err := os.WriteFile(program, []byte(version+strings.TrimPrefix(text, "#!/bin/sh\n")), 0o755); err != nil {
		t.Fatal(err)
	}
	outputs := filepath.Join(dir, "outputs")
	step := func(name string, env ...string) (string, int) {
		t.Helper()
		cmd := exec.Command("action/" + name + ".sh")
		cmd.Env = append([]string{"PATH=" + bin, "GITHUB_OUTPUT=" + outputs}, env...)
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := step("setup", "PROGRAM="+program); code != 0 || out != "" {
		t.Errorf("setup: exit status %d, %q", code, out)
	}
	got, code := step("run", "PROGRAM="+program, "OUT=run", "KERNEL=deb:6.12 a/bzImage", "CASES=map_create/any/* mine.txt",
		"ARGS=--append 'a b' --full $HOME")
	want := "<run><--format><github><--out><run><--kernel><deb:6.12><--kernel><a/bzImage>" +
		"<--append><a b><--full><$HOME><map_create/any/*><mine.txt>"
	if got != want || code != 1 {
		t.Errorf("got %q and exit status %d, want %q and 1", got, code, want)
	}
	if set, err := os.ReadFile(outputs); err != nil || string(set) != "program="+program+"\nrun=run\n" {
		t.Errorf("outputs %q, %v", set, err)
	}
}
