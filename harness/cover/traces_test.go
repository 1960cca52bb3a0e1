package cover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/result"
)

// The log of a machine with two marks, at 9000. An interrupt came before the second one, which QEMU logs twice.
const followed = `----------------
IN: devkmsg_write
0x0000000000009000:  90  nop

Trace 0: 0x7f00 [0000000000000000/0000000000009000/0040c2b0/ff000200] devkmsg_write
----------------
IN: f
0x0000000000001000:  90  nop
0x0000000000001001:  c3  retq

Trace 0: 0x7f10 [0000000000000000/0000000000001000/0040c2b0/ff000200] f
Trace 0: 0x7f10 [0000000000000000/0000000000001000/0040c2b0/ff000200] f
Trace 0: 0x7f00 [0000000000000000/0000000000009000/0040c2b0/ff000200] devkmsg_write
Stopped execution of TB chain before 0x7f00 [0000000000009000] devkmsg_write
Trace 0: 0x7f00 [0000000000000000/0000000000009000/0040c2b0/ff000200] devkmsg_write
----------------
IN: g
0x0000000000002000:  c3  retq

Trace 0: 0x7f20 [0000000000000000/0000000000002000/0040c2b0/ff000200] g
`

// follow gives a log to a follower, in parts of n bytes.
func follow(log string, n int) *follower {
	f := newFollower(0x9000)
	for part := range slices.Chunk([]byte(log), n) {
		f.Write(part)
	}
	f.Mark(true, []*cases.Case{{ID: "a/1"}, {ID: "a/2"}})
	f.Mark(false, []*cases.Case{{ID: "a/1"}})
	return f
}

func TestFollower(t *testing.T) {
	for _, n := range []int{1, 7, 1 << 20} {
		tr := &Traces{}
		for range 2 { // two machines
			if err := tr.add(follow(followed, n)); err != nil {
				t.Fatal(err)
			}
		}
		tr.Index(&Code{})
		for at, want := range map[uint64]string{0x1000: "[0 2]", 0x1001: "[0 2]", 0x2000: "[1 3]", 0x3000: "[]"} {
			if got := fmt.Sprint(tr.Of(at)); got != want {
				t.Errorf("%#x: got %s, want %s", at, got, want)
			}
		}
		if x := tr.Executed(); !x.Has(0x2000) || x.Has(0x3000) {
			t.Errorf("executed %v", x)
		}
		if s := tr.Spans[2]; !s.Setup || len(s.Cases) != 2 {
			t.Errorf("got %+v", s)
		}
		if got := tr.cellsAt(0x1000); len(got) != 0 {
			t.Errorf("a set-up counts as cases: %v", got)
		}
		if got := tr.cellsAt(0x2000); !got["a/1"] || got["a/2"] {
			t.Errorf("got %v", got)
		}
	}
}

// Logs that are damaged, or whose marks are not those of the guest, are refused.
func TestFollowerRefuses(t *testing.T) {
	for name, log := range map[string]string{
		"one mark less":        strings.Replace(followed, "Stopped", "Other", 1),
		"not translated":       strings.Replace(followed, "IN: g", "", 1),
		"damaged":              strings.Replace(followed, "/0000000000001000/", "/no/", 1),
		"nothing was executed": "",
	} {
		if err := (&Traces{}).add(follow(log, 1<<20)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Traces that are shifted by one case are noticed.
func TestTracesCheck(t *testing.T) {
	corpus, err := cases.LoadGroups(t.Context(), "map_create", "token_create")
	if err != nil {
		t.Fatal(err)
	}
	all, err := corpus.Select([]string{"map_create", "token_create"}, false)
	if err != nil {
		t.Fatal(err)
	}
	c := &Code{Units: []Unit{{Funcs: []Func{
		{Name: "map_create", From: 0x1000, To: 0x1010}, {Name: "bpf_token_create", From: 0x2000, To: 0x2010},
	}}}}
	k, tr := &result.KernelRun{}, &Traces{Blocks: []Block{{Insns: []uint64{0x1000}}, {Insns: []uint64{0x2000}}}}
	for n, one := range all {
		tr.Spans = append(tr.Spans, Span{Cases: []string{one.ID}})
		of := 0
		if one.Cell()[0].Op == step.OpTokenCreate {
			of = 1
		}
		tr.Blocks[of].Spans = append(tr.Blocks[of].Spans, int32(n))
		k.Cases = append(k.Cases, result.CaseResult{ID: one.ID, Steps: []result.StepResult{{}}})
	}
	tr.Index(c)
	if err := tr.check(c, all, k); err != nil {
		t.Error(err)
	}
	tr.Spans = append(tr.Spans[1:], tr.Spans[0])
	if err := tr.check(c, all, k); !errors.Is(err, ErrTrace) {
		t.Errorf("shifted: %v", err)
	}
	for i := range k.Cases { // a call that is refused may not get there
		k.Cases[i].Steps[0].Got.Errno = uapi.Errno(1)
	}
	tr.Blocks[0].Spans, tr.Blocks[1].Spans = nil, nil
	if err := tr.check(c, all, k); err != nil {
		t.Error(err)
	}
}

// The ranges of traces leave out searches and hold the entry of marks.
func TestTraced(t *testing.T) {
	c := asking().code()
	if _, _, err := c.traced(); err == nil {
		t.Error("a kernel without marks was taken")
	}
	c.names[0x900000] = markFunc
	c.Units[0].Funcs = append(c.Units[0].Funcs, Func{Name: "btf_type_by_id.isra.0", From: 0x1030, To: 0x1040},
		Func{Name: "g", From: 0x1040, To: 0x1050})
	got, mark, err := c.traced()
	if want := "[{4096 4132} {4160 4176} {9437184 9437185}]"; err != nil || fmt.Sprint(got) != want || mark != 0x900000 {
		t.Errorf("got %v, mark %#x, %v", got, mark, err)
	}
	tr := &Traces{}
	tr.Index(c)
	if tr.Knows(0x1035) || !tr.Knows(0x1045) {
		t.Error("searches are traced, or another function is not")
	}
}
