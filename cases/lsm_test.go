package cases

import (
	"context"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/sim"
	"tokentest/cases/step"
)

const lsmHead = `actor owner userns
owner bpffs cmds=any -> b
control owner token_create bpffs=b
control nobody map_create type=hash => EPERM
`

func TestLSMMistakes(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"root lsm of=owner errno=EPERM", "lsm needs hook="},
		{"root lsm hook=bpf errno=EPERM", "lsm needs of="},
		{"root lsm hook=bpf of=owner", "lsm needs errno="},
		{"root lsm hook=bpf_nonsense of=owner errno=EPERM", `unknown word "bpf_nonsense"`},
		{"root lsm hook=bpf of=stranger errno=EPERM", `unknown actor "stranger"`},
		{"root lsm hook=bpf of=owner errno=EWHAT", "EWHAT"},
		{"root lsm hook=bpf of=owner errno=EPERM cmds=1", "the hook bpf has no argument for cmds="},
		{"root lsm hook=bpf_token_cmd of=owner errno=EPERM cap=CAP_BPF", "the hook bpf_token_cmd has no argument for cap="},
		{"root lsm hook=bpf_token_capable of=owner errno=EPERM cap=CAP_CHOWN", `unknown capability "CAP_CHOWN"`},
		{"root lsm hook=bpf_token_cmd of=owner errno=EPERM cmd=prog_lod", `unknown bpf_cmd "prog_lod"`},
		{"root lsm_ran l", `unknown handle "l"`},
	} {
		_, err := parseAndExpand(lsmHead + tt.line + "\n")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.line, err, tt.want)
		}
	}
}

func parseAndExpand(text string) (*Group, error) {
	f, err := Parse(context.Background(), "x.txt", "x", text)
	if err != nil {
		return nil, err
	}
	return f.Expand(context.Background())
}

// A case with a BPF-LSM program needs the BPF LSM, whether it says so or not.
func TestLSMNeeds(t *testing.T) {
	g, err := parseAndExpand(lsmHead + "root lsm hook=bpf of=owner errno=EPERM\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := g.Cases[0].Needs(); !slices.Equal(got, lsmNeeds) {
		t.Fatalf("needs %v, want %v", got, lsmNeeds)
	}
	n := lsmNeeds[len(lsmNeeds)-1]
	on := map[string]string{"BPF_LSM": "y"}
	for _, tt := range []struct {
		facts   step.Facts
		met     bool
		refuted string
	}{
		{step.Facts{}, true, ""},
		{step.Facts{LSM: []string{"capability", "bpf"}}, true, ""},
		{step.Facts{LSM: []string{"capability"}}, false, ""},
		{step.Facts{LSM: []string{}, Config: map[string]string{"BPF_LSM": "n"}}, false, ""},
		{step.Facts{LSM: []string{"capability", "yama"}, Config: on}, false,
			"the LSM bpf is not active although CONFIG_BPF_LSM is set: active are capability,yama"},
	} {
		if met, refuted := n.Check(&tt.facts); met != tt.met || refuted != tt.refuted {
			t.Errorf("%+v: met %v, refuted %q", tt.facts, met, refuted)
		}
	}
	if n.String() == "" {
		t.Error("the need has no words")
	}
}

// A fork of a simulation does not change what its origin knows of a program.
func TestLSMFork(t *testing.T) {
	g, err := parseAndExpand(lsmHead + `owner token_create bpffs=b -> t
root lsm hook=bpf_token_cmd of=owner errno=ok -> l
owner btf_load token=t
root lsm_ran l
root lsm_off l
root lsm_ran l => ENODATA
`)
	if err != nil {
		t.Fatal(err)
	}
	c := g.Cases[0]
	sim := sim.New(released["7.3"], &c.World.Program, false)
	cell, info := c.Steps()
	for i := range cell {
		fork := sim.Fork()
		before, e := must(fork.Step(&cell[i])), must(sim.Step(&cell[i]))
		if e.Verdict != before.Verdict || e.Verdict.Errno != info[i].Pin.Errno {
			t.Errorf("%s: %+v, a fork %+v", info[i].Text, e.Verdict, before.Verdict)
		}
	}
}
