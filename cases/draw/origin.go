package draw

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Origin says how a world is drawn: by the choices of a seed's world, of which some are replaced. Every origin draws a
// world that is valid, and the same one each time.
type Origin struct {
	Seed, World uint64
	Edits       []Edit // ordered by At, at most one for a choice
}

// Edit replaces one choice, or all from one on.
type Edit struct {
	At   int    // the number of the choice, from 0
	Word uint64 // what it becomes; with Rest, the seed of the choices from here on
	Rest bool
}

// tape is the source of a world's choices.
type tape struct {
	pcg   *rand.PCG
	edits []Edit // that are still to come
	n     int    // how many choices were made
}

func (o *Origin) tape() *tape { return &tape{pcg: rand.NewPCG(o.Seed, o.World), edits: o.Edits} }

// Uint64 implements rand.Source.
func (t *tape) Uint64() uint64 {
	w := t.pcg.Uint64()
	if len(t.edits) > 0 && t.edits[0].At == t.n {
		e := t.edits[0]
		t.edits = t.edits[1:]
		if w = e.Word; e.Rest {
			t.pcg = rand.NewPCG(e.Word, uint64(e.At))
			w = t.pcg.Uint64()
		}
	}
	t.n++
	return w
}

// Draw draws the world as the text of a case file of the group name. choices is how many choices it took.
func (o *Origin) Draw(ctx context.Context, name, about string) (text string, choices int, err error) {
	source := o.tape()
	d := &drawer{Rand: rand.New(source)}
	d.draw()
	choices, text = source.n, d.text(about)
	for {
		bad, err := unplayable(ctx, name, text)
		if err != nil || len(bad) == 0 {
			return text, choices, err
		}
		text = withoutLines(text, bad)
	}
}

// Vary returns an origin that differs from o, whose world takes so many choices, in up to three of them, or in all
// from one on.
func (o *Origin) Vary(r *rand.Rand, choices int) Origin {
	out := Origin{Seed: o.Seed, World: o.World}
	edits := slices.Clone(o.Edits)
	if r.IntN(3) == 0 {
		at := choices/4 + r.IntN(max(1, choices-choices/4))
		edits = slices.DeleteFunc(edits, func(e Edit) bool { return e.At >= at })
		out.Edits = append(edits, Edit{At: at, Word: r.Uint64(), Rest: true})
		return out
	}
	for range 1 + r.IntN(3) {
		at := r.IntN(max(1, choices))
		edits = slices.DeleteFunc(edits, func(e Edit) bool { return e.At == at && !e.Rest })
		if !slices.ContainsFunc(edits, func(e Edit) bool { return e.At == at }) {
			edits = append(edits, Edit{At: at, Word: r.Uint64()})
		}
	}
	slices.SortFunc(edits, func(a, b Edit) int { return a.At - b.At })
	out.Edits = edits
	return out
}

// String is the line of a case file that Find reads: SEED/WORLD, then AT=WORD or AT~WORD of each edit.
func (o *Origin) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# drawn %d/%d", o.Seed, o.World)
	for _, e := range o.Edits {
		sign := "="
		if e.Rest {
			sign = "~"
		}
		fmt.Fprintf(&b, " %d%s%#x", e.At, sign, e.Word)
	}
	return b.String()
}

// Find reads the origin that a case file names; ok is false if it names none.
func Find(text string) (o Origin, ok bool, err error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "#" || fields[1] != "drawn" {
			continue
		}
		if fields = fields[2:]; len(fields) == 0 {
			return o, false, fmt.Errorf("%q: want SEED/WORLD", strings.TrimSpace(line))
		}
		seed, world, _ := strings.Cut(fields[0], "/")
		if o.Seed, err = strconv.ParseUint(seed, 10, 64); err == nil {
			o.World, err = strconv.ParseUint(world, 10, 64)
		}
		for _, f := range fields[1:] {
			var e Edit
			if err == nil {
				e, err = parseEdit(f)
			}
			if n := len(o.Edits); err == nil && n > 0 && o.Edits[n-1].At >= e.At {
				err = fmt.Errorf("choice %d is not after choice %d", e.At, o.Edits[n-1].At)
			}
			o.Edits = append(o.Edits, e)
		}
		if err != nil {
			return Origin{}, false, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
		return o, true, nil
	}
	return o, false, nil
}

func parseEdit(text string) (e Edit, err error) {
	i := strings.IndexAny(text, "=~")
	if i < 0 {
		return e, fmt.Errorf("%q: want AT=WORD or AT~WORD", text)
	}
	if e.At, err = strconv.Atoi(text[:i]); err == nil {
		e.Word, err = strconv.ParseUint(text[i+1:], 0, 64)
	}
	if err == nil && e.At < 0 {
		err = fmt.Errorf("%q: no such choice", text)
	}
	e.Rest = text[i] == '~'
	return e, err
}

// Only returns a drawn world's text with those cells alone that keep reports true for; their names are the
// last parts of their cases' IDs.
func Only(text string, keep func(cell string) bool) string {
	var b strings.Builder
	cells := cellLines(text)
	n := 0
	for line := range strings.Lines(text) {
		n++
		words := strings.Fields(line)
		if len(words) > 0 && cells[words[0]] == n && !keep(words[0]) {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}
