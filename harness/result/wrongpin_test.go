package result

import (
	"testing"
)

const pinHead = `about A wrong pin.
needs token
actor owner userns uid=1000
owner bpffs cmds=any maps=any progs=any attachs=any -> b
owner token_create bpffs=b -> t
control owner  map_create type=hash token=t
control nobody map_create type=hash => EPERM
`

// A wrong pin is a failure of the expectation, whatever else the case holds: steps that the
// rules do not follow do not hide it, nor do other pins that are right.
func TestWrongPinIsNoticed(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		step int
	}{
		"beside a step that no rule follows": {"owner map_create type=hash token=t => EPERM\n" +
			"owner raw cmd=map_create u32@0=1 => ?\n", 3},
		"every step pinned": {"owner mkdir in=b name=d\nowner open of=b path=d -> e\nowner chmod e mode=0\n" +
			"owner map_create type=queue token=t\nowner chmod e mode=0 => EACCES\n", 7},
	} {
		g := group(t, pinHead+tt.text)
		r := (&guest{facts: facts612()}).judge(g.Cases)[g.Cases[0].ID]
		if r.Status != Fail || r.Fault != ExpectationWrong || r.Cause.Step != 2+tt.step {
			t.Errorf("%s: %s, %s, step %d: %s", name, r.Status, r.Fault, r.Cause.Step, r.Reason)
		}
	}
}
