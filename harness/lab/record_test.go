package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tokentest/cases/step"
	"tokentest/harness/kernel"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/kconfig"
)

// TestNewRun: a run's record holds everything that it was made from.
func TestNewRun(t *testing.T) {
	l := &Lab{Dir: "d", AllowEmpty: true, Lists: []result.ListEntry{{Pattern: "x"}}}
	p := newPlan(t, 0, "token_create", "nested_userns")
	p.Seed, p.Digest, p.Shard = 7, "abc", plan.Shard{I: 2, N: 3}
	r := l.newRun(p, []string{"run", "x"})
	if r.Version != result.Version || r.Dir != "d" || r.Seed != 7 || !r.AllowEmpty || len(r.Lists) != 1 ||
		len(r.Args) != 2 {
		t.Errorf("got %+v", r)
	}
	if r.Part == nil || r.Part.String() != "2/3" || r.Part.Plan != "abc" {
		t.Errorf("the part is %+v", r.Part)
	}
	var groups []string
	for _, g := range r.Groups {
		groups = append(groups, g.Name)
	}
	if slices.Sort(groups); !slices.Equal(groups, []string{"nested_userns", "token_create"}) {
		t.Errorf("groups %q: want each group of the cases once", groups)
	}
	if age := time.Since(r.Start); age < 0 || age > time.Minute || r.Start.Location() != time.UTC {
		t.Errorf("it started at %v", r.Start)
	}
	h := r.Host
	if h.Arch != runtime.GOARCH || h.CPUs < 1 || h.Kernel == "" || !strings.Contains(r.Program, runtime.Version()) {
		t.Errorf("host %+v, program %q", h, r.Program)
	}
	p.Digest = ""
	if r := l.newRun(p, nil); r.Part != nil {
		t.Errorf("a whole plan is part %v", r.Part)
	}
}

// TestDescribe: a kernel's origin is recorded, with a digest of its configuration.
func TestDescribe(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("CONFIG_X=y\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	k := &kernel.Kernel{
		Release: "6.12", Source: "pkg", Digest: "d", Note: "n", ConfigPath: config,
		Config: kconfig.Config{"CC_VERSION_TEXT": `"gcc 12"`},
	}
	var out result.KernelRun
	if err := describe(&out, k); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("CONFIG_X=y\n"))
	if out.Release != "6.12" || out.Source != "pkg" || out.Digest != "d" || out.Note != "n" || out.Compiler != "gcc 12" ||
		out.ConfigDigest != hex.EncodeToString(sum[:]) {
		t.Errorf("got %+v", out)
	}
	k.ConfigPath = ""
	out = result.KernelRun{}
	if err := describe(&out, k); err != nil || out.ConfigDigest != "" {
		t.Errorf("without a file: %v, digest %q", err, out.ConfigDigest)
	}
	k.ConfigPath = config + "2"
	if err := describe(&out, k); err == nil {
		t.Error("a missing file gives no error")
	}
}

// TestCell: only a case of one step that a benchmark can repeat gets the time to repeat it.
func TestCell(t *testing.T) {
	timed := func(c step.Cell) bool {
		_, ok := c[0].Num(step.KeyTime)
		return ok
	}
	all := newPlan(t, 0, "token_create/any/owner", "nested_userns").Cases
	repeats, none := &Lab{Stopwatch: &Stopwatch{Repeat: time.Millisecond}}, &Lab{Stopwatch: &Stopwatch{}}
	times := 0
	for _, c := range all {
		want := c.Len() == 1 && c.Cell()[0].Op.Row().Timed
		if want {
			times++
		}
		if got := timed(repeats.cell(c)); got != want {
			t.Errorf("%s: timed %v, want %v", c.ID, got, want)
		}
		if timed(none.cell(c)) || timed((&Lab{}).cell(c)) {
			t.Errorf("%s is timed although nobody measures", c.ID)
		}
		if timed(c.Cell()) {
			t.Errorf("%s itself was changed", c.ID)
		}
	}
	if times == 0 || times == len(all) {
		t.Errorf("%d of %d cases can be timed: the test needs both", times, len(all))
	}
}

// TestLeaksOff: whose choice it is that kmemleak does not scan.
func TestLeaksOff(t *testing.T) {
	off := kconfig.Config{"DEBUG_KMEMLEAK_DEFAULT_OFF": "y"}
	for _, tt := range []struct {
		config    kconfig.Config
		append    []string
		arguments []string
		want      bool
	}{
		{nil, nil, nil, false},
		{nil, []string{"kmemleak=off"}, nil, true},
		{nil, nil, []string{"kmemleak=off"}, true},
		{off, nil, nil, true},
		{off, []string{"kmemleak=on"}, nil, false},
		{off, nil, []string{"kmemleak=on"}, false},
		{kconfig.Config{"DEBUG_KMEMLEAK_DEFAULT_OFF": "n"}, nil, nil, false},
	} {
		s := &session{trial: &trial{
			lab: &Lab{Append: tt.append}, arguments: tt.arguments, kernel: &kernel.Kernel{Config: tt.config},
		}}
		if got := s.leaksOff(); got != tt.want {
			t.Errorf("%v, %q, %q: got %v", tt.config, tt.append, tt.arguments, got)
		}
	}
}

// TestRemark: each remark stands once in the note, after what is there.
func TestRemark(t *testing.T) {
	tr := &trial{out: &result.KernelRun{Note: "before"}}
	for _, s := range []string{"a", "b", "a"} {
		tr.remark(s)
	}
	if tr.out.Note != "before; a; b" {
		t.Errorf("got %q", tr.out.Note)
	}
}

// TestSymbolise: findings stay as they are if there is no ELF file or it cannot be read,
// which is logged once.
func TestSymbolise(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "vmlinux"), []byte("no ELF"), 0o644); err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]int{filepath.Join(t.TempDir(), "bzImage"): 0, filepath.Join(dir, "bzImage"): 1} {
		logged := 0
		l := &Lab{Log: func(string, ...any) { logged++ }}
		tr := &trial{lab: l, out: &result.KernelRun{}, kernel: &kernel.Kernel{Image: image}}
		tr.symbolise(nil)
		if logged != 0 {
			t.Errorf("%s: the ELF file is read without a finding", image)
		}
		for range 2 {
			list := splatOf("RIP: 0010:f+0x1/0x2")
			tr.symbolise(list)
			if got := list[0].Lines; len(got) != 1 || got[0] != "RIP: 0010:f+0x1/0x2" {
				t.Errorf("%s: got %q", image, got)
			}
		}
		if logged != want {
			t.Errorf("%s: %d lines logged, want %d", image, logged, want)
		}
	}
}

// splatOf is a finding with some lines.
func splatOf(lines ...string) []splat.Finding { return []splat.Finding{{Lines: lines}} }
