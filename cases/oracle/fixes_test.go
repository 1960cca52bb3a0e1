package oracle

import (
	"testing"

	"tokentest/cases/uapi"
)

// A fix is in every mainline release since one, and in some older series since
// a patch level.
func TestFix(t *testing.T) {
	for _, tt := range []struct {
		major, minor, patch int
		want                bool
	}{
		{6, 12, 0, false}, {6, 12, 113, false}, {6, 12, 114, true}, {6, 16, 12, false}, {6, 17, 13, false},
		{6, 18, 12, false}, {6, 18, 15, true}, {6, 19, 14, true}, {7, 0, 0, true}, {7, 3, 4, true}, {6, 13, 200, false},
	} {
		k := KernelAt(uapi.Release{Major: tt.major, Minor: tt.minor})
		k.Patch = tt.patch
		if got := detachFix.in(k); got != tt.want {
			t.Errorf("%d.%d.%d: %v, want %v", tt.major, tt.minor, tt.patch, got, tt.want)
		}
	}
}

// A program that could not be compiled was refused between two fixes.
func TestNoFallback(t *testing.T) {
	for _, tt := range []struct {
		major, minor, patch int
		refused             bool
	}{
		{6, 12, 43, true}, {6, 12, 48, false}, {6, 12, 118, false}, {6, 16, 3, true}, {6, 16, 8, false}, {6, 17, 0, false},
		{7, 3, 4, false}, {6, 11, 0, false},
	} {
		k := KernelAt(uapi.Release{Major: tt.major, Minor: tt.minor})
		k.Patch = tt.patch
		if got := noFallbackFix.in(k) && !fallbackFix.in(k); got != tt.refused {
			t.Errorf("%d.%d.%d: refused %v, want %v", tt.major, tt.minor, tt.patch, got, tt.refused)
		}
	}
}

// Without an interpreter, a program that cannot be compiled is refused.
func TestAlwaysCompiles(t *testing.T) {
	for _, tt := range []struct {
		s    Settings
		caps uapi.CapSet
		id   string
	}{
		{Settings{JITFull: true, AlwaysCompiles: true}, 0, "prog_load/limit-always-compiles"},
		{Settings{JITFull: true, AlwaysCompiles: true}, uapi.AllCaps, "prog_load/allowed"},
		{Settings{AlwaysCompiles: true}, 0, "prog_load/allowed"},
		{Settings{JITFull: true}, 0, "prog_load/allowed"},
	} {
		k := KernelAt(uapi.Release{Major: 6, Minor: 12})
		k.Patch, k.Settings = 118, tt.s
		w := &World{Kernel: k, Caller: Cred{Userns: Initial, Caps: tt.caps}}
		if v := Decide(w, &ProgLoad{Type: uapi.BPF_PROG_TYPE_SOCKET_FILTER}); v.ID != tt.id {
			t.Errorf("%+v, caps %v: %s, want %s", tt.s, tt.caps, v.ID, tt.id)
		}
	}
}
