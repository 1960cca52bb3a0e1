package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/pflag"

	"tokentest/cases"
	"tokentest/cases/draw"
	"tokentest/harness/plan"
	"tokentest/harness/usage"
)

// random is the part of a run with random worlds.
type random struct {
	worlds int
	seed   uint64
	given  bool              // --seed was given
	asked  bool              // --random was given
	texts  map[string]string // of the case files, by group
	known  []cases.Known     // kernel defects that a world can trigger
}

func (f *random) register(fl *pflag.FlagSet) {
	fl.IntVar(&f.worlds, "random", 0, "generate `N` random worlds, and shrink what a kernel and the oracle disagree on")
	fl.Uint64Var(&f.seed, "seed", 0, "generate the worlds of the seed `S` (default a new one, which is printed)")
}

func (f *random) check() error {
	switch {
	case f.worlds < 0 || f.asked && f.worlds == 0:
		return usage.Errorf("--random %d: must be at least 1", f.worlds)
	case f.given && f.worlds == 0:
		return usage.Errorf("--seed without --random: say how many worlds with --random")
	}
	return nil
}

// seeds chooses a seed if none was given.
func (f *random) seeds() {
	if f.worlds > 0 && !f.given {
		f.seed = uint64(rand.Uint32()) // short enough to be typed
	}
}

// draw adds the worlds to the corpus and returns their groups.
func (f *random) draw(ctx context.Context, c *cases.Corpus) (names []string, err error) {
	for _, g := range c.Groups {
		f.known = append(f.known, g.Known...)
	}
	names, f.texts, err = draw.Add(ctx, c, f.seed, f.worlds)
	return names, err
}

// keep writes each world into the run's directory as a case file that the user can run again,
// and prints the seed.
func (f *random) keep(a *app, dir string, p *plan.Plan) error {
	if f.worlds == 0 {
		return nil
	}
	a.note("random: %d worlds of --seed %d", f.worlds, f.seed)
	if err := os.MkdirAll(filepath.Join(dir, "random"), 0o755); err != nil {
		return fmt.Errorf("keep the random worlds: %w", err)
	}
	f.place(dir, p)
	for name, text := range f.texts {
		if err := os.WriteFile(p.Files[name], []byte(text), 0o644); err != nil {
			return fmt.Errorf("keep the random worlds: %w", err)
		}
	}
	return nil
}

// place stores in the plan where the files of the worlds are.
func (f *random) place(dir string, p *plan.Plan) {
	p.Files = maps.Clone(p.Files)
	if p.Files == nil {
		p.Files = map[string]string{}
	}
	for name := range f.texts {
		p.Files[name] = filepath.Join(dir, "random", name+".txt")
	}
}

// line is the command line for the records, with the seed.
func (f *random) line(args []string) []string {
	if f.worlds > 0 && !f.given {
		args = append(args, "--seed", strconv.FormatUint(f.seed, 10))
	}
	return args
}
