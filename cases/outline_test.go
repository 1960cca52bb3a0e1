package cases

import (
	"slices"
	"strings"
	"testing"
)

// TestOutline makes every case's steps from the outline of its group and its
// name alone, as a report does, and compares them with the case's own.
func TestOutline(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range c.Groups {
		o := g.Outline()
		if o.Name != g.Name || o.Path != g.Path {
			t.Errorf("%s: outline of %s in %s", g.Name, o.Name, o.Path)
		}
		for i, k := range g.Cases {
			if i%97 != 0 && len(g.Cases) > 300 {
				continue // one in so many tells as much
			}
			words := strings.Split(k.ID, "/")[1:]
			_, info := k.Steps()
			compareTexts(t, k.ID, o.fill(o.Steps, words), info)
			compareTexts(t, k.ID, o.fill(o.Setup, words), k.World.Info)
		}
	}
}

// fill puts an axis's values in the texts, the longest name first.
func (o *Outline) fill(texts, words []string) []string {
	var pairs []string
	order := slices.Clone(o.Axes)
	slices.SortFunc(order, func(a, b OutlineAxis) int { return len(b.Name) - len(a.Name) })
	for _, a := range order {
		at := slices.IndexFunc(o.Axes, func(x OutlineAxis) bool { return x.Name == a.Name })
		v := a.Values[slices.IndexFunc(a.Values, func(v OutlineValue) bool { return v.Name == words[at] })]
		for name, text := range v.Vars {
			pairs = append(pairs, "$"+a.Name+"."+name, text)
		}
		pairs = append(pairs, "$"+a.Name, v.Text)
	}
	out := slices.Clone(texts)
	for i := range out {
		for range words { // a value may hold another axis
			out[i] = strings.NewReplacer(pairs...).Replace(out[i])
		}
		out[i] = strings.Join(strings.Fields(out[i]), " ")
	}
	return out
}

func compareTexts(t *testing.T, id string, got []string, info []StepInfo) {
	t.Helper()
	if len(got) != len(info) {
		t.Errorf("%s: %d steps, want %d", id, len(got), len(info))
		return
	}
	for i := range info {
		if got[i] != info[i].Text {
			t.Errorf("%s: %q, want %q", id, got[i], info[i].Text)
		}
	}
}
