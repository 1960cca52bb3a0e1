package main

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tokentest/harness/lab/labtest"
)

const (
	root   = "../../../"
	readme = root + "README.md"
)

// documents are the pages whose examples are run.
func documents(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("topics/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no help topics: %v", err)
	}
	out := []string{readme}
	for _, dir := range []string{"cases", "harness", "scripts"} {
		out = append(out, filepath.Join(root, dir, "README.md"))
	}
	return append(out, pages...)
}

var (
	// blockExample is a line of an indented block that a shell can run.
	blockExample = regexp.MustCompile(`^ {4,}((?:(?:bin/)?tokentest|make|go|source|dmesg|git|scripts/\S+) .*)`)
	// cellExample is a command in a table.
	cellExample = regexp.MustCompile("`((?:bin/tokentest|make vmtest) [^`]+)` \\|")
)

// documentLines are the examples of the documents, each once.
func documentLines(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, name := range documents(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimRight(line, "\n")
			if m := blockExample.FindStringSubmatch(line); m != nil {
				out = append(out, m[1])
			}
			if m := cellExample.FindStringSubmatch(line); m != nil {
				out = append(out, m[1])
			}
		}
	}
	return out
}

// helpLines are the examples that the commands' own help shows.
func helpLines() []string {
	var out []string
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "tokentest ") {
				out = append(out, line)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).root())
	return out
}

// examples are all examples: the README has them with bin/ and the rest without,
// and each is run once.
func examples(t *testing.T) []string {
	t.Helper()
	seen := map[string]bool{}
	return slices.DeleteFunc(append(documentLines(t), helpLines()...), func(line string) bool {
		key := plainLine(line)
		again := seen[key]
		seen[key] = true
		return again
	})
}

// plainLine is an example without the directory of the command.
func plainLine(line string) string { return strings.ReplaceAll(line, "bin/tokentest", "tokentest") }

// TestExamplesAreCommands finds an example that names a command or a flag that
// there is not.
func TestExamplesAreCommands(t *testing.T) {
	list := examples(t)
	if len(list) < 80 {
		t.Fatalf("only %d examples were found", len(list))
	}
	for _, line := range list {
		_, line, ok := strings.Cut(plainLine(line), "tokentest ")
		if !ok || strings.Contains(line, `" `) || strings.HasPrefix(line, "completion ") { // which cobra adds when it runs
			continue
		}
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

// words splits a line as a shell does, as far as examples need it.
func words(line string) []string {
	line, _, _ = strings.Cut(line, " > ")
	line, _, _ = strings.Cut(line, " | ")
	var out []string
	for _, w := range regexp.MustCompile(`'[^']*'|[^ ']+`).FindAllString(strings.TrimSuffix(line, ")"), -1) {
		out = append(out, strings.Trim(w, "'"))
	}
	return out
}

// notRun are the examples that are not run here, by how they begin.
var notRun = map[string]string{
	"make test":               "it would run this",
	"go test -exec":           "it needs a module and its compiler",
	"scripts/mutants.sh":      "it needs a kernel with mutants",
	"scripts/configs.sh":      "it takes minutes for over fifty kernels",
	"tokentest run 'known":    "the fake machine has no defect",
	"tokentest shell":         "it needs a terminal",
	"tokentest farm":          "it needs a farm",
	"tokentest worker":        "it needs a farm",
	"tokentest run --on nats": "it needs a farm elsewhere",
	"tokentest run -k oci":    "it needs a registry; a script has one",
	"tokentest run -k host":   "not every host has the image of its kernel",
	"tokentest exec -k ~/linux/arch/x86/boot/bzImage --gdb": "it needs a debugger",
}

// endsWith are the exit codes of the examples that find something on the fake
// kernels: the tree's last commit makes a kernel that decides otherwise.
var endsWith = map[string]int{
	"tokentest run -k git:~/linux#HEAD":              1,
	"tokentest run --lie-rule":                       1,
	"tokentest series x.mbox":                        1,
	"tokentest series patches/":                      3, // what is otherwise is a control
	"make vmtest KDIR=~/linux SERIES":                2, // of make
	"tokentest kernel check --fragment debug":        1,
	"tokentest rules results/runs/RUN":               1, // a few cases notice a few rules
	"tokentest cover":                                3, // the fake kernels have no code
	"tokentest mutate":                               3, // neither
	"tokentest mutate --functions 'bpf_token_*' --w": 2, // nor is there the program
	"tokentest mutate --source ":                     2, // the fake tree has no such files
	"tokentest run --random 500 --guided":            3,
	"tokentest run -k deb:6.12 --snapshot --until":   1,
}

// silent are those that print nothing here, or not to a terminal.
var silent = regexp.MustCompile(` > |^source |tokentest (man|scan) |\| `)

// TestExamplesRun gives every other example of the documents and of the help to a
// shell as it is, in a home with a kernel tree and packaged kernels; only the
// machines, Go and the compilers are fake.
func TestExamplesRun(t *testing.T) {
	p := newPlayground(t)
	used := map[string]bool{}
	for _, line := range examples(t) {
		why := ""
		for begin, reason := range notRun {
			if strings.HasPrefix(plainLine(line), begin) {
				why, used[begin] = reason, true
			}
		}
		if why != "" {
			continue
		}
		want := 0
		longest := -1
		for begin, code := range endsWith {
			if strings.HasPrefix(plainLine(line), begin) && len(begin) > longest {
				want, used[begin], longest = code, true, len(begin)
			}
		}
		out, err := p.bash(line)
		if exitOf(err) != want || len(bytes.TrimSpace(out)) == 0 && !silent.MatchString(line) {
			t.Errorf("%s\nends with %v, want %d:\n%s", line, err, want, out[max(0, len(out)-2000):])
		}
	}
	for _, begin := range slices.Concat(slices.Collect(maps.Keys(notRun)), slices.Collect(maps.Keys(endsWith))) {
		if !used[begin] {
			t.Errorf("no example begins with %q any more", begin)
		}
	}
	for _, name := range []string{"review.html", "report.html", "home/.local/share/man/man1/tokentest-run.1"} {
		if info, err := os.Stat(filepath.Join(p.dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s was not written: %v", name, err)
		}
	}
}

// exitOf is the exit code of a command, -1 if it has none.
func exitOf(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// TestReadmeOutput holds output that the README shows against the command that
// its comment names: the same lines, but for numbers, names and reasons.
func TestReadmeOutput(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlayground(t)
	shown := regexp.MustCompile(`(?m)^<!-- output: (.*) -->\n((?:(?:    .*)?\n)+)`).FindAllStringSubmatch(string(text), -1)
	if len(shown) < 2 {
		t.Errorf("the README shows the output of %d commands, want one that passes and one that fails", len(shown))
	}
	for _, s := range shown {
		out, err := p.bash(s[1] + " 2>/dev/null")
		want := 0
		for begin, code := range endsWith {
			if strings.HasPrefix(plainLine(s[1]), begin) {
				want = code
			}
		}
		if got := exitOf(err); got != want {
			t.Errorf("%s: exit code %d, want %d: %s", s[1], got, want, out)
		}
		if got, want := shape(string(out)), shape(s[2]); !slices.Equal(got, want) {
			t.Errorf("%s prints\n%s\nin the form %q,\nthe README shows %q", s[1], out, got, want)
		}
	}
}

// shape is what a report of one kernel always says: its lines without their
// breaks, numbers, names and reasons, and each form once.
func shape(text string) []string {
	var out []string
	for line := range strings.Lines(regexp.MustCompile(`\n +`).ReplaceAllString("\n"+dedent(text), " ")) {
		line = regexp.MustCompile(`^(kernel \S+:|skip \d+:|results in ).*`).ReplaceAllString(strings.TrimSpace(line), "$1")
		line = regexp.MustCompile(`^tcg: .*`).ReplaceAllString(line, "") // why not KVM: that is the host's
		// The way in is as the kernel allows.
		line = regexp.MustCompile(`\((direct boot|bzimage boot|restored) `).ReplaceAllString(line, "(boot ")
		line = regexp.MustCompile(`[0-9]+`).ReplaceAllString(line, "0")
		if line != "" && !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out
}

// dedent takes the margin of a block away.
func dedent(text string) string {
	return regexp.MustCompile(`(?m)^    (\S|  )`).ReplaceAllString(text, "$1")
}

// playground is a directory in which examples can be run.
type playground struct {
	dir string
	env []string
}

func newPlayground(t *testing.T) *playground {
	t.Helper()
	self, err := exec.LookPath("tokentest")
	if err != nil {
		t.Fatal(err)
	}
	config := ""
	for _, name := range []string{"base", "token"} {
		text, err := os.ReadFile("../../../kconfig/" + name + ".config")
		if err != nil {
			t.Fatal(err)
		}
		config += string(text)
	}
	config += "CONFIG_ARCH_HAS_NON_OVERLAPPING_ADDRESS_SPACE=y\n" // the architecture sets it, no fragment
	p := &playground{dir: t.TempDir()}
	home, cache := filepath.Join(p.dir, "home"), filepath.Join(p.dir, "home/.cache/tokentest")
	// The variables of make are empty: it may be make that runs the test.
	p.env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME=", "TOKENTEST_CACHE=",
		"GOMAXPROCS=1", "MAKEFLAGS=", "MAKELEVEL=", "MFLAGS=",
		"PATH="+filepath.Join(p.dir, "tools")+":"+os.Getenv("PATH"),
		labtest.Acts+"=clean", labtest.Boots+"="+filepath.Join(p.dir, "boots"))
	if err := errors.Join(labtest.Tree(p.dir), labtest.Cache(cache, config),
		labtest.Linux(filepath.Join(home, "linux"), config),
		labtest.Tools(filepath.Join(p.dir, "tools")),
		os.CopyFS(filepath.Join(p.dir, "scripts"), os.DirFS("../../../scripts")),
		os.CopyFS(filepath.Join(p.dir, "kconfig"), os.DirFS("../../../kconfig"))); err != nil {
		t.Fatal(err)
	}
	for name, of := range map[string]string{
		"bin/tokentest": self, "home/tokentest": p.dir, "home/build": filepath.Join(home, "linux"),
	} {
		name = filepath.Join(p.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.Symlink(of, name)); err != nil {
			t.Fatal(err)
		}
	}
	p.files(t)
	for _, line := range []string{
		"bin/tokentest run -q -k deb:6.12 -k deb:7.3 -o results/runs/RUN 'map_create/any/owner/*' token_create abuse_nested",
		"set -e; for name in BASE NEW MONDAY TUESDAY; do cp -r results/runs/RUN results/runs/$name; done",
		"set -e; for n in 1 2; do bin/tokentest run -q -k deb:6.12 -k deb:7.3 -o part$n --shard $n/2 token_create; done",
		"bin/tokentest compare --write-baseline mine.jsonl.gz results/runs/RUN",
		"bin/tokentest run -q -k deb:6.12 -o suite && mkdir results/baseline && " +
			"bin/tokentest compare --write-baseline results/baseline/suite.jsonl.gz suite",
		"git -C ~/linux format-patch -q --stdout HEAD~1 > x.mbox; " +
			"cp x.mbox series.mbox; cp x.mbox fix.mbox; mkdir patches; cp x.mbox patches/1.patch",
		"mkdir -p cases/testdata/mutants; cp x.mbox cases/testdata/mutants/6.12.patch",
	} {
		if out, err := p.bash(line); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	return p
}

// bash has the shell run a line.
func (p *playground) bash(line string) ([]byte, error) {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "bash", "-c", line)
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir, cmd.Env = p.dir, p.env
	if strings.Contains(line, "--until-fail") { // which would never end
		cmd.Env = append(cmd.Env, labtest.Acts+"=clean clean lie@300", labtest.Boots+"="+filepath.Join(p.dir, "boots.fail"))
	}
	if strings.Contains(line, "vmtest.mk") { // which is called inside a kernel tree
		cmd.Dir = filepath.Join(p.dir, "home/linux")
	}
	return cmd.CombinedOutput()
}

// files writes what examples name.
func (p *playground) files(t *testing.T) {
	t.Helper()
	make, err := os.ReadFile("../../../Makefile")
	changed, err2 := os.ReadFile("../../../cases/scenario/unknown_types.txt") // which newer releases decide otherwise
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	ktap := "KTAP version 1\n1..1\nok 1 a_test\n"
	for name, text := range map[string]string{
		"Makefile": string(make), "mine.txt": shownCase(t), "repro.txt": string(changed),
		"slow.txt": "nested_userns # slow\n", "slow.arm.txt": "", "known.txt": "",
		"reports.txt":   "warn: WARNING in f* until=2999-12-31 # known\n",
		"kselftest.log": ktap,
		"fs_test":       "#!/bin/sh\nprintf '" + strings.ReplaceAll(ktap, "\n", `\n`) + "'\n",
		"a.out":         "#!/bin/sh\necho done\n",
		"tools/dmesg":   "#!/bin/sh\necho '[    0.000000] Linux version 6.12'\n",
		"tools/apt-get": "#!/bin/sh\necho 'the home has every package that an example needs' >&2\nexit 100\n",
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// shownCase is the case file that the topic scenarios shows.
func shownCase(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("topics/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "    # mine.txt\n")
	if !ok {
		t.Fatal("the topic shows no mine.txt")
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
