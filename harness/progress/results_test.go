package progress

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tokentest/cases"
	"tokentest/harness/lab"
	"tokentest/harness/result"
)

func TestResults(t *testing.T) {
	c, err := cases.LoadGroups(t.Context(), "token_create")
	if err != nil {
		t.Fatal(err)
	}
	of := c.Group("token_create").Cases[0]
	var lines []string
	l := &lab.Lab{Log: func(f string, args ...any) { lines = append(lines, fmt.Sprintf(f, args...)) },
		Lists: []result.ListEntry{{Kind: result.ExpectList, Pattern: "known"}}}
	stops := 0
	r := &Results{Verbose: true, Slowest: 2, Stop: func() { stops++ }}
	r.Follow(l)
	each := func(id string, s result.Status, took time.Duration, reason string) {
		l.Each(lab.Result{Kernel: "k", Of: of, Took: took,
			CaseResult: &result.CaseResult{ID: id, Status: s, Reason: reason}})
	}
	each("a", result.Pass, 1500*time.Microsecond, "")
	each("b", result.Skip, 0, "no such type")
	each("known", result.Fail, time.Millisecond, "as listed")
	if stops != 0 {
		t.Error("it stopped without a failure that counts")
	}
	each("c", result.Fail, 2123456*time.Microsecond, "got EPERM\x1b, want ok")
	if stops != 1 {
		t.Errorf("a failure stopped it %d times", stops)
	}
	want := []string{"k pass a 1.5ms", "k skip b: no such type", "k fail known 1ms: as listed",
		"k fail c 2.12s: got EPERM?, want ok"}
	if !slices.Equal(lines, want) {
		t.Errorf("got  %q\nwant %q", lines, want)
	}
	var out strings.Builder
	if err := r.WriteSlowest(&out); err != nil ||
		out.String() != "slowest 2 of 3 cases; cases of a batch share its time\n     2.12s  k c\n     1.5ms  k a\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

// Nothing is asked of a lab if nothing is followed.
func TestResultsOfNoUse(t *testing.T) {
	l := &lab.Lab{}
	(&Results{}).Follow(l)
	if l.Each != nil {
		t.Error("the lab reports each result to nobody")
	}
}
