package lab

import (
	"fmt"
	"testing"
	"time"
)

// TestPace foretells how long the machines take from an earlier run of the same cases on the same
// kernel, and from no other run.
func TestPace(t *testing.T) {
	cache := t.TempDir()
	expected := func(dies string, change func(*Lab), patterns ...string) (began string, expect time.Duration) {
		t.Helper()
		l := newLab(t, dies)
		l.CacheDir = cache
		if change != nil {
			change(l)
		}
		n := 0
		l.Progress = func(p Progress) {
			if p.Began != "" {
				n++
				began, expect = p.Began, p.Expect
			}
		}
		if run(t, l, 0, patterns...); n == 0 {
			t.Fatal("no report says how the machine began")
		}
		return began, expect
	}
	if began, got := expected("clean", nil, "token_create"); got != 0 || began == "" {
		t.Errorf("the first run foretells %s (it began %q)", got, began)
	}
	_, got := expected("clean", nil, "token_create")
	if got <= 0 || got > time.Minute {
		t.Errorf("the second run foretells %s", got)
	}
	for i, other := range []struct {
		change func(*Lab)
		cases  string
	}{
		{nil, "nested_userns"},
		{func(l *Lab) { l.Append = []string{"quiet"} }, "token_create"},
		{func(l *Lab) { l.Isolate = GroupAlone }, "token_create"},
		{func(l *Lab) { l.UntilFail = true; l.Repeat = 2 }, "token_create"},
	} {
		if _, got := expected("clean", other.change, other.cases); got != 0 {
			t.Errorf("another run, %d, foretells %s", i, got)
		}
	}
	for i := range 2 { // a machine that dies teaches nothing
		if _, got := expected("panic@3", nil, "map_create/none"); got != 0 {
			t.Errorf("run %d after one that panicked foretells %s", i, got)
		}
	}
}

// TestTimesAreForgotten keeps times.json at a size.
func TestTimesAreForgotten(t *testing.T) {
	l := &Lab{CacheDir: t.TempDir()}
	many := map[string]float64{}
	for i := range maxTimes + 100 {
		many[fmt.Sprint(i)] = 1
	}
	l.writeTimes(many)
	if got := len(l.readTimes()); got != maxTimes {
		t.Errorf("%d times are kept, want %d", got, maxTimes)
	}
}
