package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"html"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tokentest/harness/result"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func render(t *testing.T, format string, r *result.Run, o Options) string {
	t.Helper()
	var out bytes.Buffer
	if err := Write(format, r, &out, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// textFormats are those that a person can compare; a page is tried in a
// browser, and the threats on runs that ask.
func textFormats(all []string) []string {
	return slices.DeleteFunc(all, func(f string) bool { return f == "html" || strings.HasPrefix(f, "threats") })
}

func TestGolden(t *testing.T) {
	for _, f := range fixtures {
		for _, format := range textFormats(Formats()) {
			name := f.name + "." + format
			t.Run(name, func(t *testing.T) {
				golden(t, filepath.Join("testdata", name), render(t, format, f.run(), Options{}))
			})
		}
	}
	golden(t, "testdata/everything.40.pretty", render(t, "pretty", everything(), Options{Width: 40}))
	golden(t, "testdata/everything.200.pretty", render(t, "pretty", everything(), Options{Width: 200}))
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites):\n%s", path, diff)
	}
}

// TestGoldenFiles finds a golden file that no test compares any more.
func TestGoldenFiles(t *testing.T) {
	want := map[string]bool{"everything.40.pretty": true, "everything.200.pretty": true}
	for _, f := range fixtures {
		for _, format := range textFormats(Formats()) {
			want[f.name+"."+format] = true
		}
	}
	for _, format := range textFormats(CompareFormats()) {
		want["compare."+format] = true
	}
	list, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if !want[e.Name()] {
			t.Errorf("testdata/%s belongs to no run", e.Name())
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, f := range fixtures {
		if got := f.run().ExitCode(); got != f.exit {
			t.Errorf("%s: exit code %d, want %d", f.name, got, f.exit)
		}
	}
}

// Every format says of a run that was damaged on purpose that it was.
func TestLie(t *testing.T) {
	for _, format := range append(Formats(), "threats-html") {
		var b bytes.Buffer
		if err := Write(format, lie(), &b, Options{}); err != nil {
			t.Fatal(err)
		}
		want := "not a real run: --lie-rule token_create/no-cap-bpf damages it on purpose"
		if format == "json" || format == "jsonl" {
			want = `"--lie-rule"` // one of the flags
		}
		if got := strings.Join(strings.Fields(html.UnescapeString(b.String())), " "); !strings.Contains(got, want) {
			t.Errorf("%s: no %q in\n%.2000s", format, want, got)
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	const all = "there are pretty, ktap, junit, kcidb, json, jsonl, github, markdown, mail, html, threats, threats-html"
	for format, want := range map[string]string{
		"ktp":    `unknown format "ktp": ` + all + `; did you mean ktap?`,
		"JSON":   `unknown format "JSON": ` + all + `; did you mean json?`,
		"":       `unknown format "": ` + all,
		"teapot": `unknown format "teapot": ` + all,
	} {
		err := Write(format, passing(), io.Discard, Options{})
		if err == nil || err.Error() != want {
			t.Errorf("Write(%q): %v, want %s", format, err, want)
		}
		if Check(format) == nil {
			t.Errorf("Check(%q) accepts it", format)
		}
	}
	for _, format := range Formats() {
		if err := Check(format); err != nil {
			t.Error(err)
		}
	}
}

type fullDisk struct{ room int }

var errFull = errors.New("no space left on device")

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room -= len(p); d.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// TestWriteError loses no error, wherever the disk fills up.
func TestWriteError(t *testing.T) {
	for _, format := range Formats() {
		size := len(render(t, format, brokenControls(), Options{}))
		for _, room := range []int{0, size / 2, size - 1} {
			if err := Write(format, brokenControls(), &fullDisk{room}, Options{}); !errors.Is(err, errFull) {
				t.Errorf("%s with room for %d of %d bytes: %v", format, room, size, err)
			}
		}
	}
}

// TestNoControlCharacters keeps a guest from moving the reader's cursor.
func TestNoControlCharacters(t *testing.T) {
	for _, f := range fixtures {
		for _, format := range Formats() {
			text := render(t, format, f.run(), Options{})
			if !utf8.ValidString(text) {
				t.Errorf("%s as %s is not UTF-8", f.name, format)
			}
			for _, r := range text {
				if r != '\n' && (unicode.IsControl(r) || !strings.HasPrefix(format, "json") && !unicode.IsGraphic(r)) {
					t.Errorf("%s as %s holds %q", f.name, format, r)
				}
			}
		}
	}
}

// ours lets cmp look into what a run keeps to itself.
var ours = cmp.Exporter(func(t reflect.Type) bool { return strings.HasPrefix(t.PkgPath(), "tokentest/harness/result") })

// TestStored renders a run that was stored and read as the run itself.
func TestStored(t *testing.T) {
	for _, f := range fixtures {
		r := f.run()
		if f.name == "hostile" || len(r.Damage) > 0 {
			continue // JSON keeps no bytes that are not UTF-8, and damage comes after a run
		}
		r.Dir = t.TempDir()
		if r.Resume != nil {
			r.Resume = []string{r.Dir}
			if err := os.WriteFile(filepath.Join(r.Dir, result.InvocationFile), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s, err := result.Create(r.Dir)
		for i, k := range r.Kernels {
			err = errors.Join(err, s.Append(i, k))
		}
		if err = errors.Join(err, s.Close(r)); err != nil {
			t.Fatal(err)
		}
		stored, err := (&result.Loader{}).Load(r.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range Formats() {
			if diff := cmp.Diff(render(t, format, r, Options{}), render(t, format, stored, Options{})); diff != "" {
				t.Errorf("%s as %s differs once it was stored:\n%s", f.name, format, diff)
			}
		}
	}
}

// TestPure renders twice and leaves the run as it was.
func TestPure(t *testing.T) {
	for _, f := range fixtures {
		for _, format := range Formats() {
			r := f.run()
			first := render(t, format, r, Options{})
			if diff := cmp.Diff(first, render(t, format, r, Options{})); diff != "" {
				t.Errorf("%s as %s differs the second time:\n%s", f.name, format, diff)
			}
			if diff := cmp.Diff(f.run(), r, ours); diff != "" {
				t.Errorf("%s as %s changed the run:\n%s", f.name, format, diff)
			}
		}
	}
}

// TestJSON reads the report back and compares it with the run.
func TestJSON(t *testing.T) {
	for _, f := range fixtures {
		if f.name == "hostile" {
			continue // its text is not UTF-8, which JSON cannot represent
		}
		var got struct {
			result.Run
			lacking
			ExitCode int `json:"exit_code"`
			Kernels  []struct {
				result.KernelRun
				Absent int                   `json:"absent"`
				Counts map[result.Status]int `json:"counts"`
				Cases  []result.CaseResult   `json:"cases"`
			} `json:"kernels"`
		}
		d := json.NewDecoder(strings.NewReader(render(t, "json", f.run(), Options{})))
		d.DisallowUnknownFields()
		if err := d.Decode(&got); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		want := f.run()
		r := got.Run
		l := got.lacking
		r.Dir, r.Damage, r.MoreDamage, r.Unverified, r.Resume = want.Dir, l.Damage, l.MoreDamage, l.Unverified, l.Resume
		for _, k := range got.Kernels {
			kr := k.KernelRun
			kr.Absent = k.Absent
			if len(k.Cases) > 0 {
				kr.Cases = k.Cases
			}
			r.Kernels = append(r.Kernels, &kr)
			if !maps.Equal(k.Counts, kr.Counts()) {
				t.Errorf("%s: counts %v, want %v", f.name, k.Counts, kr.Counts())
			}
		}
		if diff := cmp.Diff(want, &r, ours); diff != "" || got.ExitCode != f.exit {
			t.Errorf("%s: exit code %d, want %d; run (-want +got):\n%s", f.name, got.ExitCode, f.exit, diff)
		}
	}
}
