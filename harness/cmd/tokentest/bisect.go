package main

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokentest/harness/bisect"
	"tokentest/harness/cli"
	"tokentest/harness/farm"
	"tokentest/harness/farm/client"
	"tokentest/harness/lab"
	"tokentest/harness/usage"
)

// searchFlags are the flags that bisect and series share.
type searchFlags struct {
	q        bisect.Question
	build    buildFlags
	out      string
	accel    string
	boot     lab.Entry
	qemu     string
	deadline time.Duration
	offline  bool
	on       client.Target
}

func (f *searchFlags) register(fl *pflag.FlagSet) {
	fl.BoolVar(&f.q.Full, "full", false, "run every case, not only the default suite")
	fl.StringVarP(&f.out, "out", "o", "", "keep everything in `DIR`, which must not exist")
	fl.StringVar(&f.accel, "accel", "auto", "run guests on `HOW`: auto, kvm or tcg")
	entryFlag(fl, &f.boot)
	fl.StringVar(&f.qemu, "qemu", "", "run `PROGRAM` as QEMU (default: that of the kernel's architecture)")
	fl.DurationVar(&f.deadline, "deadline", 0, "end a machine after `TIME`")
	fl.BoolVar(&f.offline, "offline", false, "do not use the network")
	fl.Var(&f.on, "on", onHelp)
	f.build.register(fl)
}

func (f *searchFlags) check() error {
	return checkAccel(f.accel)
}

// options returns the options of a search from the flags, and the farm that they name.
func (f *searchFlags) options(ctx context.Context, a *app) (o bisect.Options, on *client.Farm, err error) {
	o = bisect.Options{Question: &f.q, Out: f.out, Kernel: a.kernelOptions(), Log: a.note,
		Args: farm.RedactAll(append([]string{self}, os.Args[1:]...))}
	o.Kernel.Offline = f.offline
	if o.Kernel.Build, err = f.build.Options(); err != nil {
		return o, nil, err
	}
	o.Lab = lab.Lab{QEMU: f.qemu, Accel: f.accel, Entry: f.boot, Deadline: f.deadline, Offline: f.offline, Log: a.noteOnce}
	o.Lab.Agent = a.agent
	if o.Lab.CacheDir, err = a.makeCache(); err != nil {
		return o, nil, err
	}
	on, err = f.on.Open(ctx, client.Use{CacheDir: o.Lab.CacheDir, QEMU: f.qemu, Name: "a search", Log: a.note})
	if on != nil {
		o.Elsewhere, o.Kernel.Elsewhere = on, on.Build
	}
	return o, on, err
}

type bisectFlags struct {
	searchFlags
	resume      string
	firstParent bool
}

func (a *app) bisectCmd() *cobra.Command {
	f := &bisectFlags{}
	c := &cobra.Command{
		Use:   "bisect --good REF --bad REF [CASE|FILE...]",
		Short: "find the commit, patch or release that changed a decision",
		Long: `Search for the first kernel whose decisions differ from the good one's.

If both ends are git:DIR#REV or src:VERSION of one tree, it searches the commits
between them, and with +PATCHES after the bad end the patches of the series.
Commits that do not compile or boot are skipped, and the same image runs only
once. If both ends are deb: references, it searches the packaged releases
between them, and builds nothing.

It looks for failures of the named cases. Without cases, or with --ends, it boots
both ends first to see what differs. Between releases it looks for the decisions
that the oracle expects to change. --as RUN takes the decisions of a stored run
for good ones. Nothing else counts: no other case, no splat.

Everything is kept in a directory; --resume DIR continues after an interruption.
Exit code 0 says that the culprit was found, 3 that it was not.`,
		Example: `  tokentest bisect --good git:~/linux#v6.12 --bad git:~/linux#HEAD 'map_create/any/owner/*'
  tokentest bisect --good src:6.12 --bad src:6.12+series.mbox token_create
  tokentest bisect --good deb:6.12 --bad deb:7.3 repro.txt`,
		RunE: func(c *cobra.Command, args []string) error {
			f.q.Patterns = args
			return a.bisect(c, f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.q.Good, "good", "", "known-good kernel `REF`")
	fl.StringVar(&f.q.Bad, "bad", "", "known-bad kernel `REF`")
	fl.StringVar(&f.q.When, "when", "any", "a kernel is bad when `ANY|ALL` of the cases are")
	fl.StringVar(&f.q.As, "as", "", "call a kernel good if its results match the stored `RUN`")
	fl.BoolVar(&f.q.Ends, "ends", false, "boot both ends first, and look for what they decide differently")
	fl.IntVar(&f.q.Repeat, "repeat", 1, "run each good kernel `N` times, for a failure that comes and goes")
	fl.BoolVar(&f.q.Every, "every", false, "between releases: try every version, not one of each release")
	fl.BoolVar(&f.firstParent, "first-parent", false, "follow only the first parent of merges")
	fl.StringVar(&f.resume, "resume", "", "continue the bisection in `DIR`")
	f.register(fl)
	return c
}

// searchRepeat are the flags that a repetition of a search needs beside its question.
var searchRepeat = []string{"first-parent", "accel", "boot", "qemu", "deadline", "objects", "cache", "agent"}

func (f *bisectFlags) check() error {
	switch {
	case f.resume != "" && (f.q.Good != "" || f.q.Bad != "" || len(f.q.Patterns) > 0 || f.out != ""):
		return usage.Errorf("--resume takes the question from its directory: leave out --good, --bad, --out and the cases")
	case f.resume == "" && (f.q.Good == "" || f.q.Bad == ""):
		return usage.Errorf("no ends: name both with --good REF and --bad REF")
	case f.q.When != "any" && f.q.When != "all":
		return usage.Errorf("--when %q: must be any or all", f.q.When)
	}
	return f.searchFlags.check()
}

func (a *app) bisect(c *cobra.Command, f *bisectFlags) error {
	ctx := c.Context()
	if err := f.check(); err != nil {
		return err
	}
	if f.resume == "" {
		f.q.Config, f.q.Fragments, f.q.Make, f.q.Without = f.build.Config, f.build.Fragments, f.build.Vars, f.build.Without
	} else {
		q, err := bisect.ReadQuestion(f.resume)
		if err != nil {
			return err
		}
		f.q = *q
		f.build.Config, f.build.Fragments, f.build.Vars, f.build.Without = q.Config, q.Fragments, q.Make, q.Without
	}
	o, on, err := f.options(ctx, a)
	if err != nil {
		return err
	}
	defer on.Close(ctx)
	o.Resume, o.FirstParent, o.Flags = f.resume, f.firstParent, cli.Given(c, searchRepeat...)
	a.keep(ctx)
	return a.search(bisect.Run(ctx, o))
}

// search runs a search and prints its result.
func (a *app) search(r *bisect.Report, err error) error {
	if err != nil {
		return err
	}
	a.code = r.Code
	if _, err := io.WriteString(a.stdout, a.paste.In(r.Text)); err != nil {
		return err
	}
	a.note("everything is in %s", r.Dir)
	return nil
}

func (a *app) seriesCmd() *cobra.Command {
	f, base := &searchFlags{}, ""
	f.q.When, f.q.Repeat = "any", 1
	c := &cobra.Command{
		Use:   "series PATCHES [CASE|FILE...]",
		Short: "build and test after each patch of a series",
		Long: `Apply a series (a mailbox as b4 writes it, or a directory of format-patch files)
on a base, and build and test the base and every patch of it, as robots do: the
series must be bisectable. The table shows the outcome of each, the decisions that it
changed, and its lines that no case executes. Patches are applied in a separate tree.

Exit code 0 says that every patch builds, boots and passes; 1 that some patch does
not; 3 that the host, or the base, is at fault.`,
		Example: "  tokentest series x.mbox --base git:~/linux#v6.12\n" +
			"  tokentest series patches/ --base src:6.12 token_create map_create",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.q.Patterns = args[1:]
			return a.series(c.Context(), f, base, args[0])
		},
	}
	c.Flags().StringVar(&base, "base", "", "apply it on `REF`: git:DIR#REV, src:VERSION or tree:DIR")
	f.register(c.Flags())
	return c
}

func (a *app) series(ctx context.Context, f *searchFlags, base, patches string) error {
	if base == "" {
		return usage.Errorf("no base: name what the series applies to with --base REF")
	}
	if scheme, _, _ := strings.Cut(base, ":"); scheme != "git" && scheme != "src" && scheme != "tree" {
		return usage.Errorf("--base %s: must be git:DIR#REV, src:VERSION or tree:DIR, to apply %s on", base, patches)
	}
	if err := f.check(); err != nil {
		return err
	}
	f.q.Good, f.q.Bad = base, base+"+"+patches
	f.q.Config, f.q.Fragments, f.q.Make, f.q.Without = f.build.Config, f.build.Fragments, f.build.Vars, f.build.Without
	o, on, err := f.options(ctx, a)
	if err != nil {
		return err
	}
	defer on.Close(ctx)
	a.keep(ctx)
	return a.search(bisect.Series(ctx, o))
}
