package cases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// results/parity.md is what the marks in the case files make; -update writes it.
func TestGoldenParity(t *testing.T) {
	text, err := Parity(load(t))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("..", "results", "parity.md")
	if *update {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(name)
	if err != nil || string(old) != text {
		t.Errorf("%s is not what the case files say (%v): make parity", name, err)
	}
}

func TestUpstreamMistakes(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"token/map_token/x", "cases/parity.txt:1: want FILE"},
		{"token/x | what", "want FILE"},
		{"# a comment\n\na/b/c | one\na/b/c | two", "cases/parity.txt:4: a/b/c is already defined"},
		{"a/b/c | one | two | three", "want FILE"},
	} {
		if _, err := parseUpstreams(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.text, err, tt.want)
		}
	}
	list, err := parseUpstreams("a/b/c | one | none: why\na/b/d | two | vacuous\n")
	if err != nil || len(list) != 2 || !list[0].None || list[0].Remark != "why" || list[1].None ||
		list[1].Remark != "vacuous" {
		t.Errorf("%+v, %v", list, err)
	}
}

// Every assertion that is listed has a step, and every mark is listed.
func TestParityIsWhole(t *testing.T) {
	group := func(marks string) *Corpus {
		g, err := parseAndExpand("actor owner userns\nowner bpffs cmds=any -> b\n" + marks +
			"control owner token_create bpffs=b\ncontrol nobody map_create type=hash => EPERM\n")
		if err != nil {
			t.Fatal(err)
		}
		return &Corpus{Groups: []*Group{g}}
	}
	one := []Upstream{{ID: "a/b/c"}}
	for _, tt := range []struct {
		marks string
		list  []Upstream
		want  string
	}{
		{"parity a/b/c\n", one, ""},
		{"", one, "no step is marked with a/b/c"},
		{"parity a/b/c a/b/d\n", one, "x.txt:4: a/b/d is not in cases/parity.txt"},
		{"parity a/b/c\n", []Upstream{{ID: "a/b/c", None: true}}, "a/b/c is listed as none"},
	} {
		steps, err := parityOf(group(tt.marks), tt.list)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.marks, err, tt.want)
		}
		if err == nil && steps["a/b/c"][0] != "`x`: `owner token_create bpffs=b => ok`" {
			t.Errorf("%q: %q", tt.marks, steps)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{lsmHead + "parity a/b/c\n", "no step follows parity a/b/c"},
		{lsmHead + "parity\n", "want parity FILE"},
	} {
		if _, err := parseAndExpand(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}
