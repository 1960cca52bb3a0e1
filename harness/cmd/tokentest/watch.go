package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokentest/harness/kernel"
	"tokentest/harness/plan"
	"tokentest/harness/usage"
	"tokentest/harness/watch"
)

// watchQuiet is how long no file may change before a run begins.
const watchQuiet = 300 * time.Millisecond

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
	for c.Context().Err() == nil {
		files, err := watch.New(names...)
		if err != nil {
			return usage.Of(err)
		}
		round := &app{stdin: a.stdin, stdout: a.stdout, stderr: a.stderr, watching: true}
		a.code = round.execute(c.Context(), line)
		if c.Context().Err() == nil {
			a.note("waiting for a change of %s; Ctrl-C ends it", strings.Join(names, ", "))
		}
		name, err := files.Wait(c.Context(), watchQuiet)
		files.Close()
		if err == nil {
			a.note("%s has changed", name)
		} else if c.Context().Err() == nil {
			return err
		}
	}
	a.stopped = true
	return nil
}

const watchFlag = "--watch"

// watched lists the files whose change starts a run: case files, lists, the plan file, and kernels.
func (f *runFlags) watched(ctx context.Context, a *app, args []string) []string {
	names := slices.Concat(f.lists.deny, f.lists.allow, f.lists.expect, f.allow)
	for _, arg := range args {
		if plan.IsFile(arg) {
			names = append(names, arg)
		}
	}
	if f.file != "" {
		names = append(names, f.file)
	}
	for _, ref := range f.kernels {
		dir, isTree := strings.CutPrefix(ref, "tree:")
		if isTree && !kernel.IsBuilt(ref) {
			image := filepath.Join(dir, "arch", "x86", "boot", "bzImage")
			if k, err := kernel.Resolve(ctx, ref, kernel.Options{CacheDir: a.cacheDir, Offline: true}); err == nil {
				image = k.Image
			}
			names = append(names, image)
		} else if !strings.Contains(ref, ":") && ref != "host" {
			names = append(names, ref)
		}
	}
	return names
}
