package guest

import (
	"bytes"
	"strings"
	"testing"

	"tokentest/cases/step"
	"tokentest/harness/wire"
)

// What a case that is run by hand showed is told in words.
func TestSay(t *testing.T) {
	var out bytes.Buffer
	say(&out, []string{"root map_create", "owner token_create"}, []step.Observation{
		{
			Errno: 1,
		}, {Proof: step.Works, Values: []uint64{3}}, {Proof: step.DoesNotWork}, {Proof: step.Works, Text: "1 barriers"},
	})
	want := `root map_create
  => EPERM (operation not permitted)
owner token_create
  => ok [0x3]
step 2
  => ok, but with an object that does not work
step 3
  => ok 1 barriers
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestRunCaseRefuses(t *testing.T) {
	var out bytes.Buffer
	for _, c := range []wire.ByHand{{}, {World: []byte{0xff}}, {World: wire.EncodeProgram(&step.Program{}),
		Cells: []byte{0xff}}} {
		if err := runCase(&c, &out); err == nil {
			t.Errorf("%+v was run", c)
		}
	}
	if err := runCases([]string{"no-such-case"}, &out); err == nil || !strings.Contains(err.Error(), "no-such-case") {
		t.Errorf("got %v", err)
	}
}
