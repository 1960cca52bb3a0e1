package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokentest/harness/choose"
	"tokentest/harness/cli"
	"tokentest/harness/result"
	"tokentest/harness/runs"
)

// chooseFailed reads the run of --failed, and returns the cases that the plan must be made of. A run
// of which everything was as expected leaves f.again nil. An argument that is the directory of a run
// is the one that --failed is about.
func (f *runFlags) chooseFailed(c *cobra.Command, a *app, args []string) ([]string, error) {
	var err error
	if f.failed, args, err = choose.FailedRun(f.failed, args); err != nil {
		return nil, err
	}
	r, err := a.loadParts(c.Context(), &result.Loader{}, []string{f.failed})
	if err != nil {
		return nil, err
	}
	f.failed = r.Dir
	if f.again = runs.FindFailed(r); f.again == nil {
		return args, nil
	}
	if !c.Flags().Changed("kernel") {
		f.kernels = f.again.Kernels
	}
	if len(args) == 0 {
		args, f.full = f.again.Args, f.full || f.again.Full
	}
	names, err := cli.Again(c, f.again.Flags)
	if len(names) > 0 {
		a.note("as %s was run: %s", f.failed, strings.Join(names, " "))
	}
	return args, err
}

// listFlags registers the flags of the lists of cases.
func listFlags(fl *pflag.FlagSet, l *choose.Lists) {
	fl.StringArrayVar(&l.Deny, "denylist", nil,
		"do not run the cases that `FILE` lists, each with a reason; may be repeated")
	fl.StringArrayVar(&l.Allow, "allowlist", nil, "run only the cases that `FILE` lists; may be repeated")
	fl.StringArrayVar(&l.Expect, "expect", nil,
		"the cases that `FILE` lists are known to fail, each with its errno; may be repeated")
	fl.BoolVar(&l.Strict, "strict-lists", false, "an entry of these lists that matches no case is an error, not a warning")
}

// randomFlags registers the flags of the random worlds.
func randomFlags(fl *pflag.FlagSet, w *choose.Worlds) {
	fl.IntVar(&w.Count, "random", 0, "generate `N` random worlds, and shrink what a kernel and the oracle disagree on")
	fl.Uint64Var(&w.Seed, "seed", 0, "generate the worlds of the seed `S` (default a new one, which is printed)")
	fl.StringVar(&w.Guided, "guided", "",
		"with --random, keep in `DIR` the worlds that make the kernel execute something new, and vary them (TCG only)")
	fl.IntVar(&w.Vary, "vary", 50, "with --guided, let `N` of 100 worlds be variations of those in the directory")
}
