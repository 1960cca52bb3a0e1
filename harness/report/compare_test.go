package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/cases/uapi"
	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

// comparison has every class, a new finding, and a kernel that the new run does not have.
func comparison() *result.Comparison {
	base := newKernel("deb:trixie", passed("same/a", 0), passed("m/any/fails/b", eperm), passed("m/any/fails/c", eperm),
		passed("changes/a", eperm),
		failed("fixed/a", stepResult("x", 0, eperm)), failed("still/a", stepResult("x", 0, eperm)), passed("lost/a", 0),
		passed("gone/a", 0), passed("gone/b", 0),
		skipped("came/a", "no such type"))
	now := newKernel("deb:trixie", passed("same/a", 0), failed("m/any/fails/b", stepResult("owner map_create", 0, eperm)),
		failed("m/any/fails/c", stepResult("owner map_create", einval, eperm)), passed("changes/a", 0),
		passed("fixed/a", eperm), failed("still/a", stepResult("x", 0, eperm)),
		broken("lost/a", "the machine was lost under it: killed", 0), passed("came/a", 0), passed("new/a", 0),
		passed("varies/a", 0))
	again := newKernel("deb:trixie", failed("varies/a", stepResult("x", eperm, 0)))
	now.Boots = append(now.Boots, boot(1, vm.Tainted, "WARNING in f",
		splat.Finding{Kind: splat.KindWarn, Title: "WARNING in f"}))
	b, n := newRun(base, newKernel("deb:gone", passed("a", 0))), newRun(now)
	n.Tool, n.Dir = "another0000000", "results/runs/8"
	return result.Compare(&result.Side{Name: b.Dir, Runs: []*result.Run{b}},
		&result.Side{Name: n.Dir, Runs: []*result.Run{n, newRun(again)}})
}

func renderComparison(t *testing.T, format string, c *result.Comparison, o Options) string {
	t.Helper()
	var out bytes.Buffer
	if err := WriteComparison(format, c, &out, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestComparisonGolden(t *testing.T) {
	for _, format := range textFormats(CompareFormats()) {
		golden(t, filepath.Join("testdata", "compare."+format), renderComparison(t, format, comparison(), Options{}))
	}
	var out bytes.Buffer
	if err := WriteComparison("teapot", comparison(), &out, Options{}); err == nil ||
		!strings.Contains(err.Error(), "there are pretty, json") {
		t.Errorf("an unknown format: %v", err)
	}
}

// TestComparisonSays names every class once, the worst first.
func TestComparisonSays(t *testing.T) {
	text := renderComparison(t, "pretty", comparison(), Options{})
	at := 0
	for _, want := range []string{
		"unlike: tokentest: 33a3b73f2fe1 and another0000", "NEW FINDING WARNING in f", "NEW FAILURE 2 cases: got ok",
		"NO VERDICT 1 case: the machine was lost",
		"FLAKY 1 case of varies: 1 fail, 1 pass", "STILL FAILING 1 case", "CHANGED DECISION 1 case: EPERM, then ok",
		"FIXED 1 case", "NEW 1 case of", "VANISHED 2 cases of gone",
		"1 same, 2 new failure", "kernel deb:gone", "not compared: the new side does not have it",
	} {
		i := strings.Index(text[at:], want)
		if want == "unlike: tokentest: 33a3b73f2fe1 and another0000" {
			want = "unlike: tokentest: 33a3b73f2fe1, then 33a3b73f2fe1 and another00000"
			i = strings.Index(text, want)
		}
		if i < 0 {
			t.Fatalf("%q is not after what is worse:\n%s", want, text)
		}
		at += i
	}
	if c := comparison(); c.ExitCode() != result.ExitDiffers {
		t.Errorf("exit code %d", c.ExitCode())
	}
}

// TestComparisonJSON holds every change.
func TestComparisonJSON(t *testing.T) {
	var got struct {
		ExitCode int `json:"exit_code"`
		Counts   map[result.Class]int
		Kernels  []struct {
			Changes []struct{ Case, Class string }
		}
	}
	if err := json.Unmarshal([]byte(renderComparison(t, "json", comparison(), Options{})), &got); err != nil {
		t.Fatal(err)
	}
	n := map[result.Class]int{}
	for _, k := range got.Kernels {
		for _, c := range k.Changes {
			n[result.Class(c.Class)]++
		}
	}
	for _, class := range result.Classes() {
		if n[class] != got.Counts[class] || n[class] == 0 {
			t.Errorf("%s: %d changes, counted %d", class, n[class], got.Counts[class])
		}
	}
}

// TestComparisonGroups checks that one wrong rule is one paragraph.
func TestComparisonGroups(t *testing.T) {
	base, now := newKernel("k"), newKernel("k")
	for i := range 400 {
		id := fmt.Sprintf("map_create/%d", i)
		base.Cases = append(base.Cases, passed(id, eperm))
		now.Cases = append(now.Cases, failed(id, stepResult("owner map_create", []uapi.Errno{0, einval}[i%2], eperm)))
	}
	side := func(k *result.KernelRun) *result.Side { return &result.Side{Runs: []*result.Run{newRun(k)}} }
	text := renderComparison(t, "pretty", result.Compare(side(base), side(now)), Options{})
	if strings.Count(text, "NEW FAILURE") != 1 || strings.Count(text, "\n") > 20 {
		t.Errorf("one cause takes more than a paragraph:\n%s", text)
	}
}
