package repro

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/harness/report"
	"tokentest/harness/result"
)

// A run with a difference gets a program for the cause, which the report names; another run gets none.
func TestOfRun(t *testing.T) {
	dir := t.TempDir()
	const id, other = "map_create/any/owner/CAP_BPF/with/hash", "map_create/any/owner/CAP_BPF/with/array"
	failed := func(id string) result.CaseResult {
		return result.CaseResult{ID: id, Status: result.Fail, Cause: result.Cause{Kind: result.ByStep, Step: 1},
			Steps: []result.StepResult{{ID: "map_create/allowed", Wrong: true}}}
	}
	passed := result.CaseResult{ID: "nested_userns", Status: result.Pass}
	k := &result.KernelRun{Ref: "k", Facts: release, Cases: []result.CaseResult{passed}}
	r := &result.Run{Version: result.Version, Dir: dir, Kernels: []*result.KernelRun{k}}
	if n, err := OfRun(t.Context(), r); n != 0 || err != nil {
		t.Errorf("%d programs of a run without a failure, %v", n, err)
	}
	k.Cases = append(k.Cases, failed(other), failed(id))
	n, err := OfRun(t.Context(), r)
	if n != 1 || err != nil {
		t.Fatalf("%d programs, %v: want one of the cause", n, err)
	}
	file := result.ReproFile(dir, 0, id)
	text, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(text, []byte(" * "+id+"\n")) {
		t.Errorf("%v: %.80s", err, text)
	}
	for _, format := range []string{"pretty", "ktap", "markdown", "mail"} {
		var out bytes.Buffer
		if err := report.Write(format, r, &out, report.Options{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), filepath.Base(file)) {
			t.Errorf("%s does not name the program:\n%s", format, out.String())
		}
		if format == "mail" && !strings.Contains(out.String(), "\n"+string(text)) {
			t.Errorf("the mail does not carry the program:\n%s", out.String())
		}
	}
}

// The program of a failure ends with the step that differs, and has no process that acts only later.
func TestUntil(t *testing.T) {
	c := corpus(t).Case("nested_userns")
	var whole, part bytes.Buffer
	if err := Write(&whole, c, release); err != nil {
		t.Fatal(err)
	}
	if err := WriteUntil(&part, c, release, 2); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(whole.String(), "INNER") || strings.Contains(part.String(), "INNER") {
		t.Errorf("the program of the first two steps has %d of %d lines:\n%s", bytes.Count(part.Bytes(), []byte("\n")),
			bytes.Count(whole.Bytes(), []byte("\n")), part.String())
	}
}

func TestRunDir(t *testing.T) {
	dir := t.TempDir()
	if got := RunDir([]string{dir}); got != "" {
		t.Errorf("a directory without a run: %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "run.json"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := RunDir([]string{dir}); got != dir {
		t.Errorf("got %q, want %q", got, dir)
	}
	if got := RunDir([]string{dir, dir}); got != "" {
		t.Errorf("two arguments: %q", got)
	}
}
