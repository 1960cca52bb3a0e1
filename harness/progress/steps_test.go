package progress

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
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
	synctest.Test(t, func(t *testing.T) {
		s := NewSteps(&out, false)
		s.Step("reading")
		time.Sleep(time.Second / 2) // no step comes in the moment in which a line is printed
		for n := range 50 {
			s.Step(fmt.Sprintf("step %d", n))
			time.Sleep(time.Second)
		}
		time.Sleep(50 * time.Second) // the step says nothing, and goes on
		s.Step("")
		s.Step("another")
		s.Step("")
		time.Sleep(time.Hour)
		if got, want := out.String(), "step 29\nstep 49\nstep 49\n"; got != want {
			t.Errorf("in 100 s: %q, want %q", got, want)
		}
	})
	(*Steps)(nil).Step("x")
	(*Steps)(nil).Clear()
}
