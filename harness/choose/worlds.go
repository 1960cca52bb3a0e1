package choose

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"tokentest/cases"
	"tokentest/cases/draw"
	"tokentest/harness/count"
	"tokentest/harness/plan"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

// Worlds are the random worlds of a run.
type Worlds struct {
	Count int    // how many; 0 is none
	Seed  uint64 // which; NewSeed chooses one unless Given
	Given bool   // the user gave Seed
	Asked bool   // the user gave Count

	Guided string // a directory for a guided search; "" is none
	Vary   int    // the percentage of its worlds that are variations

	Texts map[string]string // set by Draw: the case files, by group
	Known []cases.Known     // set by Draw: kernel defects that a world can trigger
}

// Check refuses a number and a seed that do not fit, with a *usage.Error.
func (w *Worlds) Check() error {
	switch {
	case w.Count < 0 || w.Asked && w.Count == 0:
		return usage.Errorf("--random %d: must be at least 1", w.Count)
	case w.Given && w.Count == 0:
		return usage.Errorf("--seed without --random: say how many worlds with --random")
	case w.Guided != "" && w.Count == 0:
		return usage.Errorf("--guided without --random: say how many worlds to try with --random")
	case w.Vary < 0 || w.Vary > 100:
		return usage.Errorf("--vary %d: must be from 0 to 100", w.Vary)
	}
	return nil
}

// NewSeed chooses a seed if none was given.
func (w *Worlds) NewSeed() {
	if w.Count > 0 && !w.Given {
		w.Seed = uint64(rand.Uint32()) // short enough to be typed
	}
}

// Draw adds the worlds to the corpus and returns their groups.
func (w *Worlds) Draw(ctx context.Context, c *cases.Corpus) (names []string, err error) {
	for _, g := range c.Groups {
		w.Known = append(w.Known, g.Known...)
	}
	names, w.Texts, err = draw.Add(ctx, c, w.Seed, w.Count)
	return names, err
}

// Keep writes each world into the run's directory as a case file that the user can run again, and notes the seed.
func (w *Worlds) Keep(dir string, p *plan.Plan, note runs.Note) error {
	if w.Count == 0 {
		return nil
	}
	note("random: %s of --seed %d", count.Of(w.Count, "world"), w.Seed)
	if err := os.MkdirAll(filepath.Join(dir, "random"), 0o755); err != nil {
		return fmt.Errorf("keep the random worlds: %w", err)
	}
	w.Place(dir, p)
	for name, text := range w.Texts {
		if err := os.WriteFile(p.Files[name], []byte(text), 0o644); err != nil {
			return fmt.Errorf("keep the random worlds: %w", err)
		}
	}
	return nil
}

// Place stores in the plan where Keep has written, or will write, the case files of the worlds.
func (w *Worlds) Place(dir string, p *plan.Plan) {
	p.Files = maps.Clone(p.Files)
	if p.Files == nil {
		p.Files = map[string]string{}
	}
	for name := range w.Texts {
		p.Files[name] = filepath.Join(dir, "random", name+".txt")
	}
}

// Line is the command line for the records, with the seed.
func (w *Worlds) Line(args []string) []string {
	if w.Count > 0 && !w.Given {
		args = append(args, "--seed", strconv.FormatUint(w.Seed, 10))
	}
	return args
}
