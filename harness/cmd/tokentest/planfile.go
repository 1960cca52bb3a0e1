package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"

	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/usage"
)

// readPlanFile reads a plan file. The default one may be absent; then it returns nil.
func readPlanFile(name string) (*plan.File, error) {
	path := cmp.Or(name, plan.FileName)
	text, err := os.ReadFile(path)
	switch {
	case name == "" && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, usage.Errorf("read the plan: %w", err)
	}
	return plan.ParseFile(path, string(text))
}

// adopt takes the values of the file that the command line does not set.
func (f *runFlags) adopt(p *plan.File, fl *pflag.FlagSet, args []string) ([]string, error) {
	given := func(flag string) bool { return fl.Lookup(flag) != nil && fl.Changed(flag) }
	if len(p.Kernels) > 0 && !given("kernel") {
		if err := f.vary(p.Variants(p.Kernels)); err != nil {
			return nil, err
		}
	}
	if p.Full && !given("full") {
		f.full = true
	}
	if p.Accel != "" && !given("accel") {
		f.accel = p.Accel
	}
	if p.Jobs > 0 && !given("jobs") {
		f.jobs = p.Jobs
	}
	if len(p.Append) > 0 && !given("append") {
		f.append = p.Append
	}
	if p.Deadline != "" && !given("deadline") {
		if err := fl.Set("deadline", p.Deadline); err != nil && fl.Lookup("deadline") != nil {
			return nil, usage.Errorf("deadline = %q: must be a time such as 90s", p.Deadline)
		}
	}
	if len(args) == 0 {
		args = p.Cases
	}
	return args, nil
}

// registerPlan registers the flags for the plan file and its shards.
func (f *runFlags) registerPlan(fl *pflag.FlagSet) {
	fl.StringVar(&f.file, "file", "",
		"take kernels, cases and more from `FILE` where no flag says otherwise (default tokentest.toml, if it is there)")
	fl.StringVar(&f.shard, "shard", "",
		"do the part `I/N` of the plan; auto takes it from the CI system's variables, auto/N if they do not say N")
	fl.StringVar(&f.durations, "durations", "",
		"cut the parts by what kernels took in the stored `RUN`, the same for each part")
}

// readFile reads the plan file and takes its values.
func (f *runFlags) readFile(fl *pflag.FlagSet, args []string) ([]string, error) {
	p, err := readPlanFile(f.file)
	if p == nil || err != nil {
		return args, err
	}
	return f.adopt(p, fl, args)
}

// vary returns the kernels, each with the configuration to build it with.
func (f *runFlags) vary(list []plan.Variant) error {
	f.kernels, f.variants = nil, map[string]lab.Variant{}
	for _, v := range list {
		f.kernels = append(f.kernels, v.Label)
		if v.Config == nil {
			continue
		}
		b := buildFlags{config: v.Config.Config, fragments: v.Config.Fragments, vars: v.Config.Make}
		o, err := b.options()
		if err != nil {
			return fmt.Errorf("config %s: %w", v.Config.Name, err)
		}
		f.variants[v.Label] = lab.Variant{Ref: v.Ref, Build: o}
	}
	return nil
}
