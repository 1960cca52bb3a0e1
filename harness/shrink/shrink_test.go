package shrink

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tokentest/cases"
	"tokentest/cases/draw"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/lab"
	"tokentest/harness/lab/labtest"
	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// TestMain makes the test binary play the programs that a lab starts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"qemu-system-x86_64": func() { os.Exit(labtest.QEMU()) },
		"go":                 func() { os.Exit(labtest.Go()) },
	})
}

// wrongRule is a rule of which the oracle of these tests is deprived.
const wrongRule = "map_create/unprivileged-disabled"

// drawn runs drawn worlds with a wrong oracle, and returns what shrink.Run takes.
func drawn(t *testing.T, acts string) (*result.Run, Options, *[]string) {
	t.Helper()
	dir := t.TempDir()
	if err := labtest.Tree(dir); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv(labtest.Acts, acts)
	t.Setenv(labtest.Boots, filepath.Join(dir, "boots"))
	o := Options{Log: t.Logf, Lab: &lab.Lab{Dir: filepath.Join(dir, "run"), CacheDir: filepath.Join(dir, "cache"),
		Accel: "kvm"}}
	o.Lab.Faults.OmitRule = wrongRule
	if err := os.Mkdir(o.Lab.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	extend := func(ctx context.Context, c *cases.Corpus) (names []string, err error) {
		names, o.Drawn, err = draw.Add(ctx, c, 7, 60)
		return names, err
	}
	p, err := plan.Load(t.Context(), plan.Request{Kernels: []string{"bzImage"}, Extend: extend})
	if err != nil {
		t.Fatal(err)
	}
	o.Cases = p.Cases
	r, err := o.Lab.Run(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	said := &[]string{}
	o.Say = func(format string, args ...any) { *said = append(*said, fmt.Sprintf(format, args...)) }
	return r, o, said
}

// Each disagreement becomes a file that shows it again, shorter than the world was.
func TestRun(t *testing.T) {
	r, o, said := drawn(t, "clean")
	if err := Run(t.Context(), r, o); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(o.Lab.Dir, "shrunk-*.txt"))
	if err != nil || len(files) == 0 || len(files) > maxShrunk {
		t.Fatalf("%d files, %v; it says %q", len(files), err, *said)
	}
	for i, name := range files {
		if !strings.Contains((*said)[i], "; shrunk in ") || !strings.Contains((*said)[i], "repeat: tokentest run "+name) {
			t.Errorf("it says %q of %s", (*said)[i], name)
		}
		p, err := plan.Load(t.Context(), plan.Request{Kernels: []string{"bzImage"}, Args: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		again := *o.Lab
		again.Dir = t.TempDir()
		r, err := again.Run(t.Context(), p, nil)
		if err != nil || r.Kernels[0].Counts()[result.Fail] != 1 {
			t.Errorf("%s does not fail again: %v, %v", name, r.Kernels[0].Counts(), err)
		}
		if n := p.Cases[0].Len(); n > 8 {
			t.Errorf("%s has %d steps", name, n)
		}
	}
}

// What does not reproduce alone is said, and makes no file.
func TestRunDoesNotRepeat(t *testing.T) {
	r, o, said := drawn(t, "clean")
	o.Lab.Faults.OmitRule = "" // the oracle is right again
	if err := Run(t.Context(), r, o); err != nil {
		t.Fatal(err)
	}
	if len(*said) == 0 || !strings.Contains((*said)[0], "does not reproduce alone") {
		t.Errorf("it says %q", *said)
	}
	if files, err := filepath.Glob(filepath.Join(o.Lab.Dir, "shrunk-*.txt")); err != nil || len(files) > 0 {
		t.Errorf("it wrote %q, %v", files, err)
	}
}

// An interruption ends it without an error, and cases that were not drawn are left alone.
func TestRunStops(t *testing.T) {
	r, o, said := drawn(t, "clean")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, r, o); err != nil || len(*said) > 0 {
		t.Errorf("interrupted: got %v, it says %q", err, *said)
	}
	o.Drawn = nil
	if err := Run(t.Context(), r, o); err != nil || len(*said) > 0 {
		t.Errorf("nothing was drawn: got %v, it says %q", err, *said)
	}
}

func TestKindOf(t *testing.T) {
	eperm := uapi.Errno(1)
	create := &step.Step{Op: step.OpMapCreate}
	call := &step.Step{Op: step.OpCall, Args: []step.Arg{{Key: step.KeyCmd, Num: uint64(uapi.BPF_BTF_GET_FD_BY_ID)}}}
	for _, tt := range []struct {
		s    *step.Step
		r    result.StepResult
		want string
	}{
		{create, result.StepResult{Want: &eperm}, "map_create: got ok, want EPERM"},
		{create, result.StepResult{Got: step.Observation{Errno: eperm}}, "map_create: got EPERM, want ?"},
		{call, result.StepResult{Want: new(uapi.Errno)}, "btf_get_fd_by_id: got ok, want ok"},
	} {
		if got := kindOf(tt.s, &tt.r).String(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
