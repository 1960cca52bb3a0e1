package draw

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// An origin without edits draws the world of its seed, each origin draws the same world twice and can be read
// back from its line, and variations differ.
func TestOrigin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	plain, err := Random(t.Context(), 9, 4)
	if err != nil {
		t.Fatal(err)
	}
	o := Origin{Seed: 9, World: 4}
	text, choices, err := o.Draw(t.Context(), Name(9, 4), "World 4 of seed 9.")
	if err != nil || text != plain {
		t.Fatalf("%v: an origin without edits draws another world", err)
	}
	differ := 0
	for range 20 {
		v := o.Vary(r, choices)
		one, n, err := v.Draw(t.Context(), "varied", "A variation.")
		if err != nil {
			t.Fatal(err)
		}
		read, ok, err := Find("about x\n" + v.String() + "\nneeds token\n")
		if !ok || err != nil || !slices.Equal(read.Edits, v.Edits) || read.Seed != 9 || read.World != 4 {
			t.Fatalf("%s is read as %+v, %v", v.String(), read, err)
		}
		again, m, err := read.Draw(t.Context(), "varied", "A variation.")
		if err != nil || again != one || n != m {
			t.Fatalf("%s draws two worlds, %v", v.String(), err)
		}
		if one != plain {
			differ++
		}
		o, choices = v, n
	}
	if differ < 19 {
		t.Errorf("%d of 20 variations differ", differ)
	}
}

func TestFindOrigin(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"# drawn ", "want SEED/WORLD"}, {"# drawn x/1", "invalid syntax"}, {"# drawn 1/1 5", "want AT=WORD"},
		{"# drawn 1/1 7=1 7=2", "choice 7 is not after choice 7"}, {"# drawn 1/1 -3=1", "no such choice"},
	} {
		if _, ok, err := Find(tt.line + "\n"); ok || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, %v; want %s", tt.line, ok, err, tt.want)
		}
	}
	if _, ok, err := Find("about x\n"); ok || err != nil {
		t.Errorf("a file without the line has an origin: %v", err)
	}
}

func TestOnly(t *testing.T) {
	text := "about x\naxis step\n  allow root map_create\n  s00 one\n  s01 two s00\nowner send t root\ndo $step\n"
	got := Only(text, func(cell string) bool { return cell == "s01" })
	if want := strings.Replace(text, "  s00 one\n", "", 1); got != want {
		t.Errorf("got %q", got)
	}
}
