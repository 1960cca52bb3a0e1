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

// The steps of the file itself run as a runner runs them, from another checkout and with an empty HOME: expressions are
// replaced, and each step has the outputs of those before it.
func TestActionSteps(t *testing.T) {
	a, home, work := readAction(t), t.TempDir(), t.TempDir()
	bin := world(t, map[string]string{"qemu-system-x86_64": "exit 0", "sudo": "exit 0"})
	for _, name := range []string{"bash", "realpath", "xargs", "printf", "chmod", "cat"} {
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(bin, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "tokentest")
	text := "#!/bin/sh\ntest \"$1\" != --version || exit 0\nprintf '%s\\n' \"$HOME\" \"$@\" >called\n"
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs("action")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"github.action_path": path, "inputs.kernel": "deb:6.12 x/bzImage",
		"inputs.program": program}
	for name, in := range a.Inputs {
		if _, given := values["inputs."+name]; !given && in.Default != nil {
			values["inputs."+name] = *in.Default
		}
	}
	expression := regexp.MustCompile(`\$\{\{ *([a-z_.]+) *\}\}`)
	replaced := func(text string) string {
		return expression.ReplaceAllStringFunc(text, func(e string) string {
			return values[expression.FindStringSubmatch(e)[1]]
		})
	}
	outputs, ran := filepath.Join(work, "outputs"), 0
	for _, s := range a.Runs.Steps {
		if s.Run == "" {
			continue // another action, which needs a runner
		}
		ran++
		cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", replaced(s.Run))
		cmd.Dir = work
		cmd.Env = []string{"PATH=" + bin, "HOME=" + home, "GITHUB_OUTPUT=" + outputs, "GITHUB_ACTION_PATH=" + path}
		for name, value := range s.Env {
			cmd.Env = append(cmd.Env, name+"="+replaced(value))
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("step %s: %v: %s", s.ID, err, out)
		}
		set, _ := os.ReadFile(outputs) // a step may set nothing
		for line := range strings.Lines(string(set)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			values["steps."+s.ID+".outputs."+name] = value
		}
		os.Remove(outputs)
	}
	called, err := os.ReadFile(filepath.Join(work, "called"))
	want := home + "\nrun\n--format\ngithub\n--out\ntokentest-run\n--kernel\ndeb:6.12\n--kernel\nx/bzImage\n"
	if err != nil || string(called) != want || ran != 2 {
		t.Errorf("%d steps ran; called %q, %v; want %q", ran, called, err, want)
	}
	if got := replaced(a.Outputs["run"].Value); got != "tokentest-run" && !filepath.IsAbs(got) {
		t.Errorf("the output run is %q", got)
	}
}
