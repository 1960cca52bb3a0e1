package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokentest/harness/choose"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/usage"
)

// adopt takes the values of the file that the command line does not set.
func (f *runFlags) adopt(p *plan.File, fl *pflag.FlagSet, given map[string]bool, args []string) ([]string, error) {
	if !given["kernel"] && len(p.Kernels) > 0 {
		f.kernels = p.Kernels
	}
	if err := f.vary(p.Variants(f.kernels)); err != nil {
		return nil, err
	}
	for _, s := range p.Settings {
		if to := fl.Lookup(s.Flag); given[s.Flag] || to == nil || to.Annotations[ownMeaning] != nil {
			continue // of plan, which has fewer flags
		}
		for _, v := range s.Values {
			if err := fl.Set(s.Flag, v); err != nil {
				return nil, usage.Errorf("%s:%d: %s = %q: a wrong value: %w", p.Name, s.Line, s.Key, v, err)
			}
		}
	}
	if len(args) == 0 && f.failed == "" {
		args = p.Cases
	}
	return args, nil
}

// registerPlan registers the flags for the plan file and its shards.
func (f *runFlags) registerPlan(fl *pflag.FlagSet) {
	fl.StringVar(&f.file, "file", "",
		"take from `FILE` what no flag says (default tokentest.toml, if it is there); see tokentest help config")
	fl.StringArrayVar(&f.arch, "arch", nil, "take the deb: kernels that name no architecture on `ARCH`; may be repeated")
	fl.StringVar(&f.part.Shard, "shard", "",
		"do the part `I/N` of the plan, from 1/N to N/N; auto takes it from the CI system's variables, auto/N if they do "+
			"not say N; report merges the parts")
	fl.StringVar(&f.part.Durations, "durations", "",
		"cut the parts of --shard by what kernels took in the stored `RUN`, the same for each part")
	fl.StringArrayVarP(&f.matching, "regexp", "x", nil,
		"of the named cases, or of all, only those whose name matches the regular expression `REGEX`; may be repeated: "+
			"it must match one of them")
}

// ownMeaning marks a flag that takes nothing from a plan file: it is another one than run's of that name.
const ownMeaning = "own meaning"

// readFile reads the plan file and takes its values.
func (f *runFlags) readFile(c *cobra.Command, args []string) ([]string, error) {
	given := map[string]bool{}
	c.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = true })
	p, err := plan.ReadFile(f.file)
	if p != nil && err == nil {
		args, err = f.adopt(p, c.Flags(), given, args)
	}
	if err == nil && (given["arch"] || !given["kernel"]) {
		f.kernels, err = kernel.Cross(f.kernels, f.arch)
	}
	return args, cmp.Or(err, f.part.Check(given))
}

// vary returns the kernels, each with the configuration to build it with.
func (f *runFlags) vary(list []plan.Variant) error {
	f.kernels, f.variants = nil, map[string]lab.Variant{}
	for _, v := range list {
		f.kernels = append(f.kernels, v.Label)
		if v.Config == nil {
			continue
		}
		b := choose.Build{Config: v.Config.Config, Fragments: v.Config.Fragments, Vars: v.Config.Make}
		o, err := b.Options()
		if err != nil {
			return fmt.Errorf("config %s: %w", v.Config.Name, err)
		}
		f.variants[v.Label] = lab.Variant{Ref: v.Ref, Build: o}
	}
	return nil
}
