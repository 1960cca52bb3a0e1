package cli

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tokentest/harness/usage"
)

// tool is a program with one command.
func tool() *cobra.Command {
	root := &cobra.Command{Use: "tool", Short: "do it", SilenceUsage: true, SilenceErrors: true}
	run := &cobra.Command{Use: "run", Short: "run it", Long: "Run it, as tool run does.", Example: "  tool run --jobs 2",
		RunE: func(c *cobra.Command, _ []string) error { return Positive(c, "jobs", "limit", "absent") }}
	fl := run.Flags()
	fl.IntP("jobs", "j", 0, "run `N` at a time")
	fl.Duration("limit", 0, "end after `TIME`")
	fl.String("kernel", "k1", "boot `REF`")
	fl.String("out", "", "write to `DIR`")
	fl.String("how", "a", "do it `HOW`")
	fl.Bool("full", false, "all")
	fl.String("maybe", "", "perhaps `WHEN`")
	fl.Lookup("maybe").NoOptDefVal = "now"
	fl.Int("secret", 0, "")
	fl.MarkHidden("secret")
	root.PersistentFlags().BoolP("quiet", "q", false, "say nothing")
	root.SetFlagErrorFunc(FlagError)
	root.AddCommand(run)
	return root
}

func TestFlagErrors(t *testing.T) {
	for line, want := range map[string]string{
		"--kernal x":                  "unknown flag: --kernal (near: --kernel)",
		"--quite":                     "unknown flag: --quite (near: --quiet)",
		"--ker x":                     "unknown flag: --ker (near: --kernel)",
		"--secre 1":                   "unknown flag: --secre",
		"--nonsense":                  "unknown flag: --nonsense",
		"-z":                          "unknown shorthand flag: 'z' in -z",
		"--jobs":                      "flag needs an argument: --jobs",
		"--jobs abc":                  `--jobs "abc": must be a number`,
		"--jobs 1e30":                 `--jobs "1e30": must be a number`,
		"--limit soon":                `--limit "soon": must be a time such as 90s or 5m`,
		"--full=yo":                   `--full "yo": must be true or false`,
		"--jobs 0":                    "--jobs 0: must be at least 1",
		"-j -3":                       "--jobs -3: must be at least 1",
		"--limit 0":                   "--limit 0: must be positive, such as 90s",
		"--limit -2m":                 "--limit -2m0s: must be positive, such as 90s",
		"--jobs 99999999999999999999": `--jobs "99999999999999999999": the number is too large`,
		"--jobs 3 --limit 2s":         "",
	} {
		c := tool()
		c.SetArgs(append([]string{"run"}, strings.Fields(line)...))
		err := c.Execute()
		var u *usage.Error
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", line, err)
		case want != "" && (err == nil || err.Error() != want || !errors.As(err, &u)):
			t.Errorf("%s: got %v, want a usage.Error %q", line, err, want)
		}
	}
}

func TestArguments(t *testing.T) {
	for line, want := range map[string]string{
		"run a":   "usage: tool run [flags]",
		"run":     "usage: tool run [flags]",
		"run a b": "",
		"run own": "there is no own",
	} {
		c := tool()
		c.Commands()[0].Args = func(c *cobra.Command, args []string) error {
			if slices.Equal(args, []string{"own"}) {
				return usage.Errorf("there is no own")
			}
			return cobra.ExactArgs(2)(c, args)
		}
		Arguments(c)
		c.SetArgs(strings.Fields(line))
		err := c.Execute()
		var u *usage.Error
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", line, err)
		case want != "" && (err == nil || err.Error() != want || !errors.As(err, &u)):
			t.Errorf("%s: got %v, want a usage.Error %q", line, err, want)
		}
	}
}

func TestValues(t *testing.T) {
	c := tool()
	Values(c, func(_ *cobra.Command, flag string) []string {
		if flag == "how" {
			return []string{"a", "b"}
		}
		return nil
	})
	for flag, want := range map[string]string{"how": "a\nb\n:4\n", "jobs": ":4\n", "out": ":0\n", "maybe=": ":4\n"} {
		var out strings.Builder
		c.SetOut(&out)
		args := []string{"__complete", "run", "--" + flag, ""}
		if strings.HasSuffix(flag, "=") {
			args = []string{"__complete", "run", "--" + flag}
		}
		c.SetArgs(args)
		if err := c.Execute(); err != nil || out.String() != want {
			t.Errorf("--%s: got %q, %v; want %q", flag, out.String(), err, want)
		}
	}
}

func TestName(t *testing.T) {
	dir := t.TempDir()
	program, other := filepath.Join(dir, "tool"), filepath.Join(t.TempDir(), "tool")
	for _, name := range []string{program, other} {
		if err := os.WriteFile(name, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	for arg0, want := range map[string]string{"tool": "tool", "bin/tool": "bin/tool", "./tool": "./tool", program: "tool",
		other: other, "/nowhere/tool": "/nowhere/tool"} {
		if got := Name(arg0); got != want {
			t.Errorf("%s: got %s, want %s", arg0, got, want)
		}
	}
}

func TestPaste(t *testing.T) {
	const text = "tool run x\n  tool run; see \"tool run --help\"; tool --help\nbin/tool run, tool runs, tool.toml, a tool"
	if got := NewPaste(tool(), "tool").In(text); got != text {
		t.Errorf("its own name: got %q", got)
	}
	var none *Paste
	if got := none.In(text); got != text {
		t.Errorf("none: got %q", got)
	}
	want := strings.NewReplacer("tool run x", "'$a b' run x", "  tool run;", "  '$a b' run;",
		"\"tool run", "\"'$a b' run",
		"tool --help", "'$a b' --help").Replace(text)
	if got := NewPaste(tool(), "$a b").In(text); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestHelp(t *testing.T) {
	c := tool()
	Groups(c.Commands()[0], []Group{{"How much", []string{"full", "jobs", "secret", "absent"}},
		{"Nothing", []string{"secret"}}})
	NewPaste(c, "bin/tool").Help(c)
	var out strings.Builder
	c.SetOut(&out)
	c.SetArgs([]string{"run", "--help"})
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"as bin/tool run does", "Usage:\n  bin/tool run [flags]\n",
		"\n  bin/tool run --jobs 2\n",
		"\nHow much:\n      --full     all\n  -j, --jobs N   run N at a time\n", "\nOther flags:\n",
		"\nFlags of every command:\n  -q, --quiet   say nothing\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "Nothing") || strings.Count(text, "--jobs N") != 1 {
		t.Errorf("a hidden flag, an empty group, or a flag twice:\n%s", text)
	}
}

func TestManual(t *testing.T) {
	dir := t.TempDir()
	if err := Manual(tool(), dir, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "tool-run.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Jan 1970", ".SH OPTIONS\n", `\fB-j\fP, \fB--jobs\fP \fIN\fP` + "\nrun N at a time\n",
		`\fB--full\fP` + "\nall\n", `\fB--kernel\fP \fIREF\fP` + "\nboot REF (default k1)\n", `\fB--maybe\fP[=\fIWHEN\fP]`,
		".SH OPTIONS OF EVERY COMMAND\n", ".SH EXAMPLES\n", `\fBtool(1)\fP`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "secret") || strings.Contains(string(text), "[=false]") {
		t.Errorf("a hidden flag, or a value of a flag that takes none:\n%s", text)
	}
	if _, err := os.Stat(filepath.Join(dir, "tool.1")); err != nil {
		t.Error(err)
	}
	if Manual(tool(), filepath.Join(dir, "absent"), time.Unix(0, 0)) == nil {
		t.Error("no error for a directory that does not exist")
	}
}

func TestGiven(t *testing.T) {
	for _, c := range tool().Commands() {
		if c.Name() == "run" {
			c.Flags().StringArray("append", nil, "add `ARG`")
			if err := c.ParseFlags([]string{"--jobs=3", "--full", "--append=a b", "--append", "c", "--maybe"}); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(Given(c, "append", "full", "jobs", "maybe", "kernel", "absent"), "|")
			if want := "--append|a b|--append|c|--full|--jobs|3|--maybe"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if err := c.ParseFlags([]string{"--full=false", "--maybe=later"}); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(Given(c, "full", "maybe"), "|"); got != "--full=false|--maybe=later" {
				t.Errorf("got %s", got)
			}
			return
		}
	}
	t.Fatal("no command run")
}
