package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tokentest/harness/result"
)

// jsonReport is what verdict reads of a run in the format json.
type jsonReport struct {
	ExitCode    int             `json:"exit_code"`
	Interrupted bool            `json:"interrupted"`
	Damage      []result.Damage `json:"damage"`
	Kernels     []struct {
		Ref    string         `json:"ref"`
		Error  string         `json:"error"`
		Counts map[string]int `json:"counts"`
		Absent int            `json:"absent"`
		Boots  []result.Boot  `json:"boots"`
	} `json:"kernels"`
}

// verdict KERNEL KEY=VALUE...: standard output is a run in the format json, and says this of
// the kernel. Keys are statuses with their counts, missing, machines, and of the machine I
// fateI, reasonI (a regular expression) and blameI (a case, or "set-up").
func verdict(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: verdict KERNEL KEY=VALUE...")
	}
	var r jsonReport
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &r); err != nil {
		ts.Fatalf("read the report: %v", err)
	}
	got, err := r.facts(args[0])
	ts.Check(err)
	for _, arg := range args[1:] {
		if why := differs(got, arg); why != "" {
			ts.Fatalf("%s", why)
		}
	}
}

// differs says how a fact differs from KEY=VALUE, "" if it does not.
func differs(got map[string]string, arg string) string {
	key, want, _ := strings.Cut(arg, "=")
	is, known := got[key]
	if _, err := strconv.Atoi(want); !known && err == nil && !strings.ContainsAny(key, "0123456789") {
		is = "0" // of no case
	} else if !known {
		return fmt.Sprintf("no %s; there are %s", key, strings.Join(slices.Sorted(maps.Keys(got)), " "))
	}
	same := is == want
	if strings.HasPrefix(key, "reason") {
		ok, err := regexp.MatchString(want, is)
		same = ok && err == nil
	}
	if !same {
		return fmt.Sprintf("%s is %q, want %q", key, is, want)
	}
	return ""
}

// facts returns what a report holds about a kernel, by the keys of verdict.
func (r *jsonReport) facts(ref string) (map[string]string, error) {
	for _, k := range r.Kernels {
		if k.Ref != ref {
			continue
		}
		out := map[string]string{"machines": strconv.Itoa(len(k.Boots)), "missing": strconv.Itoa(k.Absent)}
		for status, n := range k.Counts {
			out[status] = strconv.Itoa(n)
		}
		for i, b := range k.Boots {
			n := strconv.Itoa(i + 1)
			out["fate"+n], out["reason"+n] = string(b.Fate), b.Reason
			switch {
			case b.Blamed.Setup:
				out["blame"+n] = "set-up"
			case b.Blamed.Case != "":
				out["blame"+n] = b.Blamed.Case
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("the report has no kernel %s", ref)
}

// damage FILE:LINE=FAULT...: standard output is a run in the format json, and its stored records
// have exactly this damage. FILE is the end of the path, FAULT has - for a space.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: damage FILE:LINE=FAULT...")
	}
	var r jsonReport
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &r); err != nil {
		ts.Fatalf("read the report: %v", err)
	}
	if why := r.damagedOtherwise(args); why != "" {
		ts.Fatalf("%s", why)
	}
}

// damagedOtherwise says how the damage differs from FILE:LINE=FAULT..., "" if it does not.
func (r *jsonReport) damagedOtherwise(want []string) string {
	var got []string
	for _, d := range r.Damage {
		got = append(got, fmt.Sprintf("%s:%d=%s", d.File, d.Line, dashes(string(d.Fault))))
	}
	if !slices.EqualFunc(got, want, func(g, w string) bool { return g == w || strings.HasSuffix(g, "/"+w) }) {
		return fmt.Sprintf("the damage is %q, want %q", got, want)
	}
	return ""
}

// dashes spells a word as a command line does.
func dashes(word string) string { return strings.ReplaceAll(word, " ", "-") }

// jsonComparison is what compared reads of a comparison in the format json.
type jsonComparison struct {
	Gaps    []string       `json:"gaps"`
	Counts  map[string]int `json:"counts"`
	Kernels []struct {
		Findings []string `json:"findings"`
	} `json:"kernels"`
}

// compared CLASS=N...: standard output is a comparison in the format json, with so many cases of
// each class, spelled as for --fail-on. gaps=N are the reasons why a side has no verdict,
// findings=N the new findings in kernel logs.
func compared(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: compared CLASS=N...")
	}
	var c jsonComparison
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &c); err != nil {
		ts.Fatalf("read the comparison: %v", err)
	}
	for _, arg := range args {
		if why := differs(c.facts(), arg); why != "" {
			ts.Fatalf("%s", why)
		}
	}
}

// facts returns what a comparison holds, by the keys of compared.
func (c *jsonComparison) facts() map[string]string {
	findings := 0
	for _, k := range c.Kernels {
		findings += len(k.Findings)
	}
	out := map[string]string{"gaps": strconv.Itoa(len(c.Gaps)), "findings": strconv.Itoa(findings)}
	for _, class := range result.ClassNames() {
		out[class] = "0"
	}
	for class, n := range c.Counts {
		out[dashes(class)] = strconv.Itoa(n)
	}
	return out
}

// The commands for damage and comparisons can fail.
func TestComparedDiffers(t *testing.T) {
	var c jsonComparison
	text := `{"gaps":["x"],"counts":{"new failure":2,"same":5},"kernels":[{"findings":["a"]},{"findings":["b"]}]}`
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	for arg, same := range map[string]bool{
		"new-failure=2": true, "new-failure=1": false, "fixed=0": true, "fixed=1": false, "same=5": true, "gaps=1": true,
		"gaps=0": false, "findings=2": true, "findings=0": false,
	} {
		if why := differs(c.facts(), arg); (why == "") != same {
			t.Errorf("%s: %q", arg, why)
		}
	}
	r := jsonReport{Damage: []result.Damage{{File: "/w/cut/records.jsonl", Line: 7, Fault: result.CutOff}}}
	for want, same := range map[string]bool{
		"cut/records.jsonl:7=cut-off": true, "cut/records.jsonl:8=cut-off": false, "cut/records.jsonl:7=torn": false,
		"ut/records.jsonl:7=cut-off": false,
	} {
		if why := r.damagedOtherwise([]string{want}); (why == "") != same {
			t.Errorf("%s: %q", want, why)
		}
	}
	if why := r.damagedOtherwise(nil); why == "" {
		t.Error("damage that the script does not name is not noticed")
	}
}

// The command of the scripts can fail.
func TestVerdictDiffers(t *testing.T) {
	var r jsonReport
	text := `{"kernels":[{"ref":"k","counts":{"pass":2},"boots":[{"fate":"hung","reason":"silent for 3s"}]}]}`
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	got, err := r.facts("k")
	if err != nil {
		t.Fatal(err)
	}
	for arg, same := range map[string]bool{
		"pass=2": true, "pass=3": false, "fail=0": true, "fail=1": false, "machines=1": true, "machines=2": false,
		"fate1=hung": true, "fate1=lost": false, "fate2=hung": false, "reason1=for [0-9]s": true, "reason1=deadline": false,
		"blame1=x": false,
	} {
		if why := differs(got, arg); (why == "") != same {
			t.Errorf("%s: %q", arg, why)
		}
	}
	if _, err := r.facts("other"); err == nil {
		t.Error("a kernel that is not there has facts")
	}
}
