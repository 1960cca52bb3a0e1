package runs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tokentest/harness/result"
)

// atDay stores a run in the base that began on a day.
func atDay(t *testing.T, base string, day int, refs ...string) string {
	t.Helper()
	start := time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)
	r := &result.Run{Start: start}
	for _, ref := range refs {
		r.Kernels = append(r.Kernels, oneCase(ref))
	}
	return stored(t, filepath.Join(base, start.Format(nameForm)), r)
}

func TestFind(t *testing.T) {
	base := stateDir(t)
	if _, err := Find(Latest); !isUsage(err) || !strings.Contains(err.Error(), "tokentest run makes one") {
		t.Errorf("without a run: got %v", err)
	}
	if _, err := FindAll("a," + Latest); !isUsage(err) {
		t.Errorf("one of several: got %v", err)
	}
	first := atDay(t, base, 1, "a")
	// A name that is no time does not decide which run is the newest.
	stored(t, filepath.Join(base, "zzz"), &result.Run{Start: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)})
	second := atDay(t, base, 2, "a")
	if err := os.Mkdir("here", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		Latest:                                second,
		filepath.Base(first):                  first,
		first:                                 first,
		filepath.Join(first, "run.json"):      first,
		"here":                                "here",
		"nowhere":                             "nowhere",
		"no/where":                            "no/where",
		"":                                    "",
		filepath.Join(first, "records.jsonl"): filepath.Join(first, "records.jsonl"),
	} {
		if got, err := Find(name); err != nil || got != want {
			t.Errorf("%q: got %s, %v; want %s", name, got, err, want)
		}
	}
	if got, err := FindAll(Latest + ",here"); err != nil || got != second+",here" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestBefore(t *testing.T) {
	base := stateDir(t)
	first := atDay(t, base, 1, "a")
	atDay(t, base, 2, "a", "b")
	third := atDay(t, base, 3, "a")
	if got, err := Before(third); err != nil || got != first {
		t.Errorf("got %s, %v; want %s, which has the same kernels", got, err, first)
	}
	if _, err := Before(first); !isUsage(err) || !strings.Contains(err.Error(), "name both") {
		t.Errorf("before the first: got %v", err)
	}
	if _, err := Before("nowhere"); !isUsage(err) {
		t.Errorf("nowhere: got %v", err)
	}
}

func TestLogs(t *testing.T) {
	dir := t.TempDir()
	if _, err := Logs(dir); !isUsage(err) {
		t.Errorf("none: got %v", err)
	}
	want := []string{filepath.Join(dir, "kernel0", "boot0", "console.log"),
		filepath.Join(dir, "kernel0", "boot1", "console.log")}
	for _, name := range want {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Logs(dir); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}
