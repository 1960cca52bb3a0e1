package draw

import (
	"context"
	"fmt"
	"strings"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
)

// Forecast is what the oracle expects of a world before it runs, as aspects of its steps: a rule that decides a step,
// with what the step is about, or with one of its arguments.
type Forecast struct {
	Setup []string
	Cells map[string][]string // by the last part of the case's ID, without the controls
}

// about are the arguments that say what a step is about.
var about = []step.Key{step.KeyType, step.KeyAttach, step.KeyCmd, step.KeyBody, step.KeyHelper, step.KeyAttr,
	step.KeyField, step.KeyOn, step.KeyMake, step.KeySpot}

// Foresee plays a world on the oracle of a kernel, whose facts are not nil. The error is that of a text which is no
// case file.
func Foresee(ctx context.Context, name, text string, facts *step.Facts) (*Forecast, error) {
	f, err := cases.Parse(ctx, name+".txt", name, text)
	if err != nil {
		return nil, err
	}
	g, err := f.Expand(ctx)
	if err != nil {
		return nil, err
	}
	out := &Forecast{Cells: map[string][]string{}}
	play := cases.Player{Facts: facts}
	w := g.Worlds[0]
	expected, failed := play.Setup(w) // up to a step that cannot be played
	out.Setup = aspects(w.Program.Setup, expected)
	for _, c := range g.Cases {
		if unmet, _ := c.Unmet(facts); unmet != nil || failed != nil || c.Control != "" {
			continue
		}
		if expected, err := play.Play(c); err == nil {
			out.Cells[c.ID[strings.LastIndexByte(c.ID, '/')+1:]] = aspects(c.Cell(), expected)
		}
	}
	return out, nil
}

// aspects are those of steps whose results are expected.
func aspects(steps []step.Step, expected []sim.Expect) []string {
	var out []string
	for i := range expected {
		s, v := &steps[i], &expected[i].Verdict
		var kind strings.Builder
		fmt.Fprintf(&kind, "%s %s %d", v.ID, s.Op, v.Errno)
		for _, k := range about {
			if n, ok := s.Num(k); ok {
				fmt.Fprintf(&kind, " %d=%d", k, n)
			}
		}
		out = append(out, kind.String())
		for _, a := range s.Args {
			out = append(out, fmt.Sprintf("%s %s +%d", v.ID, s.Op, a.Key))
		}
	}
	return out
}

// Beyond counts the aspects of the world that known lacks.
func (f *Forecast) Beyond(known map[string]bool) int {
	news := map[string]bool{}
	add := func(list []string) {
		for _, a := range list {
			if !known[a] {
				news[a] = true
			}
		}
	}
	add(f.Setup)
	for _, list := range f.Cells {
		add(list)
	}
	return len(news)
}

// Worth returns a drawn world's text without the cells of which known has every aspect, unless keep says so, and adds
// the aspects of the text to known.
func (f *Forecast) Worth(text string, known map[string]bool, keep func() bool) string {
	for _, a := range f.Setup {
		known[a] = true
	}
	return Only(text, func(cell string) bool {
		worth := keep()
		for _, a := range f.Cells[cell] {
			worth = worth || !known[a]
			known[a] = true
		}
		return worth
	})
}

// Cells is how many cells a drawn world's text has, besides its controls.
func Cells(text string) int { return len(cellLines(text)) }
