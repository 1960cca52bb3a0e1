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
	ExitCode    int  `json:"exit_code"`
	Interrupted bool `json:"interrupted"`
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
