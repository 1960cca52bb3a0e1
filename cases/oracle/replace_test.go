package oracle

import (
	"testing"

	"tokentest/cases/uapi"
)

// At a cgroup a program of a link is not one that BPF_PROG_ATTACH replaces; the same program without a link is.
func TestReplacesAtCgroup(t *testing.T) {
	old, other := &Program{Type: uapi.BPF_PROG_TYPE_CGROUP_SKB}, &Program{Type: uapi.BPF_PROG_TYPE_CGROUP_SKB}
	linked, plain := Entry{Prog: old, Link: &Bond{}}, Entry{Prog: old}
	for name, tt := range map[string]struct {
		entries []Entry
		errno   uapi.Errno
		at      int
	}{
		"by a link":             {[]Entry{linked}, eNOENT, -1},
		"without a link":        {[]Entry{plain}, 0, 0},
		"both, the link before": {[]Entry{linked, plain}, 0, 1},
		"another":               {[]Entry{{Prog: other}}, eNOENT, -1},
	} {
		r := &Attach{What: uapi.BPF_PROG_ATTACH, Prog: &FD{Kind: Object, Loaded: &Program{Type: old.Type}},
			To: Target{Attach: uapi.BPF_CGROUP_INET_INGRESS, At: Cgroup}, Chain: &Chain{Flags: fMulti, Entries: tt.entries},
			Flags: fMulti | fReplace, Old: &FD{Kind: Object, Loaded: old}}
		if errno, at := r.progTaken(), r.Replaces(); errno != tt.errno || at != tt.at {
			t.Errorf("%s: %s, place %d; want %s, %d", name, errno, at, tt.errno, tt.at)
		}
	}
}
