package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tokentest/cases"
	"tokentest/harness/builtin"
	"tokentest/harness/cli"
	"tokentest/harness/cmd/tokentest/farmcmd"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/progress"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/signals"
	"tokentest/harness/usage"
)

// app is the state that all commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	code           int // the exit code when no error is returned
	cacheDir       string
	tree           string // of the kernel, for the receivers of a mail
	agent          string // the checkout that the agent is built from
	quiet          bool
	exit           string   // --exit
	bisecting      bool     // exit codes are those for "git bisect run"
	resume         string   // the directory of the run to resume
	begun          []string // its command line
	overrides      []cli.Override
	recall         func(*lab.Lab, *plan.Plan) error // takes the place of a run
	watching       bool                             // this is a run of --watch
	stopped        bool                             // the user ended --watch: that is no interruption
	noted          sync.Map                         // the lines that noteOnce has printed
	paste          *cli.Paste                       // makes printed commands begin with self
	steps          *progress.Steps                  // of what takes long outside of a run
}

// output stores the first error of a write, so that a full disk does not cut a listing short
// without an error. It discards the output of a command after an interrupt if the command
// keeps no records.
type output struct {
	io.Writer
	ctx context.Context
	err error
}

func (o *output) Write(p []byte) (int, error) {
	if o.ctx.Err() != nil && !signals.Of(o.ctx).Keeps() {
		return 0, context.Cause(o.ctx)
	}
	n, err := o.Writer.Write(p)
	o.err = cmp.Or(o.err, err)
	return n, err
}

// gcPercent saves a third of the memory that a hundred thousand cases take. It costs little
// time, because most of the time is spent in the guest.
const gcPercent = 50

// run runs the command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	code := result.ExitNoVerdict
	if slices.Contains(args, bisectFlag) {
		code = result.BisectAbort
	}
	return signals.New(code).Run(stderr, func(ctx context.Context) int {
		return execute(ctx, args, stdin, stdout,
			stderr)
	})
}

// execute runs the command line and prints a line for each error.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return (&app{stdin: stdin, stdout: stdout, stderr: stderr}).execute(ctx, args)
}

// execute runs a command line as if nothing had run before.
func (a *app) execute(ctx context.Context, args []string) int {
	out := &output{Writer: a.stdout, ctx: ctx}
	a.stdout, a.bisecting = out, slices.Contains(args, bisectFlag)
	a.steps = progress.NewSteps(a.stderr, a.live())
	root := a.root()
	root.SetArgs(args)
	c, err := root.ExecuteContextC(ctx)
	if err == nil && out.err != nil {
		err = fmt.Errorf("write the output: %w", out.err)
	}
	switch {
	case err == nil && (a.code != result.ExitOK || ctx.Err() == nil || a.stopped):
		return a.code
	case err == nil: // the interrupted command may not have printed everything
		err = context.Cause(ctx)
	}
	list := flatten(err)
	for i, e := range list {
		text := errorText(e)
		if i == len(list)-1 {
			text += helpFor(err, c)
		}
		fmt.Fprintln(a.stderr, "tokentest:", a.paste.In(text))
	}
	return a.failed(err)
}

// helpFor names the command that helps after a mistake, if the error does not name it.
func helpFor(err error, c *cobra.Command) string {
	var bad *kernel.UsageError
	var u *usage.Error
	ofKernel := errors.As(err, &bad)
	switch {
	case exitCode(err) != result.ExitUsage, errors.As(err, &u) && u.Advised, ofKernel && bad.Advised:
		return ""
	case errors.Is(err, cases.ErrUnknownCase):
		return "; tokentest list cases shows the names"
	case ofKernel && strings.HasPrefix(bad.Ref, "deb:"):
		return "; tokentest kernel list shows what there is"
	}
	return "; see " + c.CommandPath() + " --help"
}

// failed is the exit code for an error. git bisect would take 2 and 3 for a bad kernel, so
// with --bisect every error stops it, except a kernel that cannot be built.
func (a *app) failed(err error) int {
	switch {
	case !a.bisecting:
		return exitCode(err)
	case a.code == result.BisectSkip:
		return result.BisectSkip
	}
	return result.BisectAbort
}

// flatten returns the single errors of a list of errors.
func flatten(err error) []error {
	var list, out []error
	switch e := err.(type) {
	case *usage.Error:
		return flatten(e.Err)
	case codedError:
		return flatten(e.error)
	case *multierror.Error:
		list = e.Errors
	case interface{ Unwrap() []error }:
		list = e.Unwrap()
		if errors.Join(list...).Error() != err.Error() { // one error that wraps several
			return []error{err}
		}
	default:
		return []error{err}
	}
	for _, e := range list {
		out = append(out, flatten(e)...)
	}
	return out
}

// errorText is the text of an error. After an interrupt it omits the operation that was interrupted.
func errorText(err error) string {
	last := err
	for next := last; next != nil; next = errors.Unwrap(next) {
		last = next
	}
	if last == context.Canceled { //nolint:errorlint // an error that wraps it may say more
		return signals.ErrInterrupted.Error()
	}
	return err.Error()
}

func exitCode(err error) int {
	var coded codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, signals.ErrInterrupted) {
		return result.ExitNoVerdict
	}
	var u *usage.Error
	var k *kernel.UsageError
	if errors.As(err, &u) || errors.As(err, &k) {
		return result.ExitUsage
	}
	return result.ExitNoVerdict
}

// group makes a command with subcommands. Without a subcommand it shows its help.
func group(c *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	c.SuggestionsMinimumDistance = 2
	c.DisableFlagsInUseLine = true
	c.Args = func(c *cobra.Command, args []string) error { return unknown(c, args) }
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(commands...)
	return c
}

// unknown is the error for a word that is not a command of c.
func unknown(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	near := ""
	if names := c.SuggestionsFor(args[0]); len(names) > 0 {
		near = " (near: " + strings.Join(names, ", ") + ")"
	}
	return usage.Errorf("unknown command %q%s", args[0], near)
}

func helpCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "help [COMMAND | TOPIC]",
		Short:             "explain a command or a topic",
		ValidArgsFunction: cli.CompleteHelp,
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil {
				return usage.Of(err)
			}
			if err := unknown(about, rest); err != nil {
				return err
			}
			about.InitDefaultHelpFlag() // as --help does
			return about.Help()
		},
	}
}

func (a *app) root() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "tokentest",
		Short: "check on real kernels what a BPF token allows and what it denies",
		Long: `tokentest boots Linux kernels under QEMU, runs BPF-token cases inside user
namespaces, and checks that every bpf(2) call is allowed or denied, with the
exact errno, as the bpffs delegation masks and the caller's capabilities dictate.

Exit codes: 0 all as expected; 1 a kernel differs; 2 usage or configuration, such
as an expectation that contradicts both the kernel and the rules; 3 no verdict (the
host, the boot or a control failed, the run was interrupted, or nothing was decided).`,
		SilenceUsage: true, SilenceErrors: true,
		Version: strings.TrimPrefix(builtin.Of().String(), "tokentest "),
	},
		a.runCmd(), a.listCmd(), a.planCmd(), a.explainCmd(), a.kernelCmd(),
		a.reportCmd(), a.compareCmd(), a.historyCmd(), a.manCmd(),
		a.doctorCmd(), a.benchCmd(), a.coverCmd(), a.mutateCmd(), a.rulesCmd(), a.bisectCmd(), a.scanCmd(),
		a.execCmd(), a.shellCmd(), a.parseCmd(), a.filesCmd(), a.versionCmd(), a.cacheCmd(), a.reproCmd(),
	)
	c.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	a.greet(c)
	c.SetHelpCommand(helpCmd())
	c.SetIn(a.stdin)
	c.SetOut(a.stdout)
	c.SetErr(a.stderr)
	c.SetFlagErrorFunc(cli.FlagError)
	c.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return cli.Positive(c, counts...) }
	c.PersistentFlags().StringVar(&a.cacheDir, "cache", "",
		"keep kernels and images in `DIR` (default that of TOKENTEST_CACHE, else the user's cache directory)")
	c.PersistentFlags().StringVar(&a.agent, "agent", "",
		"build the agent from the checkout `DIR` instead of taking the built-in one")
	c.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no progress, no notes")
	c.AddCommand(topicCmds()...)
	c.AddCommand(a.seriesCmd())
	c.AddCommand(farmcmd.Commands(farmcmd.Command{Stdout: a.stdout, Note: a.note, Cache: a.makeCache, Group: group})...)
	a.completions(c)
	cli.Arguments(c)
	a.paste = cli.NewPaste(c, self)
	a.paste.Help(c)
	return c
}

// counts are the flags whose absence has a meaning of its own, so that 0 is a mistake.
var counts = []string{"jobs", "batch", "repeat", "deadline", "build-jobs", "mem", "limit", "shards",
	"slowest"}

// keep marks the command as one that keeps records.
func (a *app) keep(ctx context.Context) {
	code := result.ExitNoVerdict
	if a.bisecting {
		code = result.BisectAbort
	}
	signals.Of(ctx).Keep(code)
}

// note writes a line for people, beside the results.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		a.steps.Clear()
		fmt.Fprintln(a.stderr, a.paste.In(fmt.Sprintf(format, args...)))
	}
}

// step shows what a long step does and how far it is, "" that it has ended.
func (a *app) step(text string) {
	if !a.quiet {
		a.steps.Step(text)
	}
}

// manyCases is how many cases a step has that takes much longer than a run of the default suite.
const manyCases = 50_000

// long begins a step that goes through cases, and says so beforehand if it will be long.
func (a *app) long(what string, cases int) {
	if cases >= manyCases {
		a.note("%s has %d cases: it takes longer than a run of the default suite", what, cases)
	}
	a.step(fmt.Sprintf("%s, %s", what, report.Count(cases, "case")))
}

// noteOnce writes a line, but not twice.
func (a *app) noteOnce(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if _, said := a.noted.LoadOrStore(line, true); !said {
		a.note("%s", line)
	}
}

// terminal reports whether w is one, and its width.
func terminal(w io.Writer) (width int, ok bool) {
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	return width, err == nil
}
