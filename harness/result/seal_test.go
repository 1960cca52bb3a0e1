package result

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/step"
	"tokentest/harness/vm"
)

// bigRun is a run of two kernels that passes, with 4 worlds and 20 cases each.
func bigRun() *Run {
	r := &Run{Version: Version}
	for _, ref := range []string{"x", "y"} {
		k := &KernelRun{Ref: ref, Planned: 20, Boots: []Boot{{Fate: vm.Clean}}}
		for i := range 4 {
			k.Worlds = append(k.Worlds, WorldResult{Group: "g", Index: i, Seen: []step.Observation{{}}})
		}
		for i := range 20 {
			k.Cases = append(k.Cases, CaseResult{ID: fmt.Sprintf("g/%d", i), Status: Pass,
				Steps: []StepResult{{Got: step.Observation{Errno: 1}, ID: "r"}}})
		}
		r.Kernels = append(r.Kernels, k)
	}
	return r
}

var storedFiles map[string]string

// stored are the files of bigRun, written once, because a sync takes time.
func stored(t *testing.T) map[string]string {
	t.Helper()
	if storedFiles != nil {
		return storedFiles
	}
	storedFiles = map[string]string{}
	dir := save(t, bigRun())
	for _, name := range []string{runFile, recordsFile} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		storedFiles[name] = string(text)
	}
	return storedFiles
}

// edit changes the lines of a run's records, and loads it.
func edit(t *testing.T, change func([]string) []string) *Run {
	t.Helper()
	dir := t.TempDir()
	for name, text := range stored(t) {
		if name == recordsFile {
			text = strings.Join(change(strings.SplitAfter(text, "\n")), "")
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := (&Loader{}).Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func place(f Fault, line, record, want int) Damage {
	return Damage{Line: line, Fault: f, Record: record, Want: want}
}

// TestDamage damages a passing run of 48 records in every way: each damage is reported with its
// line, and the run has no verdict.
func TestDamage(t *testing.T) {
	altered := func(line int, from, to string) func([]string) []string {
		return func(l []string) []string {
			if !strings.Contains(l[line-1], from) {
				t.Fatalf("line %d holds no %s: %s", line, from, l[line-1])
			}
			l[line-1] = strings.Replace(l[line-1], from, to, 1)
			return l
		}
	}
	cut := func(from, to int) func([]string) []string { // from line, up to but not to
		return func(l []string) []string { return slices.Delete(l, from-1, to-1) }
	}
	for _, tt := range []struct {
		name   string
		change func([]string) []string
		damage []Damage
		absent []int
	}{
		{"nothing", func(l []string) []string { return l }, nil, []int{0, 0}},
		{"the first 30 lines are left", cut(31, 49), []Damage{place(CutOff, 31, 30, 48)}, []int{0, 18}},
		{"nothing is left", cut(1, 49), []Damage{place(CutOff, 1, 0, 48)}, []int{20, 20}},
		{"the first line is gone, a world", cut(1, 2), []Damage{place(Skipped, 1, 2, 1)}, []int{0, 0}},
		{"a line is gone in the middle", cut(9, 10), []Damage{place(Skipped, 9, 10, 9)}, []int{1, 0}},
		{"the last line is gone", cut(48, 49), []Damage{place(CutOff, 48, 47, 48)}, []int{0, 1}},
		{"lines are gone in two places", func(l []string) []string { return slices.Delete(slices.Delete(l, 39, 41), 9, 10) },
			[]Damage{place(Skipped, 10, 11, 10), place(Skipped, 39, 42, 40)}, []int{1, 2}},
		{"an errno is altered", altered(10, `"errno":1`, `"errno":0`), []Damage{place(Altered, 10, 0, 10)}, []int{1, 0}},
		{"a status is altered", altered(10, `"pass"`, `"skip"`), []Damage{place(Altered, 10, 0, 10)}, []int{1, 0}},
		{"a world is altered", altered(2, `"errno":0`, `"errno":1`), []Damage{place(Altered, 2, 0, 2)}, []int{0, 0}},
		{"a number is altered", altered(10, `"n":10`, `"n":11`), []Damage{place(Altered, 10, 0, 10)}, []int{1, 0}},
		{"a checksum is altered", altered(10, `"sum":"`, `"sum":"x`),
			[]Damage{place(Unnumbered, 10, 0, 0), place(Skipped, 11, 11, 10)}, []int{1, 0}},
		{"a line of nothing", func(l []string) []string { return slices.Insert(l, 9, "\n") },
			[]Damage{place(Unnumbered, 10, 0, 0)}, []int{0, 0}},
		{"a record without a number", func(l []string) []string {
			return slices.Insert(l, 9, `{"kernel":0,"case":"g/20","status":"pass","boot":0}`+"\n")
		}, []Damage{place(Unnumbered, 10, 0, 0)}, []int{0, 0}},
		{"two lines are exchanged", func(l []string) []string { l[8], l[9] = l[9], l[8]; return l },
			[]Damage{place(Skipped, 9, 10, 9), place(Misplaced, 10, 9, 0)}, []int{0, 0}},
		{"a line is there twice", func(l []string) []string { return slices.Insert(l, 9, l[8]) },
			[]Damage{place(Repeated, 10, 9, 0)}, []int{0, 0}},
		{"a line takes the place of another", func(l []string) []string { l[9] = l[8]; return l },
			[]Damage{place(Repeated, 10, 9, 0), place(Skipped, 11, 11, 10)}, []int{1, 0}},
		{"the last line is torn", func(l []string) []string { l[47] = l[47][:20]; return l },
			[]Damage{place(Torn, 48, 0, 0)}, []int{0, 1}},
		{"a line is torn in the middle", func(l []string) []string { l[9] = l[9][:20]; return l },
			[]Damage{place(Altered, 10, 0, 10), place(Skipped, 11, 12, 11)}, []int{2, 0}},
		{"a record is added", func(l []string) []string {
			return slices.Insert(l, 48, string(sealed([]byte(`{"kernel":0,"case":"g/20","status":"pass","boot":0}`+"\n"), 49)))
		}, []Damage{place(Surplus, 49, 49, 48)}, []int{0, 0}},
		{"a record is forged", func(l []string) []string {
			l[9] = string(sealed([]byte(`{"kernel":0,"case":"g/5","status":"pass","boot":0}`+"\n"), 10))
			return l
		}, []Damage{place(Other, 49, 0, 0)}, []int{0, 0}},
	} {
		r := edit(t, tt.change)
		want := ExitNoVerdict
		if tt.damage == nil {
			want = ExitOK
		}
		if code := r.ExitCode(); code != want {
			t.Errorf("%s: exit code %d, want %d", tt.name, code, want)
		}
		for i := range tt.damage {
			tt.damage[i].File = filepath.Join(r.Dir, recordsFile)
			if text := tt.damage[i].String(); !strings.HasPrefix(text,
				fmt.Sprintf("%s:%d: ", tt.damage[i].File, tt.damage[i].Line)) || strings.HasSuffix(text, ": ") {
				t.Errorf("%s: %q does not say what is wrong, and where", tt.name, text)
			}
		}
		if !reflect.DeepEqual(r.Damage, tt.damage) || r.MoreDamage != 0 {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, r.Damage, tt.damage)
		}
		for i, k := range r.Kernels {
			if k.Absent != tt.absent[i] || k.Len() != 20-k.Absent {
				t.Errorf("%s: kernel %s: %d cases, %d have no record, want %d", tt.name, k.Ref, k.Len(), k.Absent, tt.absent[i])
			}
		}
	}
}

// TestDamageEverywhere deletes each line in turn, and changes each byte of one: each is noticed.
func TestDamageEverywhere(t *testing.T) {
	for line := range 48 {
		if r := edit(t, func(l []string) []string {
			return slices.Delete(l, line,
				line+1)
		}); r.ExitCode() != ExitNoVerdict || len(r.Gaps()) == 0 {
			t.Errorf("without line %d: exit code %d, %q", line+1, r.ExitCode(), r.Gaps())
		}
	}
	whole := 0
	edit(t, func(l []string) []string { whole = len(l[9]); return l })
	for at := range whole {
		r := edit(t, func(l []string) []string {
			text := []byte(l[9])
			text[at] ^= 1
			l[9] = string(text)
			return l
		})
		if r.ExitCode() != ExitNoVerdict || len(r.Damage) == 0 || r.Damage[0].Line != 10 {
			t.Errorf("byte %d of line 10 altered: exit code %d, %q", at, r.ExitCode(), r.Gaps())
		}
	}
}

// TestDamageIsShort: only some of many damaged lines are listed.
func TestDamageIsShort(t *testing.T) {
	r := edit(t, func(l []string) []string { slices.Reverse(l[:48]); return l })
	if len(r.Damage) != maxDamage || r.MoreDamage != 48-maxDamage || len(r.Gaps()) != maxDamage+1 {
		t.Errorf("%d places are named, %d are not: %q", len(r.Damage), r.MoreDamage, r.Gaps())
	}
}

// TestKeepCounts: cases that Keep leaves out have a record too.
func TestKeepCounts(t *testing.T) {
	dir := save(t, bigRun())
	l := &Loader{Keep: func(id string) bool { return id == "g/7" }}
	r, err := l.Load(dir)
	if err != nil || r.Kernels[0].Absent != 0 || r.Kernels[0].Len() != 1 || r.ExitCode() != ExitOK {
		t.Errorf("%v: %+v", err, r.Kernels[0])
	}
	damage(t, dir, recordsFile, func(s string) string { return s[:len(s)/2] })
	r, err = l.Load(dir)
	if err != nil || r.Kernels[1].Absent == 0 || r.ExitCode() != ExitNoVerdict {
		t.Errorf("%v: %+v", err, r.Kernels[1])
	}
}

// strip turns a run into one of an older version, without numbers and checksums.
func strip(t *testing.T, dir string) {
	t.Helper()
	damage(t, dir, recordsFile, func(text string) string {
		var out bytes.Buffer
		for line := range bytes.Lines([]byte(text)) {
			record, _, _, _ := unsealed(line)
			out.Write(bytes.TrimSuffix(record, []byte("\n")))
			out.WriteByte('\n')
		}
		return out.String()
	})
	head(t, dir, func(r map[string]any) {
		delete(r, "records")
		for _, k := range r["kernels"].([]any) {
			delete(k.(map[string]any), "planned")
		}
	})
}

// head changes run.json.
func head(t *testing.T, dir string, change func(map[string]any)) {
	t.Helper()
	damage(t, dir, runFile, func(text string) string {
		var r map[string]any
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		change(r)
		out, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	})
}

// seal numbers changed records as if they had been written so.
func seal(t *testing.T, dir string) {
	t.Helper()
	n, digest := 0, ""
	damage(t, dir, recordsFile, func(text string) string {
		var out []byte
		for line := range bytes.Lines([]byte(text)) {
			record, _, _, _ := unsealed(line)
			n++
			out = append(out, sealed(append(bytes.TrimSuffix(record, []byte("\n")), '\n'), n)...)
		}
		sum := sha256.Sum256(out)
		digest = hex.EncodeToString(sum[:])
		return string(out)
	})
	head(t, dir, func(r map[string]any) { r["records"] = Seal{n, digest} })
}

// TestUnverified: a record of an older version is marked as unverified.
func TestUnverified(t *testing.T) {
	dir := save(t, bigRun())
	strip(t, dir)
	r, err := (&Loader{}).Load(dir)
	if err != nil || !r.Unverified || len(r.Gaps()) != 0 || r.ExitCode() != ExitOK || r.Kernels[1].Len() != 20 {
		t.Errorf("%v: unverified %t, %q, exit code %d", err, r.Unverified, r.Gaps(), r.ExitCode())
	}
	seal(t, dir)
	if r, err = (&Loader{}).Load(dir); err != nil || r.Unverified || r.ExitCode() != ExitOK {
		t.Errorf("%v: unverified %t, %q", err, r.Unverified, r.Gaps())
	}
	// Records with numbers are verified also where the run has no seal.
	head(t, dir, func(r map[string]any) { delete(r, "records") })
	damage(t, dir, recordsFile, func(s string) string { return strings.Replace(s, `"errno":1`, `"errno":0`, 1) })
	if r, err = (&Loader{}).Load(dir); err != nil || r.Unverified || r.ExitCode() != ExitNoVerdict {
		t.Errorf("%v: unverified %t, %q", err, r.Unverified, r.Gaps())
	}
}

// TestBaselineDamage: a baseline that is cut off is noticed.
func TestBaselineDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.jsonl")
	if err := WriteBaseline(path, bigRun()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for _, tt := range []struct {
		name   string
		text   string
		fault  Fault
		absent int
		code   int
	}{
		{"whole", string(whole), "", 0, ExitOK},
		{"without its last line", strings.Join(lines[:40], ""), CutOff, 1, ExitNoVerdict},
		{"without a line", strings.Join(slices.Delete(slices.Clone(lines), 30, 31), ""), CutOff, 1, ExitNoVerdict},
		{"with another errno", strings.Replace(string(whole), `"errno":1`, `"errno":0`, 1), Other, 0, ExitNoVerdict},
		{"torn", strings.TrimSuffix(string(whole), "\n"), Torn, 1, ExitNoVerdict},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		base, err := (&Loader{}).Side(path)
		if err != nil {
			t.Fatal(err)
		}
		r := base.Runs[0]
		if tt.fault == "" != (len(r.Damage) == 0) || tt.fault != "" && r.Damage[0].Fault != tt.fault ||
			r.Kernels[1].Absent != tt.absent {
			t.Errorf("%s: %q", tt.name, r.Gaps())
		}
		if code := Compare(base, &Side{Name: "new", Runs: []*Run{bigRun()}}).ExitCode(); code != tt.code {
			t.Errorf("%s: exit code %d, want %d", tt.name, code, tt.code)
		}
	}
}

// TestCompareMissing compares with a run that lacks records, on either side and in both ways of
// comparing: a case without a record has neither vanished nor is it new, and a failure without a
// record in the base is not a new one.
func TestCompareMissing(t *testing.T) {
	cut := edit(t, func(l []string) []string { return l[:30] })
	whole := edit(t, func(l []string) []string { return l })
	failing := bigRun()
	for i := range failing.Kernels[1].Cases {
		failing.Kernels[1].Cases[i].Status = Fail
	}
	l := &Loader{}
	both := func(dir string) *Run {
		r, err := l.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, tt := range []struct {
		name      string
		base, new *Run
		none      int
		code      int
	}{
		{"to", whole, cut, 18, ExitNoVerdict},
		{"from", cut, whole, 18, ExitNoVerdict},
		{"to, together", both(whole.Dir), both(cut.Dir), 18, ExitNoVerdict},
		{"from, together", both(cut.Dir), both(whole.Dir), 18, ExitNoVerdict},
		{"neither", whole, whole, 0, ExitOK},
		{"from, failing", cut, failing, 18, ExitDiffers}, // the two that it has a record of
	} {
		c := Compare(sideWith(tt.base), sideWith(tt.new))
		n := c.Counts()
		if n[NoVerdict] != tt.none || n[Vanished]+n[NewCase] != 0 || c.ExitCode() != tt.code {
			t.Errorf("%s: %v, exit code %d; want %d without a verdict and exit code %d", tt.name, n, c.ExitCode(), tt.none,
				tt.code)
		}
	}
	// A fault that costs no case is one all the same.
	twice := edit(t, func(l []string) []string { return slices.Insert(l, 9, l[8]) })
	if c := Compare(sideWith(whole), sideWith(twice)); c.ExitCode() != ExitNoVerdict || len(c.Gaps) != 1 {
		t.Errorf("exit code %d, %q", c.ExitCode(), c.Gaps)
	}
}

// TestMergeMissing merges parts one of which lacks records.
func TestMergeMissing(t *testing.T) {
	a, b := edit(t, func(l []string) []string { return l }), edit(t, func(l []string) []string { return l[:30] })
	for _, k := range b.Kernels {
		k.Ref += "2"
	}
	r, err := Merge([]*Run{a, b})
	if err != nil || r.ExitCode() != ExitNoVerdict || r.Kernels[3].Absent != 18 || r.Kernels[3].Planned != 20 ||
		len(r.Damage) != 1 {
		t.Errorf("%v: exit code %d, %q", err, r.ExitCode(), r.Gaps())
	}
}

// TestBisectMissing: a run that lacks records stops a bisection.
func TestBisectMissing(t *testing.T) {
	if r := edit(t, func(l []string) []string { return l[:30] }); r.BisectCode() != BisectAbort {
		t.Errorf("exit code %d", r.BisectCode())
	}
}

// TestRecreate: old records stay until the new ones are complete.
func TestRecreate(t *testing.T) {
	dir := save(t, bigRun())
	before, err := os.ReadFile(filepath.Join(dir, recordsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, keep := range []bool{false, true} {
		s, err := Recreate(dir)
		if err != nil {
			t.Fatal(err)
		}
		r := bigRun()
		r.Kernels = r.Kernels[:1]
		if err := s.Append(0, r.Kernels[0]); err != nil {
			t.Fatal(err)
		}
		want := string(before)
		if keep {
			err = s.Close(r)
			want = string(before[:bytes.Index(before, []byte(`{"kernel":1`))])
		} else {
			err = s.Abandon()
		}
		after, readErr := os.ReadFile(filepath.Join(dir, recordsFile))
		if err != nil || readErr != nil || string(after) != want {
			t.Errorf("keep %t: %v, %v, %d bytes, want %d", keep, err, readErr, len(after), len(want))
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) > 0 {
			t.Errorf("%q are left behind", left)
		}
	}
}

// TestUnended: every reader of runs reports a run that has not ended.
func TestUnended(t *testing.T) {
	parts := t.TempDir()
	dir := filepath.Join(parts, "part2")
	if err := os.Rename(save(t, bigRun()), filepath.Join(parts, "part1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, InvocationFile), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := &Loader{}
	for what, load := range map[string]func() error{
		"the run":   func() error { _, err := l.Load(dir); return err },
		"a side":    func() error { _, err := l.Side(dir); return err },
		"its parts": func() error { _, err := l.Side(parts); return err },
	} {
		err, ok := load().(*UnendedError)
		if !ok || err.Dir != dir || !strings.Contains(err.Error(), "tokentest run --resume "+dir) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func sideWith(r *Run) *Side { return &Side{Name: r.Dir, Runs: []*Run{r}} }
