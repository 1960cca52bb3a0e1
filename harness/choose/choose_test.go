package choose

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tokentest/cases"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

func isUsage(err error) bool {
	var u *usage.Error
	return errors.As(err, &u)
}

func planOf(t *testing.T, args ...string) *plan.Plan {
	t.Helper()
	p, err := plan.Load(t.Context(), plan.Request{Kernels: []string{"k"}, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLists(t *testing.T) {
	p := planOf(t, "token_create")
	var warnings strings.Builder
	l := &Lists{Deny: []string{file(t, "map_crate # gone\n")}, Allow: []string{file(t, "token_create/*\n")}}
	list, err := l.Apply(t.Context(), p, &warnings)
	if err != nil || len(list) != 2 || list[0].Kind != result.DenyList || list[1].Kind != result.AllowList {
		t.Fatalf("%v, %v", list, err)
	}
	if n := strings.Count(warnings.String(), "\n"); n != 1 || !strings.Contains(warnings.String(), "near: map_create") {
		t.Errorf("warnings: %q", warnings.String())
	}
	l.Strict = true
	if _, err := l.Apply(t.Context(), p, &warnings); err == nil || strings.Count(warnings.String(), "\n") != 1 {
		t.Errorf("strict: %v, warnings %q", err, warnings.String())
	}
}

func TestListMistakes(t *testing.T) {
	for _, l := range []Lists{
		{Deny: []string{filepath.Join(t.TempDir(), "absent")}},
		{Deny: []string{file(t, "token_create\n")}},            // no reason
		{Expect: []string{file(t, "token_create # reason\n")}}, // no errno
	} {
		if _, err := l.Apply(t.Context(), planOf(t, "token_create"), &strings.Builder{}); !isUsage(err) {
			t.Errorf("%+v: got %v, want a usage error", l, err)
		}
	}
}

// An argument that is a run takes the place of the newest run, and only of that.
func TestFailedRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	now := time.Now().UTC()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := runs.Store(&result.Run{Version: result.Version, Dir: dir, Start: now, End: now}); err != nil {
		t.Fatal(err)
	}
	args := []string{"token_create", dir, "map_create"}
	run, rest, err := FailedRun(runs.Latest, args)
	if run != dir || !slices.Equal(rest, []string{"token_create", "map_create"}) || err != nil {
		t.Errorf("got %q, %q, %v", run, rest, err)
	}
	if args[1] != dir {
		t.Errorf("the arguments became %q", args)
	}
	run, rest, err = FailedRun("other", args)
	if run != "other" || !slices.Equal(rest, args) || err != nil {
		t.Errorf("of a named run: got %q, %q, %v", run, rest, err)
	}
}

func TestStdin(t *testing.T) {
	const text = "actor a userns\n"
	if got, err := ReadStdin(strings.NewReader(text), "", []string{"token_create"}); got != "" || err != nil {
		t.Errorf("without -: got %q, %v", got, err)
	}
	args := []string{plan.Stdin}
	if _, err := ReadStdin(strings.NewReader(""), "", args); !isUsage(err) {
		t.Errorf("empty: got %v", err)
	}
	got, err := ReadStdin(strings.NewReader(text), "", args)
	if got != text || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	dir := t.TempDir()
	p := &plan.Plan{Files: map[string]string{"mine": plan.Stdin, "other": "other.txt"}}
	if err := KeepStdin(dir, p, got); err != nil {
		t.Fatal(err)
	}
	if p.Files["mine"] != filepath.Join(dir, plan.StdinFile) || p.Files["other"] != "other.txt" {
		t.Errorf("the plan has the files %q", p.Files)
	}
	if got, err = ReadStdin(strings.NewReader("not this"), dir, args); got != text || err != nil {
		t.Errorf("resumed: got %q, %v", got, err)
	}
}

func TestCheckExit(t *testing.T) {
	for _, tt := range []struct {
		value string
		other bool
		want  string // in the error; "" for none
	}{
		{ExitVerdict, true, ""}, {ExitRecord, false, ""}, {ExitRecord, true, "leave out --bisect"},
		{"x", false, "must be verdict"},
	} {
		err := CheckExit(tt.value, tt.other)
		if tt.want == "" && err != nil || tt.want != "" && (!isUsage(err) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s, %v: %v", tt.value, tt.other, err)
		}
	}
}

func TestPart(t *testing.T) {
	whole := planOf(t, "token_create", "map_create")
	if p, err := (&Part{}).Cut(whole, nil); p != whole || err != nil {
		t.Errorf("no shard: got %v, %v", p, err)
	}
	for _, shard := range []string{"0/2", "3/2", "x"} {
		if _, err := (&Part{Shard: shard}).Cut(whole, nil); !isUsage(err) {
			t.Errorf("%s: got %v, want a usage error", shard, err)
		}
	}
	n := 0
	for _, shard := range []string{"1/2", "2/2"} {
		p, err := (&Part{Shard: shard}).Cut(whole, nil)
		if err != nil || len(p.Of("k")) == 0 || len(p.Of("k")) == len(whole.Cases) {
			t.Fatalf("%s: %v", shard, err)
		}
		n += len(p.Of("k"))
	}
	if n < len(whole.Cases) {
		t.Errorf("the parts have %d cases, the whole has %d", n, len(whole.Cases))
	}
	if _, err := (&Part{Shard: "1/2", Durations: filepath.Join(t.TempDir(), "absent")}).Cut(whole, nil); !isUsage(err) {
		t.Errorf("no run: got %v", err)
	}
}

func TestWriteMatrix(t *testing.T) {
	var out bytes.Buffer
	if err := (&Part{}).WriteMatrix(&out, planOf(t, "token_create"), 2); err != nil {
		t.Fatal(err)
	}
	var matrix struct{ Include []plan.Job }
	if err := json.Unmarshal(out.Bytes(), &matrix); err != nil || len(matrix.Include) == 0 {
		t.Errorf("%v: %s", err, out.Bytes())
	}
}

func TestWorlds(t *testing.T) {
	for _, w := range []Worlds{{Count: -1}, {Asked: true}, {Given: true}} {
		if err := w.Check(); !isUsage(err) {
			t.Errorf("%+v: got %v, want a usage error", w, err)
		}
	}
	w := &Worlds{Count: 3, Seed: 7, Given: true, Asked: true}
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	if w.NewSeed(); w.Seed != 7 {
		t.Errorf("the seed became %d", w.Seed)
	}
	if line := w.Line([]string{"run"}); len(line) != 1 {
		t.Errorf("the line has the seed twice: %q", line)
	}
	corpus, err := cases.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names, err := w.Draw(t.Context(), corpus)
	if err != nil || len(names) != len(w.Texts) || len(names) == 0 || len(w.Known) == 0 {
		t.Fatalf("%d names, %d texts, %d known, %v", len(names), len(w.Texts), len(w.Known), err)
	}
	dir, notes := t.TempDir(), 0
	p := &plan.Plan{}
	if err := w.Keep(dir, p, func(string, ...any) { notes++ }); err != nil || notes != 1 {
		t.Fatalf("%v, %d notes", err, notes)
	}
	for _, name := range names {
		if text, err := os.ReadFile(p.Files[name]); err != nil || string(text) != w.Texts[name] {
			t.Errorf("%s: %v: %q", name, err, text)
		}
	}
}

// A run without --seed gets a seed that it stores, and a run without worlds gets none.
func TestNewSeed(t *testing.T) {
	none, w := &Worlds{}, &Worlds{Count: 1}
	none.NewSeed()
	w.NewSeed()
	if w.Seed > math.MaxUint32 || none.Seed != 0 || len(none.Line(nil)) != 0 {
		t.Errorf("seeds %d and %d", w.Seed, none.Seed)
	}
	if line := w.Line([]string{"run"}); len(line) != 3 || line[1] != "--seed" {
		t.Errorf("line %q", line)
	}
	if err := none.Keep(filepath.Join(t.TempDir(), "absent"), &plan.Plan{}, nil); err != nil {
		t.Error(err)
	}
}

// --durations of the command line needs something to cut; that of a plan file waits for a --shard.
func TestDurationsAlone(t *testing.T) {
	p := Part{Durations: "run"}
	err := p.Check(map[string]bool{"durations": true})
	if !isUsage(err) || !strings.Contains(err.Error(), "add --shard I/N") {
		t.Error(err)
	}
	for _, given := range []map[string]bool{{}, {"durations": true, "shards": true}} {
		if err := p.Check(given); err != nil {
			t.Errorf("%v: %v", given, err)
		}
	}
	p.Shard = "1/2"
	if err := p.Check(map[string]bool{"durations": true}); err != nil {
		t.Error(err)
	}
}
