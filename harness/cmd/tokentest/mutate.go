package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/harness/farm/client"
	"tokentest/harness/lab"
	"tokentest/harness/mutate"
	"tokentest/harness/result"
	"tokentest/harness/testlog"
	"tokentest/harness/usage"
)

func (a *app) mutateCmd() *cobra.Command {
	o, l, on, format, tree, patch := mutate.Options{}, lab.Lab{}, client.Target{}, "pretty", "", ""
	f, parse := &machineFlags{}, testlog.Auto
	c := &cobra.Command{
		Use:   "mutate [CASE|FILE...] | -- PROGRAM [ARG...]",
		Short: "change one decision of the kernel at a time, and say which changes the cases notice",
		Long: `Change one instruction of the kernel at a time, and run the cases that execute it: a
conditional jump that is always or never taken, a call whose result is 0 or 1, another
capability, another errno. The change is made in the stream from which a saved machine
starts (TCG only). Cases that need a machine of their own are left out.
A program runs instead of cases, as with exec: its exit status, and the tests in its
output, say what it notices.
The exit code is 1 if a change survives that --expect does not list. "tokentest help
measure" has more.`,
		Example: "  tokentest mutate --gates --functions 'bpf_token_*' -k deb:6.12 --fetch-symbols\n" +
			"  tokentest mutate --sample 300 --results mutants.jsonl\n" +
			"  tokentest mutate --functions 'bpf_token_*' --with token.bpf.o -- ./token_test",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if n := c.ArgsLenAtDash(); n >= 0 {
				p := mutate.Program{Format: parse, MemMiB: f.mem}
				if p.Options, err = f.program.For(args[n:]); err != nil {
					return err
				}
				o.Program, args = &p, args[:n]
			}
			if patch != "" {
				return mutate.WriteSwitch(tree, patch, o.Cover.Units, &o.Selection, a.note)
			}
			o.Cover.Args = args
			return a.mutate(c.Context(), o, l, &on, format, tree)
		},
	}
	fl := c.Flags()
	coverFlags(fl, &o.Cover, &l)
	fl.StringArrayVar(&o.Selection.Functions, "functions", nil, "change only functions that match `PATTERN`")
	fl.BoolVar(&o.Selection.Gates, "gates", false, "change only permission checks")
	fl.IntVar(&o.Selection.Sample, "sample", 0, "change only `N` places, chosen at random; 0 means all")
	fl.Uint64Var(&o.Selection.Seed, "seed", 1, "choose the sample with the seed `S`")
	fl.StringVar(&o.ExpectFile, "expect", "", "take the survivors that `FILE` lists as judged")
	fl.StringVar(&o.PatchFile, "patch", "", "change only lines that the patch `FILE` changes: is what it adds tested?")
	fl.StringVar(&tree, "source", "", "show source lines of the kernel's tree `DIR`")
	fl.StringVar(&patch, "source-patch", "", "only write one patch to `FILE` that changes the C source of --source")
	fl.IntVar(&o.Jobs, "jobs", 0, "run `N` machines at a time; 0 means one for each processor")
	fl.Var(&on, "on", onHelp)
	fl.StringVar(&o.Results, "results", "", "store each outcome in `FILE`, and take from it those that are there")
	fl.StringVar(&format, "format", format, "print the outcomes as `FORMAT`: pretty or json")
	f.registerProgram(fl)
	fl.StringVar(&parse, "parse", parse, "read the program's output as `FORMAT`: "+strings.Join(testlog.Formats(), ", "))
	return c
}

func (a *app) mutate(
	ctx context.Context, o mutate.Options, l lab.Lab, on *client.Target, format, tree string,
) error {
	if format != "pretty" && format != "json" {
		return usage.Errorf("--format %s: must be pretty or json", format)
	}
	a.keep(ctx)
	f, err := on.Open(ctx, client.Use{CacheDir: a.cacheDir, QEMU: l.QEMU, Name: "mutants", Log: a.note})
	if err != nil {
		return err
	}
	defer f.Close(ctx)
	if f != nil {
		o.Elsewhere = f.Mutants
	}
	o.Each = mutate.Follow(a.note)
	return a.tracing(&o.Cover, l, func() error {
		list, err := mutate.Run(ctx, o)
		if mutate.Count(list).Of[mutate.Survived] > 0 {
			a.code = result.ExitDiffers
		}
		return errors.Join(err, mutate.Report(a.stdout, list, format, tree))
	})
}
