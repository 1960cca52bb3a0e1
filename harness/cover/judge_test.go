package cover

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/usage"
)

func TestParseJudged(t *testing.T) {
	list, err := ParseJudged("f", "# a comment\n\nbpf_*  env->bpf_capable  # why\n")
	if want := []Judged{{"f:3", "bpf_*", "env->bpf_capable", "why"}}; err != nil || !slices.Equal(list, want) {
		t.Errorf("got %v, %v", list, err)
	}
	for text, want := range map[string]string{
		"bpf_f # why\n":            "f:1: write FUNC ASKS # REASON",
		"bpf_f a b # why\n":        "f:1: write FUNC ASKS # REASON",
		"bpf_f capable(CAP_BPF)\n": "f:1: missing reason (after #)",
		"[ capable(CAP_BPF) # x\n": "f:1: [: syntax error in pattern",
	} {
		_, err := ParseJudged("f", text)
		var u *usage.Error
		if err == nil || err.Error() != want || !errors.As(err, &u) {
			t.Errorf("%q: got %v, want a usage.Error %q", text, err, want)
		}
	}
	if _, err := ReadJudged(t.TempDir() + "/none"); err == nil {
		t.Error("a list that is not there was read")
	}
}

// A list gives reasons to the checks that lack a way, and is refused where it is not needed.
func TestJudge(t *testing.T) {
	x := executed(t, "1000", "1005", "100a", "100c", "100e", "1013", "1015", "1017", "1019")
	list, err := ParseJudged("f", "inner env->* # of an inlined function\n__sys_bpf capable(CAP_BPF) # of the symbol\n")
	if err != nil {
		t.Fatal(err)
	}
	r := asking().code().Measure(x)
	all := r.Unjudged()
	if err := r.Judge(list[:1]); err != nil {
		t.Error(err)
	}
	if r.Unjudged() != all-1 {
		t.Errorf("%d of %d have no reason, want one less", r.Unjudged(), all)
	}
	if err := r.Judge(list); err != nil || r.Unjudged() != all-2 {
		t.Errorf("%d of %d have no reason: %v", r.Unjudged(), all, err)
	}
	var out bytes.Buffer
	if err := r.Write(&out, false); err != nil || !strings.Contains(out.String(), "with a reason: 2; without one: 1") ||
		!strings.Contains(out.String(), "env->bpf_capable  of an inlined function") {
		t.Errorf("%v:\n%s", err, out.String())
	}
	for _, at := range []uint64{0x101a, 0x1021, 0x1023} {
		x[at] = struct{}{}
	}
	err = asking().code().Measure(x).Judge(list)
	if !errors.Is(err, ErrJudged) || !strings.Contains(err.Error(), "f:1: inner is executed both ways now") {
		t.Errorf("got %v", err)
	}
	err = r.Judge([]Judged{{"f:9", "other", "*", "why"}})
	if !errors.Is(err, ErrJudged) || !strings.Contains(err.Error(), "f:9: the kernel has no such check in other") {
		t.Errorf("got %v", err)
	}
}
