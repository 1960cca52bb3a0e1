package report

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tokentest/harness/result"
)

// report5 is a report as a reader of KCIDB's schema sees it.
type report5 struct {
	Checkouts []kcidbCheckout `json:"checkouts"`
	Builds    []kcidbBuild    `json:"builds"`
	Tests     []kcidbTest     `json:"tests"`
	Issues    []kcidbIssue    `json:"issues"`
	Incidents []kcidbIncident `json:"incidents"`
}

// TestKCIDB validates every report, and checks that each object refers to one that is there and
// that no two have the same name. The schema refuses wrong reports.
func TestKCIDB(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("schema/kcidb.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text string) error {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			return err
		}
		return schema.Validate(v)
	}
	for _, f := range fixtures {
		text := render(t, "kcidb", f.run(), Options{})
		if err := valid(text); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		var r report5
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		checkReferences(t, f.name, &r)
		checkTests(t, f.name, f.run(), &r)
	}
	good := render(t, "kcidb", everything(), Options{})
	for from, to := range map[string]string{`"major":5`: `"major":4`, `"status":"FAIL"`: `"status":"fail"`,
		`"origin":"tokentest"`: `"origin":"Token Test"`, `"test_id"`: `"test"`, `"path":"tokentest.`: `"path":"tokentest..`} {
		if bad := strings.ReplaceAll(good, from, to); bad == good || valid(bad) == nil {
			t.Errorf("%q for %q is taken for valid", to, from)
		}
	}
}

func checkReferences(t *testing.T, name string, r *report5) {
	t.Helper()
	ids := map[string]bool{}
	add := func(id string) {
		if ids[id] {
			t.Errorf("%s: %s is there twice", name, id)
		}
		ids[id] = true
	}
	refers := func(id string) {
		if !ids[id] {
			t.Errorf("%s: nothing is called %s", name, id)
		}
	}
	for _, c := range r.Checkouts {
		add(c.ID)
	}
	for _, b := range r.Builds {
		refers(b.CheckoutID)
		add(b.ID)
	}
	for _, x := range r.Tests {
		refers(x.BuildID)
		add(x.ID)
	}
	for _, i := range r.Issues {
		add(i.ID)
	}
	for _, i := range r.Incidents {
		refers(i.IssueID)
		refers(i.TestID)
		add(i.ID)
	}
}

// checkTests expects every case once, and a bad status exactly if the exit code says so.
func checkTests(t *testing.T, name string, run *result.Run, r *report5) {
	t.Helper()
	n := map[string]int{}
	bad := false
	for _, x := range r.Tests {
		if x.Misc["case"] != "" {
			n[x.Status]++
			continue
		}
		bad = bad || x.Status != "PASS" && x.Status != "SKIP"
	}
	want := map[result.Status]int{}
	for _, k := range run.Kernels {
		for s, count := range k.Counts() {
			want[s] += count
		}
	}
	if n["PASS"] != want[result.Pass] || n["SKIP"] != want[result.Skip] || n["MISS"] != want[result.Interrupted] ||
		n["FAIL"]+n["ERROR"] != want[result.Fail]+want[result.Broken]+want[result.XFail] {
		t.Errorf("%s: %v, want %v", name, n, want)
	}
	if whole := run.ExitCode() != result.ExitOK; len(run.Kernels) > 0 && !slices.Contains([]string{"interrupted",
		"stopped-early", "damaged", "starved"}, name) && bad != whole {
		t.Errorf("%s: a kernel is bad: %t, exit code %d", name, bad, run.ExitCode())
	}
}

// TestKCIDBIssues blames the kernel, the test or the harness.
func TestKCIDBIssues(t *testing.T) {
	culprits := func(run *result.Run) string {
		var r report5
		if err := json.Unmarshal([]byte(render(t, "kcidb", run, Options{})), &r); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, i := range r.Issues {
			for _, who := range []string{"code", "tool", "harness"} {
				if i.Culprit[who] && !slices.Contains(out, who) {
					out = append(out, who)
				}
			}
		}
		slices.Sort(out)
		return strings.Join(out, ",")
	}
	for want, run := range map[string]*result.Run{"": passing(), "code": tainted(), "tool": wrongOracle(),
		"code,harness": everything()} {
		if got := culprits(run); got != want {
			t.Errorf("blames %q, want %q", got, want)
		}
	}
	if testPath("map_create/cmds+maps/a.b") != "tokentest.map_create.cmds_maps.a_b" {
		t.Error(testPath("map_create/cmds+maps/a.b"))
	}
}

// The origin is in every object and before every identifier, and nothing else changes with it.
func TestKCIDBOrigin(t *testing.T) {
	usual := render(t, "kcidb", everything(), Options{})
	mine := render(t, "kcidb", everything(), Options{Origin: "our_lab"})
	n := strings.Count(mine, `"origin":"our_lab"`)
	if n == 0 || n != strings.Count(usual, `"origin":"tokentest"`) || strings.Contains(mine, `"tokentest:`) {
		t.Errorf("%d objects of the origin:\n%.500s", n, mine)
	}
	var r report5
	if err := json.Unmarshal([]byte(mine), &r); err != nil {
		t.Fatal(err)
	}
	checkReferences(t, "our_lab", &r)
	if r.Tests[0].Path != "tokentest" {
		t.Errorf("the path of the tests is %s: it names the tests, not who runs them", r.Tests[0].Path)
	}
	for _, wrong := range []string{"Our Lab", "our-lab", "a:b", "ö"} {
		if err := KCIDB(everything(), io.Discard, Options{Origin: wrong}); err == nil {
			t.Errorf("%q is taken for an origin", wrong)
		}
	}
}

// TestKCIDBCommit gives KCIDB a commit in the one form that its schema takes, SHA-1.
func TestKCIDBCommit(t *testing.T) {
	for commit, want := range map[string]kcidbCheckout{
		strings.Repeat("a1", 20): {Commit: strings.Repeat("a1", 20)},
		strings.Repeat("a1", 32): {Misc: map[string]string{"commit": strings.Repeat("a1", 32)}},
	} {
		run := passing()
		run.Kernels[0].Commit = commit
		var r report5
		if err := json.Unmarshal([]byte(render(t, "kcidb", run, Options{})), &r); err != nil {
			t.Fatal(err)
		}
		if c := r.Checkouts[0]; c.Commit != want.Commit || c.Misc["commit"] != want.Misc["commit"] {
			t.Errorf("%s: the checkout is %+v", commit, c)
		}
	}
}

// TestKCIDBPublished has KernelCI's own program validate every report, where it is installed.
func TestKCIDBPublished(t *testing.T) {
	program, err := exec.LookPath("kcidb-validate")
	if err != nil {
		t.Skip("no kcidb-validate: install kcidb to hold reports against the published schema")
	}
	for _, f := range fixtures {
		path := filepath.Join(t.TempDir(), "report.json")
		if err := os.WriteFile(path, []byte(render(t, "kcidb", f.run(), Options{})), 0o644); err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program)
		cmd.Stdin = in
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", f.name, err, out)
		}
		in.Close()
	}
}
