package cases

import (
	"slices"
	"strings"
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// TestOutline makes every case's steps from the outline of its group and its
// name alone, as a report does, and compares them with the case's own.
func TestOutline(t *testing.T) {
	c, err := Load(t.Context())
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
			_, info := k.Steps()
			compareTexts(t, k.ID, o.Fill(o.Steps, k.ID), info)
			compareTexts(t, k.ID, o.Fill(o.Setup, k.ID), k.World.Info)
		}
	}
}

// TestOutlineChange tells a case that does something else now from one that
// another value of an axis was added beside.
func TestOutlineChange(t *testing.T) {
	make := func(text string) *Outline {
		f, err := Parse(t.Context(), "m.txt", "m", text)
		if err != nil {
			t.Fatal(err)
		}
		g, err := f.Expand(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		o := g.Outline()
		return &o
	}
	const text = "actor owner userns\naxis who root owner nobody\naxis type hash queue\n" +
		"owner bpffs cmds=map_create -> b\ndo $who map_create type=$type\ncontrol allow who=root\ncontrol refuse who=nobody\n"
	old := make(text)
	for _, tt := range []struct {
		from, to    string
		equal, same bool
	}{
		{"", "", true, true},
		{"hash queue", "hash queue stack", false, true},
		{"type=$type", "type=$type caps=none", false, false},
		{"cmds=map_create", "cmds=any", false, false},
		{"owner userns", "owner userns uid=2000", false, false},
		{"do $who", "# a comment\ndo $who", true, true},
	} {
		now := make(strings.Replace(text, tt.from, tt.to, 1))
		if old.Equal(now) != tt.equal || old.SameCase(now, "m/root/hash") != tt.same {
			t.Errorf(
				"%q for %q: equal %t, the same case %t",
				tt.to,
				tt.from,
				old.Equal(now),
				old.SameCase(now, "m/root/hash"),
			)
		}
	}
}

// TestWorldKey is the same for the same world alone.
func TestWorldKey(t *testing.T) {
	c, err := Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range c.Groups {
		seen := map[string]bool{}
		for _, w := range g.Worlds {
			if seen[w.Key()] && len(w.Info) > 0 {
				t.Errorf("two worlds of %s have the key %s", g.Name, w.Key())
			}
			seen[w.Key()] = true
		}
	}
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

// The actors of an outline are those of its group's file.
func TestOutlineCast(t *testing.T) {
	o := Outline{Actors: []string{"owner userns uid=7", "peer joins owner caps=none"},
		Steps: []string{"root map_create type=hash"}}
	got, err := o.Cast()
	want := []step.Actor{
		{Name: "owner", Kind: step.Userns, Parent: -1, UID: 7, Caps: uapi.AllCaps},
		{Name: "peer", Kind: step.Joins, Parent: 0, UID: 7},
		{Name: "root", Kind: step.Init, Parent: -1, Caps: uapi.AllCaps},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	for _, line := range []string{"owner userns caps=$caps", "owner", "", "owner nowhere"} {
		if _, err := (&Outline{Actors: []string{line}}).Cast(); err == nil {
			t.Errorf("%q is an actor", line)
		}
	}
}
