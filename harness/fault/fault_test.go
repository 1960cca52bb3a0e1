package fault

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"tokentest/harness/lab"
	"tokentest/harness/usage"
)

// Each fault damages the byte that it names, wherever the reads begin and end.
func TestChannel(t *testing.T) {
	const text = "0123456789"
	for spec, want := range map[string]string{
		"flip@0": "1123456789", "flip@4": "0123556789", "flip@9": "0123456788", "flip@10": text,
		"drop@0": "123456789", "drop@4": "012356789", "drop@9": "012345678", "delay@0": text,
	} {
		do, at, err := parseChannel(spec)
		if err != nil {
			t.Fatal(err)
		}
		for name, in := range map[string]io.Reader{
			"whole": bytes.NewBufferString(text), "by bytes": iotest.OneByteReader(bytes.NewBufferString(text)),
			"in halves": iotest.HalfReader(bytes.NewBufferString(text)),
		} {
			got, err := io.ReadAll(&channel{r: in, do: do, at: at})
			if err != nil || string(got) != want {
				t.Errorf("%s, %s: got %s, %v; want %s", spec, name, got, err, want)
			}
		}
	}
	// What is repeated is the rest of the read that has the byte.
	got, err := io.ReadAll(&channel{r: bytes.NewBufferString(text), do: "repeat", at: 7})
	if err != nil || string(got) != text+"789" {
		t.Errorf("repeat: got %s, %v", got, err)
	}
}

func TestFaultsInject(t *testing.T) {
	var l lab.Lab
	if err := (&Faults{Rule: "map_create/unprivileged-disabled", Corrupt: 3}).Inject(&l); err != nil {
		t.Fatal(err)
	}
	if l.Faults.OmitRule != "map_create/unprivileged-disabled" || l.Faults.Tap == nil {
		t.Errorf("got %+v", l.Faults)
	}
	got, err := io.ReadAll(l.Faults.Tap(bytes.NewBufferString("0000")))
	if err != nil || string(got) != "0001" {
		t.Errorf("corrupt at 3: got %s, %v", got, err)
	}
	for _, f := range []Faults{{Rule: "no/such"}, {Channel: "flip"}, {Channel: "flip@-1"}, {Channel: "burn@1"}} {
		var u *usage.Error
		if err := f.Inject(&lab.Lab{}); !errors.As(err, &u) {
			t.Errorf("%+v: got %v, want a usage error", f, err)
		}
	}
}
