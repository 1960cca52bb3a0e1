package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tokentest/kconfig"
)

// TestSteps says what a build does: the checkout, and how many files are compiled.
func TestSteps(t *testing.T) {
	w := newYard(t)
	var mu sync.Mutex
	var said []string
	w.o.Step = func(text string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, text)
	}
	if _, err := Resolve(t.Context(), "git:"+w.tree+"#HEAD", w.o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`^checking out [0-9a-f]{12}`, `^building .*, \d+ of about \d+00 files$`} {
		if !slices.ContainsFunc(said, regexp.MustCompile(want).MatchString) {
			t.Errorf("no step is like %q: %q", want, said)
		}
	}
}

// TestFetched counts the bytes of a download, also under the name that it has meanwhile.
func TestFetched(t *testing.T) {
	dir := t.TempDir()
	text := fetched(pkg{Name: "linux-image", File: "pool/l/x.deb", Size: 9_900_000}, dir)
	if got := text(); got != "fetching linux-image, 0.0 of 9.9 MB" {
		t.Error(got)
	}
	for _, name := range []string{"x.deb", "x.deb.partial"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, 3_100_000), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := text(); got != "fetching linux-image, 3.1 of 9.9 MB" {
			t.Errorf("%s: %s", name, got)
		}
		os.Remove(path)
	}
	lists := listsText(dir)
	if err := os.WriteFile(filepath.Join(dir, "list"), make([]byte, 1_200_000), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := lists(); got != "updating package lists, 1.2 MB" {
		t.Error(got)
	}
}

// TestCheckoutText reads the part of git's progress that was printed last.
func TestCheckoutText(t *testing.T) {
	l := &lastPart{}
	if got := l.checkoutText("0123456789abcdef"); got != "checking out 0123456789ab" {
		t.Error(got)
	}
	l.Write([]byte("Updating files:   5% (4000/80000)\rUpdating files:  50% (40000/80000)\r"))
	if got := l.checkoutText("0123456789abcdef"); got != "checking out 0123456789ab, 40000 of 80000 files" {
		t.Error(got)
	}
}

// TestCheckoutAnnounced says before a checkout that it takes long, only if it writes many files.
func TestCheckoutAnnounced(t *testing.T) {
	w := newYard(t)
	w.git("tag", "few")
	many := filepath.Join(w.tree, "many")
	err := os.Mkdir(many, 0o755)
	for i := range manyFiles {
		err = errors.Join(err, os.WriteFile(filepath.Join(many, fmt.Sprint(i)), nil, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "many")
	w.git("tag", "many")
	w.write("int other;\n")
	w.git("commit", "-q", "-a", "-m", "one file")
	for _, step := range []struct {
		rev  string
		long bool
	}{{"few", false}, {"many", true}, {"main", false}} {
		if _, err := w.resolve("git:" + w.tree + "#" + step.rev); err != nil {
			t.Fatal(err)
		}
		if len(w.said) == 0 || regexp.MustCompile(
			`^checking out [0-9a-f]{12} of .*: 10000 files are to be written, which takes`).MatchString(w.said[0]) != step.long {
			t.Errorf("%s: %q", step.rev, w.said)
		}
	}
}

// TestDuring says something at once, and nothing after it was stopped.
func TestDuring(t *testing.T) {
	var mu sync.Mutex
	n := 0
	o := Options{Step: func(string) { mu.Lock(); n++; mu.Unlock() }}
	stop := o.during(func() string { return "x" })
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		mu.Lock()
		enough := n > 1
		mu.Unlock()
		if enough {
			break
		}
	}
	stop()
	stop()
	before := n
	time.Sleep(2 * stepEvery)
	if before < 2 || n != before {
		t.Errorf("%d steps, then %d after the end", before, n)
	}
	(Options{}).during(nil)()
}

// TestAboutFiles is roughly right for a configuration of tokentest: 600 options build 1,100 to
// 1,850 files.
func TestAboutFiles(t *testing.T) {
	c := kconfig.Config{}
	for i := range 604 {
		c[strings.Repeat("X", i+1)] = "y"
	}
	c["M"] = "m"
	if got := aboutFiles(c); got != 1300 {
		t.Errorf("about %d files", got)
	}
	if got := aboutFiles(nil); got != 100 {
		t.Errorf("an empty configuration: about %d files", got)
	}
}
