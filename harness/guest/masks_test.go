package guest

import (
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// A kernel without BTF gets numbers for names, and what it must refuse as it stands.
func TestNumberedMasks(t *testing.T) {
	old := uapi.Release{Major: 6, Minor: 12}
	for _, tt := range []struct{ text, want string }{
		{"map_create", "0x1"}, {"MAP_CREATE:prog_load", "0x21"}, {"any", "any"}, {"any:map_create", "0xffffffffffffffff"},
		{"0x10", "0x10"}, {"0x10:map_create", "0x11"}, {"map_create:0x10", "0x10"}, {"nonsense", "nonsense"},
		{"map_create:nonsense", "map_create:nonsense"}, {"", ""}, {"map_create:", "map_create:"},
		{"prog_assoc_struct_ops", "prog_assoc_struct_ops"},
	} {
		if got := numbered(&uapi.Cmds, tt.text, old); got != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.text, got, tt.want)
		}
	}
	named := step.Arg{Key: step.KeyMaps, Str: "hash"}
	if got := (&typeIDs{}).option(&named); got != "hash" {
		t.Errorf("a kernel with BTF gets %q", got)
	}
	if got := (&typeIDs{Unnamed: true}).option(&named); runningRelease() != (uapi.Release{}) && got != "0x2" {
		t.Errorf("a kernel without BTF gets %q", got)
	}
}
