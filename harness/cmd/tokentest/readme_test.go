package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokentest/cases/program"
	"tokentest/harness/lab/labtest"
	"tokentest/harness/result"
)

const readme = "../../../README.md"

// examples are the lines of the README that call the command, and those that
// the commands' own help shows.
func examples(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "    bin/tokentest "); ok {
			out = append(out, strings.TrimSpace(rest))
		}
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "tokentest "); ok {
				out = append(out, rest)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).root())
	return out
}

// words splits a line as a shell does, as far as examples need it.
func words(line string) []string {
	line, _, _ = strings.Cut(line, " > ")
	line, _, _ = strings.Cut(line, " | ")
	var out []string
	for _, w := range regexp.MustCompile(`'[^']*'|[^ ']+`).FindAllString(line, -1) {
		out = append(out, strings.Trim(w, "'"))
	}
	return out
}

// TestExamplesAreCommands finds an example that names a command or a flag that
// there is not.
func TestExamplesAreCommands(t *testing.T) {
	list := examples(t)
	if len(list) < 40 {
		t.Fatalf("only %d examples were found", len(list))
	}
	for _, line := range list {
		root := (&app{}).root()
		root.InitDefaultHelpCmd()
		c, rest, err := root.Find(words(line))
		if err != nil || c == root && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
			t.Errorf("%q: no such command (%v)", line, err)
			continue
		}
		if err := c.ParseFlags(rest); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// executed are the commands whose examples are run, on machines that are
// played; of run, those with no other flags than these.
var (
	executed = map[string]bool{"tokentest run": true, "tokentest list cases": true, "tokentest plan": true, "tokentest explain": true,
		"tokentest report": true, "tokentest compare": true, "tokentest history": true}
	played = map[string]bool{"kernel": true, "format": true, "baseline": true, "fail-on": true, "denylist": true, "expect": true}
)

// TestExamplesRun runs the examples as they stand, but for the kernels and the
// runs that they name: a reader can type them.
func TestExamplesRun(t *testing.T) {
	self, err := exec.LookPath("tokentest")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := labtest.Tree(dir); err != nil {
		t.Fatal(err)
	}
	prepareExamples(t, dir, self)
	n := 0
	for _, line := range examples(t) {
		args := words(line)
		c, rest, err := (&app{}).root().Find(args)
		if err != nil || !executed[c.CommandPath()] || !plays(c, rest) {
			continue
		}
		n++
		for i := range args {
			args[i] = stand(args[i])
		}
		if c.Name() == "run" {
			if !c.Flags().Changed("kernel") {
				args = append(args, "-k", stand(defaultKernel))
			}
			args = append(args, "--accel", "kvm", "-q")
		}
		cmd := exec.Command(self, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+filepath.Join(dir, "home"), labtest.Acts+"=clean", labtest.Boots+"="+filepath.Join(dir, "boots"))
		out, err := cmd.CombinedOutput()
		if err != nil || len(bytes.TrimSpace(out)) == 0 {
			t.Errorf("tokentest %s\nas %s\nends with %v:\n%s", line, strings.Join(args, " "), err, out[max(0, len(out)-2000):])
		}
	}
	if n < 20 {
		t.Errorf("only %d examples were run", n)
	}
}

// plays reports whether the machines that are played can do what is asked.
func plays(c *cobra.Command, args []string) bool {
	ok := c.ParseFlags(args) == nil
	c.Flags().Visit(func(f *pflag.Flag) { ok = ok && (c.Name() != "run" || played[f.Name]) })
	for _, a := range args {
		ok = ok && !strings.HasPrefix(a, "git:") && !strings.HasPrefix(a, "src:") && !strings.HasPrefix(a, "known_")
	}
	return ok
}

// stand replaces what is not there: kernels and runs.
func stand(arg string) string {
	if strings.HasPrefix(arg, "~/") || strings.HasPrefix(arg, "deb:") {
		return "kernels/" + strings.NewReplacer("/", "-", ":", "-", "~", "").Replace(arg)
	}
	for _, name := range []string{"RUN", "BASE", "NEW", "MONDAY", "TUESDAY"} {
		if arg == "results/runs/"+name {
			return arg
		}
	}
	return regexp.MustCompile(`^results/runs/[0-9.-]+$`).ReplaceAllString(arg, "results/runs/RUN")
}

// prepareExamples makes the kernels, the runs and the files that examples name.
func prepareExamples(t *testing.T, dir, self string) {
	t.Helper()
	image, err := os.ReadFile(filepath.Join(dir, "bzImage"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range examples(t) {
		for _, w := range words(line) {
			if strings.HasPrefix(w, "~/") || strings.HasPrefix(w, "deb:") {
				write(stand(w), string(image))
			}
		}
	}
	write(stand(defaultKernel), string(image))
	for _, name := range []string{"mine.txt", "repro.txt"} {
		write(name, readmeCase(t))
	}
	write("slow.txt", "nested_userns # slow\n")
	write("slow.arm.txt", "")
	write("known.txt", "")
	saveRuns(t, dir)
	write("results/baseline/made", "")
	for _, name := range []string{"results/baseline/suite.jsonl.gz", "mine.jsonl.gz"} {
		cmd := exec.Command(self, "compare", "--write-baseline", name, "results/runs/RUN")
		if cmd.Dir = dir; cmd.Run() != nil {
			t.Fatal("no baseline can be written")
		}
	}
}

// readmeCase is the case file that the README shows.
func readmeCase(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "    # mine.txt\n")
	if !ok {
		t.Fatal("the README shows no mine.txt")
	}
	var out strings.Builder
	for line := range strings.Lines(rest) {
		step, ok := strings.CutPrefix(line, "    ")
		if !ok {
			break
		}
		out.WriteString(step)
	}
	return out.String()
}

// saveRuns keeps runs under the names that examples use.
func saveRuns(t *testing.T, dir string) {
	t.Helper()
	ids := []string{"map_create/any/owner/CAP_BPF/with/devmap", "token_create/any/owner/all/0"}
	for name, ids := range map[string][]string{
		"results/runs/RUN": ids, "results/runs/BASE": ids, "results/runs/NEW": ids, "results/runs/MONDAY": ids, "results/runs/TUESDAY": ids,
		"part1": ids[:1], "part2": ids[1:],
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		r := &result.Run{Version: result.Version}
		for _, ref := range []string{"deb:6.12", "deb:7.3"} {
			k := &result.KernelRun{Ref: stand(ref), Release: "6.12.1", Facts: &program.Facts{Release: "6.12.1", Token: true}}
			for _, id := range ids {
				k.Cases = append(k.Cases, result.CaseResult{ID: id, Status: result.Pass, Steps: []result.StepResult{{ID: "x"}}})
			}
			r.Kernels = append(r.Kernels, k)
		}
		s, err := result.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range r.Kernels {
			if err := s.Append(i, k); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(r); err != nil {
			t.Fatal(err)
		}
	}
}
