package bench

import (
	"strings"
	"testing"
	"time"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/plan"
)

func TestClassOf(t *testing.T) {
	stepOf := func(op step.Op, args ...step.Arg) *step.Step { return &step.Step{Op: op, Args: args} }
	typ := func(n uint64) step.Arg { return step.Arg{Key: step.KeyType, Num: n} }
	token := func(n uint64) step.Arg { return step.Arg{Key: step.KeyToken, Num: n} }
	flags := func(n uint64) step.Arg { return step.Arg{Key: step.KeyFlags, Num: n} }
	base := classOf(stepOf(step.OpMapCreate, typ(1), token(2)), 0)
	for _, tt := range []struct {
		name string
		class
		same bool
	}{
		{"another descriptor", classOf(stepOf(step.OpMapCreate, typ(1), token(9)), 0), true},
		{"another type", classOf(stepOf(step.OpMapCreate, typ(2), token(2)), 0), false},
		{"no token", classOf(stepOf(step.OpMapCreate, typ(1)), 0), false},
		{"flags", classOf(stepOf(step.OpMapCreate, typ(1), token(2), flags(1)), 0), false},
		{"refused", classOf(stepOf(step.OpMapCreate, typ(1), token(2)), 1), false},
		{"another operation", classOf(stepOf(step.OpProgLoad, typ(1), token(2)), 0), false},
	} {
		if (tt.class == base) != tt.same {
			t.Errorf("%s: %+v and %+v, want the same: %v", tt.name, tt.class, base, tt.same)
		}
	}
	if got := base.String(); got != "map_create hash ok" {
		t.Errorf("it is called %q", got)
	}
}

// A sample has about the requested number of cases, with their controls and one case of each
// world, in the plan's order.
func TestSample(t *testing.T) {
	p := planOf(t, "map_create", "prog_load", "token_passed_on")
	got := sample(p, len(p.Cases)/4)
	if n := len(got.Cases); n < len(p.Cases)/4 || n > len(p.Cases)/2 {
		t.Errorf("%d of %d cases", n, len(p.Cases))
	}
	in, worlds, at := map[*cases.Case]bool{}, map[*cases.World]bool{}, 0
	for _, c := range got.Cases {
		in[c], worlds[c.World] = true, true
		for p.Cases[at] != c {
			at++
		}
	}
	for _, c := range p.Cases {
		if !worlds[c.World] {
			t.Errorf("the world of %s has no case", c.ID)
		}
	}
	for _, c := range got.Cases {
		for _, g := range c.Guards() {
			if !in[g] {
				t.Errorf("%s is without %s", c.ID, g.ID)
			}
		}
	}
}

// The printed cost is the time difference of two runs, divided by the difference of their
// numbers of decisions, next to the time of the calls in that difference.
func TestMarginal(t *testing.T) {
	p := planOf(t, "map_create")
	m := &marginal{classes: map[class]int{}}
	const each, call = 120 * time.Microsecond, 50 * time.Microsecond
	for _, n := range []int{100, len(p.Cases)} {
		s := &size{plan: &plan.Plan{Cases: p.Cases[:n]}}
		m.sizes = append(m.sizes, s)
		m.turn()
		for i, c := range s.plan.Cases {
			m.answer(c, []step.Observation{{Errno: uapi.Errno(i % 2)}}, time.Second+time.Duration(i+1)*each)
		}
		m.count(s)
	}
	for _, c := range m.examples() {
		for errno := range uapi.Errno(2) {
			m.measured(c, []step.Observation{{Errno: errno, Values: []uint64{uint64(call)}}}, 0)
			m.measured(c, []step.Observation{{Errno: errno, Values: []uint64{2 * uint64(call)}}}, 0) // more: it does not count
		}
	}
	m.userns, m.bpffs, m.peak = 3*time.Millisecond, 2*time.Millisecond, 73<<20
	var b strings.Builder
	m.write(&b)
	for _, want := range []string{
		"one more: 120.0 us, the call alone 50.0 us, ratio 2.40", "a user namespace 3000.0 us, a bpffs 2000.0 us",
		"map_create hash ok 50.0 us", "peak memory: 73 MB",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "not timed") || strings.Contains(b.String(), "not measured") {
		t.Errorf("something is not known:\n%s", b.String())
	}
}

func TestPeakMemory(t *testing.T) {
	n, err := peakMemory()
	if err != nil || n < 1<<20 || n > 1<<34 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func planOf(t *testing.T, args ...string) *plan.Plan {
	t.Helper()
	p, err := plan.Load(t.Context(), plan.Request{Kernels: []string{"x"}, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
