package cases

import (
	"strings"
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// Every command has a request, or an operation of its own.
func TestEveryCommand(t *testing.T) {
	for _, m := range uapi.Cmds.Members {
		if m.Alias || m.Value >= 64 {
			continue
		}
		own, shape := step.OpNamed(m.Name) != 0, step.CmdShapeOf(uapi.Cmd(m.Value)) != nil
		if own == shape {
			t.Errorf("command %s: an operation of its own %v, a request %v", m.Name, own, shape)
		}
	}
}

// An argument for which a command's request has no field is a mistake.
func TestCallErrors(t *testing.T) {
	for _, tt := range []struct{ step, want string }{
		{"root call", "call needs cmd="},
		{"root call cmd=prog_quer", `unknown bpf_cmd "prog_quer" (near: prog_query`},
		{"root call cmd=map_create", "map_create has an operation of its own: ACTOR map_create"},
		{"root call cmd=5", "5 has an operation of its own: ACTOR prog_load"},
		{"root call cmd=common_attrs", "no request is known for common_attrs"},
		{"root call cmd=prog_query token=closed", "prog_query has no place for a token: say with token_at=OFFSET"},
		{"root call cmd=200 token=closed", "200 has no place for a token: say with token_at=OFFSET"},
		{"root call cmd=obj_get id=1", "obj_get takes no id="},
		{"root call cmd=obj_pin on=private", "obj_pin takes no on="},
		{"root call cmd=prog_attach on=tcx", "prog_attach takes no on="},
		{"root call cmd=link_create on=xdp", `unknown word "xdp"`},
		{"root call cmd=prog_detach prog=closed", "prog_detach takes no prog="},
	} {
		f, err := Parse(t.Context(), "demo.txt", "demo", scenarioControls+tt.step+"\n")
		if err == nil {
			_, err = f.Expand(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %s", tt.step, err, tt.want)
		}
	}
}

// Locks reports a world that sets the sysctl to 1, in its set-up or in a cell.
func TestLocks(t *testing.T) {
	for _, tt := range []struct {
		text string
		want bool
	}{
		{scenarioControls, false},
		{scenarioControls + "root sysctl unprivileged_bpf_disabled=0\n", false},
		{scenarioControls + "root sysctl unprivileged_bpf_disabled=1\n", true},
		{"root sysctl unprivileged_bpf_disabled=1\n" + matrixHead + matrixDo + matrixTail, true},
	} {
		if got := mustExpand(t, tt.text).Worlds[0].Locks(); got != tt.want {
			t.Errorf("%q: locks %v, want %v", tt.text, got, tt.want)
		}
	}
}
