package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/hashicorp/go-multierror"
	"github.com/spf13/pflag"

	"tokentest/harness/lab"
	"tokentest/harness/usage"
)

// planFile is tokentest.toml: what a project runs when nothing is named.
type planFile struct {
	Kernels  []string     `toml:"kernels"`
	Cases    []string     `toml:"cases"`
	Full     bool         `toml:"full"`
	Accel    string       `toml:"accel"`
	Jobs     int          `toml:"jobs"`
	Deadline string       `toml:"deadline"`
	Append   []string     `toml:"append"`
	Configs  []fileConfig `toml:"config"`
}

// fileConfig is one configuration that the kernels which are built from source
// get: each is built with each.
type fileConfig struct {
	Name      string   `toml:"name"`
	Config    string   `toml:"config"`
	Fragments []string `toml:"fragments"`
	Make      []string `toml:"make"`
}

const planFileName = "tokentest.toml"

// readPlanFile reads a file; a default one that is not there is none. A key
// that is not known is a mistake, not a wish for later.
func readPlanFile(name string) (*planFile, error) {
	text, err := os.ReadFile(cmpOr(name, planFileName))
	if name == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	name = cmpOr(name, planFileName)
	if err != nil {
		return nil, usage.Errorf("read the plan: %w", err)
	}
	p := &planFile{}
	meta, err := toml.Decode(string(text), p)
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		return nil, usage.Errorf("%s:%d: %s", name, syntax.Position.Line, syntax.Message)
	}
	if err != nil {
		return nil, usage.Errorf("%s: %w", name, err)
	}
	var errs *multierror.Error
	for _, key := range meta.Undecoded() {
		errs = multierror.Append(errs, usage.Errorf("%s:%d: unknown key %s; there are kernels, cases, full, accel, jobs, deadline, append and [[config]] with name, config, fragments, make", name, lineOf(text, key), key))
	}
	if err := errs.ErrorOrNil(); err != nil {
		return nil, usage.Of(err)
	}
	return p, p.check(name)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// lineOf finds the line of a key.
func lineOf(text []byte, key toml.Key) int {
	last := key[len(key)-1]
	for i, line := range strings.Split(string(text), "\n") {
		word, _, ok := strings.Cut(line, "=")
		if ok && strings.TrimSpace(word) == last || strings.HasPrefix(strings.TrimSpace(line), "[") && strings.Trim(strings.TrimSpace(line), "[] ") == key.String() {
			return i + 1
		}
	}
	return 0
}

func (p *planFile) check(name string) error {
	var names []string
	for i, c := range p.Configs {
		switch {
		case c.Name == "" || strings.ContainsAny(c.Name, " @/"):
			return usage.Errorf("%s: config %d: name %q: want a word", name, i+1, c.Name)
		case slices.Contains(names, c.Name):
			return usage.Errorf("%s: two configs are called %s", name, c.Name)
		}
		names = append(names, c.Name)
	}
	if p.Jobs < 0 {
		return usage.Errorf("%s: jobs = %d: want at least 1", name, p.Jobs)
	}
	return nil
}

// adopt takes what the file says where the command line says nothing. Paths
// in the file are seen from where it is.
func (f *runFlags) adopt(p *planFile, dir string, fl *pflag.FlagSet, args []string) ([]string, error) {
	given := func(flag string) bool { return fl.Lookup(flag) != nil && fl.Changed(flag) }
	if len(p.Kernels) > 0 && !given("kernel") {
		f.kernels = p.Kernels
		if err := f.vary(p.Configs, dir); err != nil {
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
			return nil, usage.Errorf("deadline = %q: want a time such as 90s", p.Deadline)
		}
	}
	if len(args) > 0 {
		return args, nil
	}
	for _, c := range p.Cases {
		if strings.HasSuffix(c, ".txt") && !filepath.IsAbs(c) {
			c = filepath.Join(dir, c)
		}
		args = append(args, c)
	}
	return args, nil
}

// registerPlan registers what chooses among a plan.
func (f *runFlags) registerPlan(fl *pflag.FlagSet) {
	fl.StringVar(&f.file, "file", "", "take kernels, cases and more from `FILE` where no flag says otherwise (default tokentest.toml, if it is there)")
	fl.StringVar(&f.shard, "shard", "", "do the part `I/N` of the plan; auto takes it from the CI system's variables, auto/N where it tells no N")
	fl.StringVar(&f.durations, "durations", "", "cut the parts by what kernels took in the stored `RUN`, the same for each part")
}

// readFile adopts what the plan's file says.
func (f *runFlags) readFile(fl *pflag.FlagSet, args []string) ([]string, error) {
	p, err := readPlanFile(f.file)
	if p == nil || err != nil {
		return args, err
	}
	return f.adopt(p, filepath.Dir(f.file), fl, args)
}

// vary builds each kernel that comes from source with each configuration.
func (f *runFlags) vary(configs []fileConfig, dir string) error {
	if len(configs) == 0 {
		return nil
	}
	var out []string
	f.variants = map[string]lab.Variant{}
	for _, ref := range f.kernels {
		if !strings.HasPrefix(ref, "src:") && !strings.HasPrefix(ref, "git:") {
			out = append(out, ref)
			continue
		}
		for _, c := range configs {
			b := buildFlags{vars: c.Make}
			if c.Config != "" {
				b.config = filepath.Join(dir, c.Config)
			}
			for _, name := range c.Fragments {
				if strings.ContainsAny(name, "./") && !filepath.IsAbs(name) {
					name = filepath.Join(dir, name)
				}
				b.fragments = append(b.fragments, name)
			}
			o, err := b.options()
			if err != nil {
				return fmt.Errorf("config %s: %w", c.Name, err)
			}
			label := ref + "@" + c.Name
			f.variants[label] = lab.Variant{Ref: ref, Build: o}
			out = append(out, label)
		}
	}
	f.kernels = out
	return nil
}
