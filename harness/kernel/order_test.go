package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/cachedir"
)

// ordered makes an order of a reference of the yard, through JSON, with bundles that fetch finds.
func (w *yard) ordered(ref string, bundles map[string]string) *Order {
	w.t.Helper()
	b, err := Source(w.t.Context(), ref, w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	tools, err := Tools(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	made, err := b.Order(w.t.Context(), w.o.Build, tools, w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	pack := func(s *Snapshot, base Snapshot) {
		path := filepath.Join(w.t.TempDir(), "bundle")
		if err := b.Bundle(w.t.Context(), *s, base, path); err != nil {
			w.t.Fatal(err)
		}
		if s.Bundle, err = cachedir.Digest(path); err != nil {
			w.t.Fatal(err)
		}
		bundles[s.Bundle] = path
	}
	pack(&made.Base, Snapshot{})
	if made.Source.Commit != made.Base.Commit {
		pack(&made.Source, made.Base)
	}
	text, err := json.Marshal(made)
	if err != nil {
		w.t.Fatal(err)
	}
	out := &Order{}
	if err := json.Unmarshal(text, out); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// mirror is another host, with a list of the bundles that it fetched.
func (w *yard) mirror(bundles map[string]string) (m *Mirror, fetched *[]string) {
	fetched = &[]string{}
	return &Mirror{Options: Options{CacheDir: w.t.TempDir(), Log: w.t.Logf},
		Fetch: func(_ context.Context, digest, path string) error {
			*fetched = append(*fetched, digest)
			text, err := os.ReadFile(bundles[digest])
			if err != nil {
				return err
			}
			return os.WriteFile(path, text, 0o644)
		}}, fetched
}

// Another host builds the image that this host builds, under the same key; it fetches the base once, and then only what
// follows it.
func TestOrder(t *testing.T) {
	w := newYard(t)
	bundles := map[string]string{}
	m, fetched := w.mirror(bundles)
	first := w.ordered("git:"+w.tree, bundles)
	got, err := m.Build(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	here, err := w.resolve("git:" + w.tree)
	if err != nil || got.Digest != here.Digest || filepath.Base(filepath.Dir(here.Image)) != first.Key {
		t.Errorf("got %+v, here %+v, %v, key %s", got, here, err, first.Key)
	}
	w.write("int other;\n")
	w.git("commit", "-q", "-a", "-m", "other")
	second := w.ordered("git:"+w.tree, bundles)
	if got, err = m.Build(t.Context(), second); err != nil || !strings.HasSuffix(imageText(t, got), "int other;\n") {
		t.Errorf("got %v, %v", got, err)
	}
	if second.Base.Commit != first.Base.Commit || first.Base.Commit != first.Source.Commit {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if want := []string{first.Base.Bundle, second.Source.Bundle}; !slices.Equal(*fetched, want) {
		t.Errorf("fetched %q, want %q", *fetched, want)
	}
	small, err1 := os.Stat(bundles[second.Source.Bundle])
	whole, err2 := os.Stat(bundles[first.Base.Bundle])
	if err := errors.Join(err1, err2); err != nil || small.Size() >= whole.Size() {
		t.Errorf("%v: the difference has %d bytes, the whole %d", err, small.Size(), whole.Size())
	}
	// A host that has the user's repository fetches nothing.
	near, fetched := w.mirror(bundles)
	near.Borrow = w.tree
	if got, err = near.Build(t.Context(), second); err != nil || len(*fetched) > 0 ||
		!strings.HasSuffix(imageText(t, got), "int other;\n") {
		t.Errorf("got %v, %v, fetched %q", got, err, *fetched)
	}
}

// A source that makes no kernel is an outcome with the compiler's lines, which reads as the error here does.
func TestOrderOfBrokenSource(t *testing.T) {
	w := newYard(t)
	bundles := map[string]string{}
	m, _ := w.mirror(bundles)
	w.write("#error broken\n")
	w.git("commit", "-q", "-a", "-m", "broken")
	_, failed := m.Build(t.Context(), w.ordered("git:"+w.tree, bundles))
	made, files, err := OutcomeOf(nil, failed)
	if err != nil || made.Fault != NotCompiled || files[made.Log] == "" {
		t.Fatalf("got %+v, %v, %v", made, files, err)
	}
	_, here := w.resolve("git:" + w.tree)
	var there, local *BuildError
	if !errors.As(made.Err("git:"+w.tree, "x"), &there) || !errors.As(here, &local) ||
		!slices.Equal(there.Lines, local.Lines) {
		t.Errorf("there %v, here %v", made.Err("git:"+w.tree, "x"), here)
	}
	if _, _, err := OutcomeOf(nil, errors.New("the disk is full")); err == nil {
		t.Error("the host's fault is an outcome")
	}
}

// An order is refused if its key is not that of this host's tools, if its words are none, or if its files are others.
func TestOrderIsChecked(t *testing.T) {
	w := newYard(t)
	bundles := map[string]string{}
	good := w.ordered("git:"+w.tree, bundles)
	w.write("int other;\n")
	w.git("commit", "-q", "-a", "-m", "other")
	other := w.ordered("git:"+w.tree, bundles)
	for why, change := range map[string]func(o *Order){
		"has other tools than the build asks for": func(o *Order) { o.Key = strings.Repeat("ab", 32) },
		"is no object of git":                     func(o *Order) { o.Base.Commit = "--upload-pack=touch" },
		"is no key of a build":                    func(o *Order) { o.Key = "../x" },
		"make runs what other variables hold":     func(o *Order) { o.Make = []string{"KCFLAGS=$(shell id)"} },
		"no fragment":                             func(o *Order) { o.Fragments = nil },
		"other files than the order says":         func(o *Order) { o.Source.Tree = o.Base.Tree[:39] + "0" },
	} {
		m, _ := w.mirror(bundles)
		o := *good
		if strings.HasPrefix(why, "other files") {
			o = *other
		}
		change(&o)
		if _, err := m.Build(t.Context(), &o); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want %q", err, why)
		}
	}
	b, err := Source(t.Context(), "git:"+w.tree, w.o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Order(t.Context(), BuildOptions{Make: []string{"CC=./x"}}, "tools", w.o); err == nil ||
		!strings.Contains(err.Error(), "a farm takes only") {
		t.Errorf("got %v", err)
	}
}
