package cases

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func load(t *testing.T) *Corpus {
	t.Helper()
	c, err := Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// small is a corpus of a matrix and a scenario, and a matrix that is full.
func small(t *testing.T) *Corpus {
	t.Helper()
	c := &Corpus{}
	for name, text := range map[string]string{
		"m/abc.txt":   matrixHead + "axis type hash array\ndo $who map_create type=$type caps=$caps\n" + matrixTail,
		"m/abd.txt":   "full\n" + matrixHead + matrixDo + matrixTail,
		"s/story.txt": scenarioControls,
	} {
		if err := c.Add(t.Context(), name, text); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(c.Groups, func(a, b *Group) int { return strings.Compare(a.Name, b.Name) })
	return c
}

// TestLoadGroups reads of the named groups what Load reads.
func TestLoadGroups(t *testing.T) {
	all := load(t)
	names := []string{"nested_userns", "prog_load", "commands", "none_of_them"}
	some, err := LoadGroups(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	var want []*Group
	for _, g := range all.Groups {
		if slices.Contains(names, g.Name) {
			want = append(want, g)
		}
	}
	if len(want) != 3 || len(some.Groups) != 3 {
		t.Fatalf("%d and %d groups, want 3", len(want), len(some.Groups))
	}
	picked := 0
	for i, g := range some.Groups {
		for n, c := range g.Cases {
			w := want[i].Cases[n]
			if c.ID != w.ID || c.Full != w.Full {
				t.Fatalf("%s, full %v, want %s, %v", c.ID, c.Full, w.ID, w.Full)
			}
			if g.Full && !c.Full {
				picked++
			}
		}
	}
	if picked == 0 {
		t.Error("no case is in the default suite by suite.txt")
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, id string
		want        bool
	}{
		{"abc", "abc", true}, {"abc", "abc/x", true}, {"abc/", "abc/x", true}, {"abc", "abcd/x", false}, {"ab", "abc", false},
		{"abc/x", "abc/x/y", true}, {"abc/x", "abc/xy", false}, {"", "abc", false},
		{"*", "abc/x", true}, {"abc/*", "abc/x/y", true}, {"*/y", "abc/x/y", true}, {"*/x", "abc/x/y", false},
		{"a*c", "abc", true}, {"a*c", "ac", true}, {"a*b*c", "axbxc", true}, {"a*b*c", "acb", false}, {"abc*c", "abc", false},
		{"*x*", "abc/x/y", true}, {"*z*", "abc/x/y", false}, {"b*", "abc", false}, {"**", "abc", true},
	} {
		if got := Match(tt.pattern, tt.id); got != tt.want {
			t.Errorf("Match(%q, %q) = %v", tt.pattern, tt.id, got)
		}
	}
}

func TestSelect(t *testing.T) {
	c := small(t)
	for _, tt := range []struct {
		name     string
		patterns []string
		full     bool
		want     []string
	}{
		{"default", nil, false, []string{"abc/root/none/hash", "abc/root/none/array", "abc/root/all/hash",
			"abc/root/all/array",
			"abc/nobody/none/hash", "abc/nobody/none/array", "abc/nobody/all/hash", "abc/nobody/all/array", "story"}},
		{"a case with its controls, in the corpus's order", []string{"abc/root/none/hash"}, false,
			[]string{"abc/root/none/hash", "abc/root/all/hash", "abc/nobody/none/hash"}},
		{"a control", []string{"abc/root/all/array"}, false, []string{"abc/root/all/array", "abc/nobody/none/array"}},
		{"a full group by name", []string{"abd"}, false,
			[]string{"abd/root/none", "abd/root/all", "abd/nobody/none", "abd/nobody/all"}},
		{"a prefix", []string{"abd/nobody"}, false, []string{"abd/root/all", "abd/nobody/none", "abd/nobody/all"}},
		{"a glob", []string{"*/root/all*"}, false,
			[]string{"abc/root/all/hash", "abc/root/all/array", "abc/nobody/none/hash", "abc/nobody/none/array", "abd/root/all",
				"abd/nobody/none"}},
		{"two patterns, once each", []string{"story", "s*", "story"}, false, []string{"story"}},
	} {
		got, err := c.Select(tt.patterns, tt.full)
		if err != nil || !slices.Equal(ids(got), tt.want) {
			t.Errorf("%s: %q, %v,\nwant %q", tt.name, ids(got), err, tt.want)
		}
	}
	all, err := c.Select(nil, true)
	if err != nil || len(all) != 13 {
		t.Errorf("full: %d cases, %v, want 13", len(all), err)
	}
}

func TestSelectUnknown(t *testing.T) {
	c := small(t)
	for _, tt := range []struct{ pattern, want string }{
		{"strory", `unknown case "strory" (near: story)`},
		{"abx", `unknown case "abx" (near: abc, abd)`},
		{"abc/root/none/hsh", `unknown case "abc/root/none/hsh" (near: abc/root/none/hash`},
		{"nothing/like/it", `unknown case "nothing/like/it"`},
		{"*/none/*/x", `unknown case "*/none/*/x"`},
	} {
		_, err := c.Select([]string{tt.pattern}, false)
		if !errors.Is(err, ErrUnknownCase) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %s", tt.pattern, err, tt.want)
		}
	}
	_, err := c.Select([]string{"foo", "abc", "bar"}, false)
	if err == nil || !strings.Contains(err.Error(), `"foo"`) || !strings.Contains(err.Error(), `"bar"`) {
		t.Errorf("got %v, want both unknown names", err)
	}
}

// Select returns a case always with its controls, and these with their controls: a control that
// does not run breaks the cases that it guards.
func TestSelectIsClosed(t *testing.T) {
	c := load(t)
	if err := c.Add(t.Context(), "skew.txt",
		matrixHead+matrixDo+"control allow who=root caps=all\ncontrol refuse who=nobody\n"); err != nil {
		t.Fatal(err)
	}
	for _, g := range c.Groups {
		for i := 0; i < len(g.Cases); i += 29 {
			chosen, err := c.Select([]string{g.Cases[i].ID}, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range chosen {
				for _, guard := range k.Guards() {
					if !slices.Contains(chosen, guard) {
						t.Fatalf("%s chooses %s, and not its control %s", g.Cases[i].ID, k.ID, guard.ID)
					}
				}
			}
		}
	}
}

func TestAddFile(t *testing.T) {
	c := small(t)
	path := filepath.Join(t.TempDir(), "mine.txt")
	if err := os.WriteFile(path, []byte(scenarioControls), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := c.AddFile(t.Context(), path)
	if err != nil || g.Name != "mine" || g != c.Groups[len(c.Groups)-1] {
		t.Errorf("AddFile: %v, %v", g, err)
	}
	if _, err := c.AddFile(t.Context(), path); err == nil ||
		!strings.Contains(err.Error(), ":1: group mine already exists (from "+path) {
		t.Errorf("the same file again: %v", err)
	}
	own := filepath.Join(t.TempDir(), c.Groups[0].Name+".txt")
	if err := os.WriteFile(own, []byte(scenarioControls), 0o644); err != nil {
		t.Fatal(err)
	}
	all, old := len(c.Groups), c.Groups[0]
	old.Builtin = true
	if g, err := c.AddFile(t.Context(), own); err != nil || g == old || c.Group(old.Name) != g || len(c.Groups) != all {
		t.Errorf("a file with the name of a built-in group: %v, %v", g, err)
	}
	if _, err := c.AddFile(t.Context(), path+".no"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	before := len(c.Groups)
	if err := os.WriteFile(path+"x", []byte("bogus\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddFile(t.Context(), path+"x"); err == nil || !strings.HasPrefix(err.Error(), path+"x:1: ") ||
		len(c.Groups) != before {
		t.Errorf("a file with a mistake: %v, %d groups more", err, len(c.Groups)-before)
	}
}

func TestNear(t *testing.T) {
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"hsh", []string{"hash"}}, {"stack_trac", []string{"stack_trace"}}, {"storage", []string{"sk_storage"}},
		{"zzzzzzz", nil},
	} {
		if got := Near(tt.name, []string{"queue", "stack_trace", "hash", "sk_storage"}); !slices.Equal(got, tt.want) {
			t.Errorf("Near(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// The list of the default suite brings cases of full groups in, and must name
// some that are there and are full.
func TestPick(t *testing.T) {
	c := small(t)
	if err := c.pick("# chosen\n\nabd/root/all\nabd/nobody/none  # why\n"); err != nil {
		t.Fatal(err)
	}
	got, err := c.Select(nil, false)
	want := []string{"abc/root/none/hash", "abc/root/none/array", "abc/root/all/hash", "abc/root/all/array",
		"abc/nobody/none/hash", "abc/nobody/none/array", "abc/nobody/all/hash", "abc/nobody/all/array",
		"abd/root/all", "abd/nobody/none", "story"}
	if err != nil || !slices.Equal(ids(got), want) {
		t.Errorf("%q, %v,\nwant %q", ids(got), err, want)
	}
	for _, tt := range []struct{ list, want string }{
		{"abd/root/none\nabd/root\n", "cases/suite.txt:2: no case is called abd/root: make golden"},
		{"abc/root/none/hash\n", "cases/suite.txt:1: abc/root/none/hash is in the default suite without being listed"},
		{"abd/root/none\nabd/root/none\n", "cases/suite.txt:2: abd/root/none is in the default suite"},
	} {
		if err := small(t).pick(tt.list); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v, want %s", tt.list, err, tt.want)
		}
	}
}

// A case of the default suite brings the controls that guard it along, in
// the suite or not.
func TestSuiteBringsControls(t *testing.T) {
	c := small(t)
	if err := c.pick("abd/root/none\n"); err != nil {
		t.Fatal(err)
	}
	got, err := c.Select(nil, false)
	if err != nil || !slices.Contains(ids(got), "abd/root/all") || !slices.Contains(ids(got), "abd/nobody/none") {
		t.Errorf("%q, %v: the controls of abd/root/none are missing", ids(got), err)
	}
}
