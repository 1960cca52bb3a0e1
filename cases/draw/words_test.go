package draw

import (
	"strings"
	"testing"

	"tokentest/cases/step"
)

// undrawnWords are words of a few that no operation is drawn with, with the reason.
var undrawnWords = map[string]string{
	"/mnt/d": "three places, and one at another path, are what a world needs",
	"/tmp":   "it is no bpffs",
}

// Every word of an argument that is one of a few is drawn with some operation.
func TestDrawnWords(t *testing.T) {
	seen := map[string]int{} // by operation and word
	for i := range uint64(2000) {
		d := newDrawer(7, i)
		d.draw()
		for _, line := range append(d.steps, d.values...) {
			words := strings.Fields(line)
			for _, w := range words[2:] {
				if _, value, ok := strings.Cut(w, "="); ok {
					w = value
				}
				seen[words[1]+" "+w]++
			}
		}
	}
	drawn, wanted := map[string]int{}, map[string]bool{}
	for o := step.Op(1); o < step.Ops; o++ {
		row := o.Row()
		for i := range row.Params {
			p := &row.Params[i]
			if row.Drawn.Never != "" || undrawn[row.Name+" "+p.Name] != "" || p.Kind.Words() == nil {
				continue
			}
			for _, w := range p.Kind.Words()[1:] {
				wanted[w], drawn[w] = true, drawn[w]+seen[row.Name+" "+w]
			}
		}
	}
	for w := range wanted {
		if _, never := undrawnWords[w]; (drawn[w] > 0) == never {
			t.Errorf("%s: drawn %d times, and it is not to be drawn: %t", w, drawn[w], never)
		}
	}
	if len(wanted) < 100 {
		t.Errorf("%d words: the table of operations names more", len(wanted))
	}
}
