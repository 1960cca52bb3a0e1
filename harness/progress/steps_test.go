package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestSteps keeps one line on a terminal, and prints one every half minute elsewhere.
func TestSteps(t *testing.T) {
	var out bytes.Buffer
	s := NewSteps(&out, true)
	s.size = func() (int, int) { return 10, 24 }
	s.Step("fetching a\x1bb, 1 of 9 MB")
	s.Clear()
	s.Clear()
	s.Step("x")
	s.Step("")
	s.Step("")
	want := "\rfetching " + clearRight + "\r" + clearRight + "\rx" + clearRight + "\r" + clearRight
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	s = NewSteps(&out, false)
	at := time.Now()
	for n := range 100 {
		s.step("step", at.Add(time.Duration(n)*time.Second))
	}
	s.step("", at)
	s.step("another", at.Add(time.Hour))
	if got := strings.Count(out.String(), "step\n"); got != 3 || strings.Contains(out.String(), "another") {
		t.Errorf("in 99 s: %q", out.String())
	}
	(*Steps)(nil).Step("x")
	(*Steps)(nil).Clear()
}
