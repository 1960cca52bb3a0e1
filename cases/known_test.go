package cases

import (
	"strings"
	"testing"

	"tokentest/cases/step"
	"tokentest/harness/arch"
)

const knownBody = `
actor owner userns
owner bpffs cmds=any -> b
control owner token_create bpffs=b
control nobody map_create type=hash => EPERM
`

func TestKnownMistakes(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"known", knownUsage},
		{"known hung 6.9 x # y", knownUsage},
		{"known panicked six x # y", "read release"},
		{"known panicked 6.9-x x # y", "read release"},
		{"known panicked 6.9 BUG: x", "a known defect needs a reason"},
		{"known panicked 6.9 # y", "fate panicked: tainted and panicked need"},
		{"known panicked 6.9 link=lore BUG: x # y", "link=lore: not an address"},
		{"known clean 6.9 x # y", "fate clean: tainted and panicked need"},
		{"known panicked 6.9 arch=vax x # y", "no architecture vax; there are "},
	} {
		_, err := parseAndExpand(tt.line + knownBody)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.line, err, tt.want)
		}
	}
	_, err := parseAndExpand("known panicked 6.9 x # y\naxis a b\nactor owner userns\n" +
		"do owner map_create type=hash\ncontrol allow a=b\ncontrol refuse a=b\n")
	if err == nil || !strings.Contains(err.Error(), "want a scenario") {
		t.Errorf("a matrix: got %v", err)
	}
}

// A case with a known defect is alone and not in the default suite; the
// release and the configuration say where the defect is.
func TestKnownIn(t *testing.T) {
	g, err := parseAndExpand("known tainted 6.12-6.18 config=UBSAN_SHIFT UBSAN: * in x.c + WARNING in y # why\n" +
		"known clean 6.12 config=!UBSAN_SHIFT # why\n" + knownBody)
	if err != nil {
		t.Fatal(err)
	}
	if c := g.Cases[0]; !c.Alone() || !c.Full {
		t.Errorf("alone %v, full %v", c.Alone(), c.Full)
	}
	with, without := map[string]string{"UBSAN_SHIFT": "y"}, map[string]string{"UBSAN": "y"}
	for _, tt := range []struct {
		release string
		config  map[string]string
		want    string
	}{
		{"6.11.9", with, ""}, {"6.12.0", with, "tainted"}, {"6.18.4", with, "tainted"}, {"6.19.1", with, ""},
		{"6.11.9", without, ""}, {"6.12.0", without, "clean"}, {"7.9.0", without, "clean"}, {"6.12.0", nil, "tainted clean"},
	} {
		var got []string
		for _, k := range g.KnownIn(&step.Facts{Release: tt.release, Config: tt.config}) {
			got = append(got, k.Fate)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s %v: got %q, want %q", tt.release, tt.config, got, tt.want)
		}
	}
	for i, a := range arch.All {
		g, err := parseAndExpand("known panicked 6.12 arch=" + a.Name + " config=NET BUG: x # why\n" + knownBody)
		if err != nil {
			t.Fatal(err)
		}
		for j, b := range arch.All {
			if got := len(g.KnownIn(&step.Facts{Release: "6.12.1", Machine: b.Machine})); (got == 1) != (i == j) {
				t.Errorf("a line for %s on %s: %d", a, b, got)
			}
		}
		if got := len(g.KnownIn(&step.Facts{Release: "6.12.1"})); (got == 1) != (a == arch.Default) {
			t.Errorf("a line for %s in a record without a machine: %d", a, got)
		}
	}
	warned := having(map[string]int64{step.PanicOnWarn: 1})
	splat := &Group{
		Known: []Known{{Fate: "tainted", Since: warned.Version()}, {Fate: "clean", Since: warned.Version()}},
	}
	if got := splat.KnownIn(warned); got[0].Fate != "panicked" || got[1].Fate != "clean" ||
		splat.Known[0].Fate != "tainted" {
		t.Errorf("with panic_on_warn: %+v, want panicked and clean", got)
	}
	if g.KnownIn(nil) != nil {
		t.Error("a kernel of which nothing is known has the defect")
	}
	const link = "https://lore.kernel.org/r/a@b"
	linked, err := parseAndExpand("known panicked 6.9 link=" + link + " BUG: x  # why\n" + knownBody)
	if err != nil || linked.Known[0].Text() != "why; reported: "+link || linked.Known[0].Titles[0] != "BUG: x" {
		t.Errorf("a reported defect: %+v, %v", linked, err)
	}
	told := func(titles string) []Report {
		var out []Report
		for _, s := range strings.Split(titles, "|") {
			out = append(out, Report{Title: s})
		}
		return out
	}
	for titles, want := range map[string]bool{
		"UBSAN: shift in x.c|WARNING in y": true, "WARNING in y|UBSAN: shift in x.c": true,
		"UBSAN: shift in x.c": false, "UBSAN: shift in x.c|WARNING in y|Oops": false,
		"UBSAN: shift in z.c|WARNING in y": false,
	} {
		if got := g.Known[0].Explains(told(titles)); got != want {
			t.Errorf("%s: explained %v", titles, got)
		}
	}
}

// Cases without a known defect are not alone.
func TestNotAlone(t *testing.T) {
	n := 0
	for _, g := range load(t).Groups {
		alone := g.Cases[0].Alone()
		if named := strings.HasPrefix(g.Name, "known_"); named && !alone || alone && !named && g.Name != "library" {
			t.Errorf("%s: alone %v", g.Name, alone)
		}
		if alone {
			n++
		}
	}
	if n < 3 {
		t.Errorf("%d known defects", n)
	}
}

// A defect is the same whether the compiler made a callee a function of its own or not.
func TestKnownCallers(t *testing.T) {
	k := Known{Titles: []string{"BUG: NULL in bpf_token_get_from_fd"}}
	for _, tt := range []struct {
		name string
		r    Report
		want bool
	}{
		{"inlined", Report{"BUG: NULL in bpf_token_get_from_fd", []string{"map_create"}}, true},
		{"a callee", Report{"BUG: NULL in bpf_token_inc", []string{"bpf_token_get_from_fd", "map_create"}}, true},
		{"another place", Report{"BUG: NULL in bpf_token_inc", []string{"map_create", "__sys_bpf"}}, false},
		{"another fault at the place", Report{"KASAN: use-after-free in bpf_token_inc", []string{"bpf_token_get_from_fd"}},
			false},
		{"no place", Report{"BUG: NULL", []string{"bpf_token_get_from_fd"}}, false},
	} {
		if got := k.Explains([]Report{tt.r}); got != tt.want {
			t.Errorf("%s: explained %v", tt.name, got)
		}
	}
	bare := Known{Titles: []string{"VFS: Busy inodes"}}
	if bare.Explains([]Report{{"VFS: other in x", []string{"VFS: Busy inodes"}}}) {
		t.Error("a title without a place is taken for a function")
	}
}
