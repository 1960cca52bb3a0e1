package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/harness/kernel"
	"tokentest/harness/plan"
	"tokentest/harness/usage"
	"tokentest/harness/watch"
)

// watchRun runs the same command line again and again, each time that a file of it changes, until the
// user interrupts it. Its exit code is that of the last run.
func (a *app) watchRun(c *cobra.Command, f *runFlags, args []string) error {
	switch {
	case f.out != "" || f.resume != "":
		return usage.Errorf("--watch makes a new run each time: leave out --out and --resume")
	case slices.Contains(args, plan.Stdin):
		return usage.Errorf("--watch reads the case files again: name a file instead of -")
	}
	named, err := f.readFile(c, args)
	if err != nil {
		return err
	}
	line := slices.DeleteFunc(slices.Clone(a.commandLine()),
		func(s string) bool { return strings.HasPrefix(s, watchFlag) })
	names := f.watched(c.Context(), a, named)
	if len(names) == 0 {
		return usage.Errorf("--watch: nothing to watch: name a case file, or a kernel that is a file or a tree:")
	}
	err = watch.Repeat(c.Context(), names, a.note, func() {
		round := &app{stdin: a.stdin, stdout: a.stdout, stderr: a.stderr, watching: true}
		a.code = round.execute(c.Context(), line)
	})
	a.stopped = err == nil
	return err
}

const watchFlag = "--watch"

// watched lists the files whose change starts a run: case files, lists, the plan file, and kernels.
func (f *runFlags) watched(ctx context.Context, a *app, args []string) []string {
	names := slices.Concat(f.lists.Deny, f.lists.Allow, f.lists.Expect, f.allow)
	for _, arg := range args {
		if plan.IsFile(arg) {
			names = append(names, arg)
		}
	}
	if f.file != "" {
		names = append(names, f.file)
	}
	return append(names, watch.Images(ctx, f.kernels, kernel.Options{CacheDir: a.cacheDir, Offline: true})...)
}
