package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tokentest/harness/cli"
	"tokentest/harness/cover"
	"tokentest/harness/guided"
	"tokentest/harness/lab"
)

// guided searches for worlds that make the kernel execute something new.
func (a *app) guided(c *cobra.Command, f *runFlags, args []string) error {
	if err := guided.Check(cli.Named(c), f.kernels, args); err != nil {
		return err
	}
	w := &f.random
	w.NewSeed()
	a.note("guided: --seed %d", w.Seed)
	a.keep(c.Context())
	o := cover.Options{Kernel: f.kernels[0], Units: cover.Chosen, Fetch: true}
	l := lab.Lab{Offline: f.offline, Append: f.append}
	if err := f.faults.Inject(&l); err != nil {
		return err
	}
	return a.tracing(&o, l, func() error {
		r, err := guided.Run(c.Context(), guided.Options{Cover: o, Dir: w.Guided, Count: w.Count, Seed: w.Seed,
			Vary: w.Vary, Jobs: f.jobs, Log: a.note,
			Say: func(format string, args ...any) { fmt.Fprintln(a.stderr, a.paste.In(fmt.Sprintf(format, args...))) }})
		a.code = r.ExitCode()
		fmt.Fprint(a.stdout, r)
		return err
	})
}
