package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokentest/harness/arch"
	"tokentest/harness/choose"
	"tokentest/harness/cli"
	"tokentest/harness/cover"
	"tokentest/harness/farm"
	"tokentest/harness/farm/client"
	"tokentest/harness/fault"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/progress"
	"tokentest/harness/receivers"
	"tokentest/harness/report"
	"tokentest/harness/repro"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/scan"
	"tokentest/harness/shrink"
	"tokentest/harness/usage"
)

// defaultKernel is the kernel that runs if the user names none.
const defaultKernel = "deb:" + defaultRelease

// defaultRelease is the release that the commands which boot nothing describe.
const defaultRelease = "6.12"

type runFlags struct {
	kernels, arch    []string
	full             bool
	accel            string
	out              string
	format           string
	qemu             string
	deadline         time.Duration
	batch            int
	baseline         string
	fatal            []string
	lists            choose.Lists
	allowEmpty       bool
	offline, refresh bool
	allow            []string
	append           []string
	resume           string
	snapshot         lab.SnapshotUse
	boot             lab.Entry
	isolate          string
	console, gdb     bool
	repeat           int
	untilFail        bool
	faults           fault.Faults
	random           choose.Worlds
	build            buildFlags
	jobs             int
	part             choose.Part
	file             string
	variants         map[string]lab.Variant
	matching         []string
	failed           string
	affectedBy       string
	again            *runs.Failed // what was not as expected in the run of failed
	failFast, watch  bool
	repeatAttempt    bool // --again
	results          progress.Results
	on               client.Target
}

func (a *app) runCmd() *cobra.Command {
	f := &runFlags{}
	c := &cobra.Command{
		Use:   "run [CASE|FILE...]",
		Short: "boot kernels and run cases on them",
		Long: `Boot each kernel, run the cases, judge the results, and store the records.

A CASE is a name that "tokentest list cases" shows, the beginning of one up to
a /, or a pattern in which * stands for anything. A FILE is a case file, - the
standard input; it replaces a built-in group of its name. Without either the
default suite runs; --full runs everything.

A kernel is a path to a bzImage or a PVH vmlinux, deb:SUITE|VERSION[:FLAVOUR],
oci:IMAGE, host, tree:DIR (a built tree), or is built: src:VERSION, git:DIR#REV,
with +PATCHES. The topic references has all forms.`,
		Example: `  tokentest run --kernel deb:6.12
  tokentest run --kernel ~/linux/` + arch.Default.Image.Path + ` 'map_create/any/owner/*'
  tokentest run --failed
  tokentest run repro.txt --kernel deb:7.3 --kernel deb:6.12
  git bisect run tokentest run --bisect --kernel git:.#HEAD repro.txt`,
		RunE: func(c *cobra.Command, args []string) error {
			if f.resume != "" && a.begun == nil {
				return a.resumeRun(c, f, args)
			}
			if f.repeatAttempt && a.begun == nil {
				if resumed, err := a.startAgain(c, f); resumed || err != nil {
					return err
				}
			}
			if err := cli.Apply(c.Flags(), a.overrides); err != nil {
				return err
			}
			if f.watch && a.begun == nil && !a.watching {
				return a.watchRun(c, f, args)
			}
			f.random.Given, f.random.Asked = c.Flags().Changed("seed"), c.Flags().Changed("random")
			return a.run(c, args, f)
		},
	}
	fl := c.Flags()
	fl.StringArrayVarP(&f.kernels, "kernel", "k", []string{defaultKernel}, "boot the kernel `REF`; may be repeated")
	fl.BoolVar(&f.full, "full", false, "run every case, not only the default suite")
	fl.StringVar(&f.accel, "accel", "auto",
		"run guests on `HOW`: auto, kvm or tcg; auto takes KVM if a test boot succeeds")
	fl.StringVarP(&f.out, "out", "o", "", "keep the records in `DIR`, which must not exist")
	fl.StringVarP(&f.format, "format", "f", "", formatHelp())
	fl.StringVar(&f.baseline, "baseline", "", "compare with the baseline `FILE`: exit code 1 is for new failures alone")
	fatalFlag(c, &f.fatal)
	fl.StringVar(&f.qemu, "qemu", "", "run `PROGRAM` as QEMU (default: that of the kernel's architecture)")
	fl.DurationVar(&f.deadline, "deadline", 0,
		"end a machine after `TIME`, such as 90s (default 5m, 8 times that without KVM, or 32 MiB of console)")
	fl.IntVar(&f.batch, "batch", 0, "send `N` cases at a time; 1 announces every one before it runs (default 256)")
	fl.BoolVar(&f.offline, "offline", false, "do not use the network")
	fl.BoolVar(&f.refresh, "refresh", false, "ask the mirror again, whatever is cached")
	fl.StringArrayVar(&f.allow, "allow", nil, "do not count the kernel's reports that `FILE` lists; may be repeated")
	listFlags(fl, &f.lists)
	emptyFlag(fl, &f.allowEmpty)
	fl.StringArrayVar(&f.append, "append", nil, "add `ARG` to the kernel's command line; may be repeated")
	fl.BoolVar(&a.bisecting, bisectName, false,
		`use the exit codes of "git bisect run": 0 good, 1 bad (a case failed), 125 no verdict on the kernel, 128 stop`)
	fl.StringVar(&a.exit, "exit", choose.ExitVerdict,
		"let the exit code tell `WHAT`: the verdict, or record: 0 if the run is complete, 3 if not")
	fl.IntVarP(&f.jobs, "jobs", "j", 0, "run `N` machines at a time (default: as many as processors and memory allow)")
	f.build.register(fl)
	fl.BoolVar(&f.console, "console", false, "show the kernels' log on stderr")
	fl.BoolVar(&f.gdb, "gdb", false, "have each machine wait for a debugger, and print the line that attaches one")
	fl.StringVar(&f.isolate, "isolate", "",
		"give each `WHAT` a machine of its own: case or group; they start from a snapshot")
	fl.IntVar(&f.repeat, "repeat", 0, "run everything `N` times, and count what varies")
	fl.BoolVar(&f.untilFail, "until-fail", false,
		"run everything until something fails, at most --repeat times")
	entryFlag(fl, &f.boot)
	snapshotFlag(fl, &f.snapshot, lab.AutoRestore)
	fl.StringVar(&f.resume, "resume", "", "complete the interrupted or killed run in the directory `RUN`")
	fl.BoolVar(&f.repeatAttempt, "again", false,
		"complete the run that an earlier attempt began in --out, if there is one")
	fl.BoolVarP(&f.results.Verbose, "verbose", "v", false, "print each case as it ends")
	fl.IntVar(&f.results.Slowest, "slowest", 0, "list the `N` slowest cases after the run")
	fl.BoolVar(&f.failFast, "failfast", false, "stop at the first failure; machines then boot, and start from no snapshot")
	fl.StringVar(&f.failed, "failed", "", "run what was not as expected in `RUN` (default the newest run), on its kernels")
	fl.Lookup("failed").NoOptDefVal = runs.Latest
	fl.StringVar(&f.affectedBy, "affected-by", "", "run the cases that execute what the patch `FILE` changes")
	fl.Var(&f.on, "on", onHelp)
	fl.BoolVar(&f.watch, "watch", false, "run again when the kernel's image or a case file changes, until Ctrl-C")
	f.registerPlan(fl)
	cli.Groups(c, runGroups)
	faultFlags(fl, &f.faults)
	randomFlags(fl, &f.random)
	return c
}

const onHelp = "run on the farm at `URL`, which farm serve prints, or on local:N: N workers of this host"

// faultFlags registers the hidden flags with which scripts/canary.sh damages the harness.
func faultFlags(fl *pflag.FlagSet, f *fault.Faults) {
	fl.StringVar(&f.Rule, "lie-rule", "", "")
	fl.IntVar(&f.Corrupt, "lie-corrupt", 0, "")
	fl.StringVar(&f.Channel, "lie-channel", "", "")
	for _, name := range []string{"lie-rule", "lie-corrupt", "lie-channel"} {
		fl.MarkHidden(name)
	}
}

// emptyFlag registers --allow-empty.
func emptyFlag(fl *pflag.FlagSet, to *bool) {
	fl.BoolVar(to, "allow-empty", false,
		"exit with 0 also if nothing was decided, because every selected case is skipped")
}

const (
	bisectName = "bisect"
	bisectFlag = "--" + bisectName
)

func checkAccel(how string) error {
	if how != "auto" && how != "kvm" && how != "tcg" {
		return usage.Errorf("--accel %q: must be auto, kvm or tcg", how)
	}
	return nil
}

// check refuses values that a flag's type does not exclude.
func (f *runFlags) check(c *cobra.Command, a *app) error {
	if err := checkAccel(f.accel); err != nil {
		return err
	}
	if f.isolate != "" && f.isolate != "case" && f.isolate != "group" {
		return usage.Errorf("--isolate %q: must be case or group", f.isolate)
	}
	if err := f.on.Check(cli.Given(c, client.Refused...)); err != nil {
		return err
	}
	return errors.Join(choose.CheckExit(a.exit, a.bisecting || f.baseline != ""), f.random.Check())
}

func (a *app) run(c *cobra.Command, args []string, f *runFlags) error {
	args, err := f.readFile(c, args)
	if err != nil {
		return err
	}
	format, err := a.format(f.format)
	if err != nil {
		return err
	}
	if err := f.check(c, a); err != nil {
		return err
	}
	if f.random.Guided != "" {
		return a.guided(c, f, args)
	}
	p, lists, stdin, err := f.plan(c, a, args)
	if p == nil || err != nil {
		return err
	}
	l, err := f.lab(lists)
	if err != nil {
		return err
	}
	l.Flags = cli.Given(c, repeatFlags...)
	a.unused(cli.Given(c, buildNames...), f.kernels)
	if a.recall != nil {
		l.Dir = a.resume
		f.random.Place(l.Dir, p)
		return errors.Join(choose.KeepStdin(l.Dir, p, stdin), a.recall(l, p))
	}
	base, err := a.readBaseline(f)
	if err != nil {
		return err
	}
	if l.CacheDir, err = a.makeCache(); err != nil {
		return err
	}
	l.Log, l.Agent = a.note, a.agent
	a.watch(l, f.console, f.gdb)
	if err := f.on.CheckHost(l, p.Kernels...); err != nil {
		return err
	}
	line := farm.RedactAll(f.random.Line(a.commandLine()))
	if err := a.begin(l, f, line); err != nil {
		return err
	}
	a.keep(c.Context())
	if err := errors.Join(choose.KeepStdin(l.Dir, p, stdin), f.random.Keep(l.Dir, p, a.note)); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(c.Context())
	defer stop(nil)
	if text := p.Announce(c.Context(), f.repeat); text != "" {
		a.note("%s", text)
	}
	show := a.progress(ctx, l)
	if f.failFast && a.begun == nil {
		f.results.Stop = func() { stop(lab.ErrFailFast) }
	}
	f.results.Follow(l)
	r, err := f.on.Run(ctx, l, p, append([]string{self}, line...), stdin, f.random.Texts)
	show.End()
	if errors.Is(err, lab.ErrStale) {
		return fmt.Errorf("--resume %s: %w", l.Dir, err)
	}
	if err := a.conclude(ctx, format, r, err); err != nil {
		return err
	}
	err = errors.Join(f.results.WriteSlowest(a.stderr), a.after(c.Context(), l, p, r, base, f))
	a.noteResume(format, r)
	return err
}

// plan makes the plan of a run, or nil if there is nothing to run: --failed is of a run in which all
// was as expected. stdin is the text of the case file -.
func (f *runFlags) plan(c *cobra.Command, a *app, args []string) (p *plan.Plan, lists []result.ListEntry,
	stdin string, err error,
) {
	ctx := c.Context()
	if f.failed != "" {
		if args, err = f.chooseFailed(c, a, args); err != nil {
			return nil, nil, "", err
		}
		if f.again == nil {
			a.note("all was as expected in %s: nothing to run", f.failed)
			return nil, nil, "", nil
		}
	}
	f.random.NewSeed()
	if stdin, err = choose.ReadStdin(a.stdin, a.resume, args); err != nil {
		return nil, nil, "", err
	}
	r := f.request(args)
	r.Stdin = stdin
	if p, err = a.expand(ctx, r); err != nil {
		return nil, nil, "", err
	}
	if lists, err = f.lists.Apply(ctx, p, a.stderr); err == nil && f.again != nil {
		err = p.Narrow(f.again.On(p.Kernels))
	}
	if err == nil && f.affectedBy != "" {
		o := cover.Options{Args: args, Full: f.full, Fetch: true}
		err = a.tracing(&o, lab.Lab{Offline: f.offline, Append: f.append}, func() error {
			return cover.Narrow(ctx, p, o, f.affectedBy)
		})
	}
	if err == nil {
		p, err = f.part.Cut(p, a.note)
	}
	return p, lists, stdin, err
}

// repeatFlags are the flags that a repetition of a case needs: the kernel may boot, or be judged, in
// another way without them. --append and --expect are with the kernel's and the case's record.
var repeatFlags = []string{"accel", "qemu", "deadline", "boot", "allow", "config", "fragment", "without", "make",
	"file", "isolate", "batch", "cache", "lie-rule", "lie-corrupt", "lie-channel"}

// runGroups are the headings of the flags in the help of run.
var runGroups = []cli.Group{
	{Title: "What to run", Flags: []string{"kernel", "arch", "full", "regexp", "failed", "affected-by", "denylist",
		"allowlist", "expect", "strict-lists", "file", "shard", "durations", "random", "seed", "guided", "vary", "bisect"}},
	{Title: "How to run it", Flags: []string{"accel", "append", "jobs", "deadline", "batch", "isolate", "repeat",
		"on", "until-fail", "failfast", "watch", "resume", "again", "snapshot", "boot", "qemu", "offline", "refresh"}},
	{Title: "What to print and keep", Flags: []string{"format", "out", "verbose", "slowest", "console", "gdb"}},
	{Title: "What counts", Flags: []string{"exit", "allow", "allow-empty", "baseline", "fail-on"}},
	{Title: "Kernels that are built", Flags: buildNames},
}

// lab returns a lab with the settings of the flags, without its directories.
func (f *runFlags) lab(lists []result.ListEntry) (l *lab.Lab, err error) {
	l = &lab.Lab{QEMU: f.qemu, Accel: f.accel, Deadline: f.deadline,
		Append: f.append, Offline: f.offline, Refresh: f.refresh, Snapshot: f.snapshot,
		Isolate: lab.Isolation(f.isolate), Repeat: f.repeat, UntilFail: f.untilFail,
		Jobs: f.jobs, Entry: f.boot, Variants: f.variants, Known: f.random.Known, Lists: lists, AllowEmpty: f.allowEmpty}
	switch {
	case l.Snapshot != lab.AutoRestore:
	case f.failFast:
		l.Snapshot = lab.NeverRestore // a failure of a machine that was restored is not certain
	case f.isolate != "":
		l.Snapshot = lab.AlwaysRestore // most machines can start from a snapshot of the first
	}
	if l.Build, err = f.build.Options(); err != nil {
		return nil, err
	}
	if l.Allow, err = scan.ReadAllow(f.allow); err != nil {
		return nil, err
	}
	return l, f.faults.Inject(l)
}

// progress makes the lab show its progress. A terminal gets the live view, unless NO_COLOR or
// CI is set.
func (a *app) progress(ctx context.Context, l *lab.Lab) *progress.Display {
	if a.quiet {
		return nil
	}
	return progress.Show(ctx, l, a.stderr, a.live())
}

// live reports whether the standard error can show lines that change.
func (a *app) live() bool {
	_, tty := terminal(a.stderr)
	_, ci := os.LookupEnv("CI")
	_, plain := os.LookupEnv("NO_COLOR")
	return tty && !ci && !plain
}

// after does the work after the report of a run.
func (a *app) after(
	ctx context.Context, l *lab.Lab, p *plan.Plan, r *result.Run, base *result.Side, f *runFlags,
) error {
	switch {
	case base != nil:
		return a.compareBaseline(base, r, f)
	case f.random.Count > 0:
		return shrink.Run(ctx, r, shrink.Options{Lab: l, Cases: p.Cases, Drawn: f.random.Texts, Log: a.note,
			Say: func(format string, args ...any) { fmt.Fprintln(a.stderr, a.paste.In(fmt.Sprintf(format, args...))) }})
	}
	return nil
}

// conclude prints the report of a run, also if the run could not be stored. If no kernel could
// be tried, it prints only the reasons and removes the directory.
func (a *app) conclude(ctx context.Context, format string, r *result.Run, stored error) error {
	switch {
	case a.bisecting:
		a.code = r.BisectCode()
	case a.exit == choose.ExitRecord:
		a.code = r.RecordCode()
	default:
		a.code = r.ExitCode()
	}
	why, tried := runs.Untried(r)
	if !tried && !r.Idle() {
		if a.resume != "" { // keep the records that the run has
			return errors.Join(why, stored)
		}
		return errors.Join(why, stored, os.RemoveAll(r.Dir))
	}
	if why != nil && format != "pretty" { // pretty prints it last
		for _, e := range flatten(why) {
			a.note("%v", e)
		}
	}
	if stored != nil {
		stored = fmt.Errorf("%w; name another directory with --out", stored)
	}
	if _, err := repro.OfRun(ctx, r); err != nil { // the verdict does not depend on it
		a.note("%v", err)
	}
	return errors.Join(a.write(format, r), stored)
}

// Environment variables: the format of reports, and who sends one to KCIDB.
const (
	formatVariable = "TOKENTEST_FORMAT"
	originVariable = "TOKENTEST_KCIDB_ORIGIN"
)

func formatHelp() string {
	return "print `FORMAT`: " + strings.Join(report.Formats(), ", ") + " (default pretty on a terminal, else ktap)"
}

func (a *app) format(name string) (string, error) {
	if env := os.Getenv(formatVariable); name == "" && env != "" {
		if !slices.Contains(report.Formats(), env) {
			return "", usage.Errorf("%s=%s: must be one of %s", formatVariable, env, strings.Join(report.Formats(), ", "))
		}
		name = env
	}
	if name == "" {
		name = "ktap"
		if _, tty := terminal(a.stdout); tty {
			name = "pretty"
		}
	}
	if !slices.Contains(report.Formats(), name) {
		return "", usage.Errorf("--format %q: must be one of %s", name, strings.Join(report.Formats(), ", "))
	}
	if origin := os.Getenv(originVariable); name == "kcidb" && origin != "" {
		if err := report.CheckOrigin(origin); err != nil {
			return "", usage.Errorf("%s=%w", originVariable, err)
		}
	}
	return name, nil
}

func (a *app) write(format string, r *result.Run) error {
	if path := os.Getenv("GITHUB_STEP_SUMMARY"); format == "github" && path != "" {
		r.Called = self
		if err := summarize(path, r); err != nil {
			return err
		}
	}
	r.Called = self
	if format == "html" {
		a.long("writing the page", r.Len())
		defer a.step("")
	}
	o := a.look()
	o.To = receivers.Of(format, r, a.tree, a.cacheDir, a.note)
	return report.Write(format, r, a.stdout, o)
}

// summarize adds the run to the summary of a job on GitHub.
func summarize(path string, r *result.Run) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write the job's summary: %w", err)
	}
	return errors.Join(report.Write("markdown", r, f, report.Options{}), f.Close())
}

// expand makes the plan of a command, and sets the memory limit that the plan needs.
func (a *app) expand(ctx context.Context, r plan.Request) (p *plan.Plan, err error) {
	if r.Stdin == "" {
		if r.Stdin, err = choose.ReadStdin(a.stdin, a.resume, r.Args); err != nil {
			return nil, err
		}
	}
	p, err = plan.Load(ctx, r)
	if err == nil {
		debug.SetMemoryLimit(p.Memory())
	}
	return p, err
}

// request returns the request for a plan from the flags and arguments.
func (f *runFlags) request(args []string) plan.Request {
	r := plan.Request{Kernels: f.kernels, Args: args, Full: f.full, Batch: f.batch, Matching: f.matching,
		Seed: f.random.Seed}
	if f.random.Count > 0 {
		r.Extend = f.random.Draw
	}
	return r
}

// oneKernel is a request for cases on one kernel.
func oneKernel(ref string, args []string) plan.Request {
	return plan.Request{Kernels: []string{ref}, Args: args}
}
