package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/lab/labtest"
	"tokentest/harness/wire"
	"tokentest/images"
)

// TestMain makes the test binary play every program that the scripts run: the
// command itself, and what stands in for QEMU and Go.
func TestMain(m *testing.M) {
	images.Builtin, images.CompiledIn = fstest.MapFS{}, "" // as in a fresh checkout
	called := os.Args[0]
	testscript.Main(m, map[string]func(){
		"tokentest": func() {
			if strings.HasPrefix(called, "bin/") { // testscript keeps only the last part of the name
				os.Args[0] = called
			}
			main()
		},
		"packed":             packed,
		"pack":               func() { os.Exit(pack()) },
		"qemu-system-x86_64": func() { os.Exit(labtest.QEMU()) },
		"go":                 func() { os.Exit(labtest.Go()) },
		"interrupt":          func() { os.Exit(disturb(syscall.SIGINT, command)) },
		"killtool":           func() { os.Exit(disturb(syscall.SIGKILL, command)) },
		"killqemu":           func() { os.Exit(disturb(syscall.SIGKILL, lastBoot)) },
	})
}

// builtinDir names the variable with the directory that stands for what is built into the command "packed".
const builtinDir = "TOKENTEST_TEST_BUILTIN"

// packed is the command with built-in images.
func packed() {
	images.Builtin = os.DirFS(os.Getenv(builtinDir))
	main()
}

// pack DIR packs the images of the checkout here.
func pack() int {
	err := images.Pack(context.Background(), images.Options{Source: ".", Shared: images.Shared{
		"cases/step": step.Sources, "harness/wire": wire.Sources}}, os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestScripts runs the command as a user would. A script works in a directory
// with a kernel, and $FAKE says what each machine does (see labtest).
func TestScripts(t *testing.T) {
	corpus, err := cases.LoadGroups(t.Context(), "token_create")
	if err != nil {
		t.Fatal(err)
	}
	n := len(corpus.Group("token_create").Cases)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			self, err := exec.LookPath("tokentest") // for scripts that change PATH
			e.Setenv("TOKENTEST", self)
			e.Setenv("GOMAXPROCS", "2") // it says how many machines run side by side
			e.Setenv(builtinDir, filepath.Join(e.WorkDir, "builtin"))
			e.Setenv(labtest.Boots, filepath.Join(e.WorkDir, "boots"))
			e.Values[registryKey] = &loopback{}
			setCounts(e, n)
			e.Defer(func() { leftovers(t, e.WorkDir) })
			return errors.Join(err, labtest.Tree(e.WorkDir))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "fake": fake, "oneline": oneline,
			"count": count, "screen": screen,
			"commits": commits, "truncate": truncate, "verdict": verdict, "damage": damage,
			"compared": compared, "pushes": pushes},
		Condition: condition,
	})
}

// setCounts tells a script how many cases token_create has, so that a new one changes no
// script: $ALL, all but one, all but 70, one more, and twice as many without and with one more.
func setCounts(e *testscript.Env, n int) {
	for name, count := range map[string]int{"ALL": n, "BUT1": n - 1, "BUT70": n - 70, "PLUS1": n + 1, "TWICE": 2 * n,
		"TWICE2": 2 * (n + 1)} {
		e.Setenv(name, strconv.Itoa(count))
	}
}

// fake ACT...: what the machines do from now on, the first of them first.
func fake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fake ACT...")
	}
	ts.Setenv(labtest.Acts, strings.Join(args, " "))
	boots := ts.Getenv(labtest.Boots)
	if err := os.Rename(boots, fmt.Sprintf("%s%d", boots, time.Now().UnixNano())); !errors.Is(err, fs.ErrNotExist) {
		ts.Check(err)
	}
}

// exits CODE PROG ARG...: the program ends with exactly that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROG ARG...")
	}
	got := 0
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("run %s: %v", args[1], err)
	}
	if args[0] != strconv.Itoa(got) {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// oneline FILE: it holds a single line, and that is the command's.
func oneline(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	if neg || strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "tokentest: ") {
		ts.Fatalf("want one line that begins with tokentest:, got\n%s", text)
	}
}

// commits TEXT...: a repository linux of a tree that builds like a kernel, with
// its tools in PATH, gets a commit for each text. An image plays the act that
// its source names; "ok" names none.
func commits(ts *testscript.TestScript, neg bool, args []string) {
	tree, tools := ts.MkAbs("linux"), ts.MkAbs("tools")
	git := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", tree, "-c", "user.name=t", "-c", "user.email=t@t"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			ts.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	if _, err := os.Stat(tree); err != nil {
		ts.Check(errors.Join(labtest.Source(tree), labtest.Tools(tools)))
		ts.Setenv("PATH", tools+":"+ts.Getenv("PATH"))
		git("init", "-q", "-b", "main")
		git("add", "-A")
		git("commit", "-q", "-m", "base")
	}
	for i, text := range args {
		source := fmt.Sprintf("%s\nint v%d;\n", text, i)
		if text == "ok" {
			source = fmt.Sprintf("int v%d;\n", i)
		}
		ts.Check(os.WriteFile(filepath.Join(tree, "kernel/bpf/token.c"), []byte(source), 0o644))
		git("commit", "-q", "-a", "--allow-empty", "-m", fmt.Sprintf("change %d", i+1))
	}
}

// truncate FILE: the last bytes of it are lost.
func truncate(ts *testscript.TestScript, neg bool, args []string) {
	name := ts.MkAbs(args[0])
	info, err := os.Stat(name)
	ts.Check(err)
	ts.Check(os.Truncate(name, info.Size()-3))
}

// count N FILE TEXT: as many lines of the file hold the text.
func count(ts *testscript.TestScript, neg bool, args []string) {
	got := 0
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		if strings.Contains(line, args[2]) {
			got++
		}
	}
	if neg || args[0] != strconv.Itoa(got) {
		ts.Fatalf("%d lines of %s hold %q, want %s", got, args[1], args[2], args[0])
	}
}

// screen FILE LINES COLUMNS: it fits, and what it names after tokentest is a command.
func screen(ts *testscript.TestScript, neg bool, args []string) {
	lines, err := strconv.Atoi(args[1])
	ts.Check(err)
	columns, err := strconv.Atoi(args[2])
	ts.Check(err)
	text := ts.ReadFile(args[0])
	if neg || strings.Count(text, "\n") > lines {
		ts.Fatalf("it takes %d lines", strings.Count(text, "\n"))
	}
	root := (&app{}).root()
	for line := range strings.Lines(text) {
		if len(line) > columns+1 {
			ts.Fatalf("%q takes %d columns", line, len(line))
		}
		words := strings.Fields(line)
		if !strings.HasPrefix(line, "  tokentest ") || strings.HasPrefix(words[1], "-") || words[1] == "help" {
			continue
		}
		if c, _, err := root.Find(words[1:2]); err != nil || c == root {
			ts.Fatalf("%q names no command", line)
		}
	}
}

// condition knows [mounts]: an ordinary user can mount in a namespace here.
func condition(cond string) (bool, error) {
	if cond != "mounts" {
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	return exec.Command("unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt").Run() == nil, nil
}

// unfinished is the name of a file that was not renamed into place.
var unfinished = regexp.MustCompile(`^tmp-|^\.fill|\.tmp$|^\..+[0-9]{12}$`)

// leftovers fails when a script left a process or a temporary file behind.
func leftovers(t *testing.T, dir string) {
	boots, _ := filepath.Glob(filepath.Join(dir, "boots*")) // the pattern is well formed
	for _, name := range boots {
		text, _ := os.ReadFile(name)
		for line := range strings.Lines(string(text)) {
			var pid int
			if n, _ := fmt.Sscanf(line, "boot %d ", &pid); n == 1 && alive(pid) {
				t.Errorf("a machine is left behind: %s", line)
			}
		}
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (unfinished.MatchString(d.Name()) && d.Name() != ".tmp" ||
			filepath.Base(filepath.Dir(path)) == ".tmp") {
			t.Errorf("%s is left behind", path)
		}
		return nil
	})
}

// alive says whether a process runs; one that ended and that nobody waited for
// does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// disturb runs "NAME TIMES WHEN PROG ARG...": it sends a signal to a victim that
// many times, a tenth of a second apart, once a machine has noted WHEN.
func disturb(sig syscall.Signal, victim func(*exec.Cmd) int) int {
	times, err := strconv.Atoi(os.Args[1])
	cmd := exec.Command(os.Args[3], os.Args[4:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err = errors.Join(err, cmd.Start()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	for deadline := time.Now().Add(5 * time.Minute); !noted(os.Args[2]) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond) // the tool has read what the machine sent before that, and is to store it
	for range times {
		syscall.Kill(victim(cmd), sig)
		time.Sleep(100 * time.Millisecond)
	}
	cmd.Wait() // its outcome is the exit code
	return cmd.ProcessState.ExitCode()
}

func noted(text string) bool {
	boots, err := os.ReadFile(os.Getenv(labtest.Boots))
	return err == nil && strings.Contains(string(boots), text)
}

func command(cmd *exec.Cmd) int { return cmd.Process.Pid }

// lastBoot is the process of the machine that started last.
func lastBoot(*exec.Cmd) int {
	boots, _ := os.ReadFile(os.Getenv(labtest.Boots))
	pid := 0
	for line := range strings.Lines(string(boots)) {
		fmt.Sscanf(line, "boot %d ", &pid)
	}
	return pid
}
