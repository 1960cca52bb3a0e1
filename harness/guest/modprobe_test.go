package guest

import "testing"

// What modprobe cannot do is an error, and no question to the host.
func TestModprobeRefuses(t *testing.T) {
	for _, args := range [][]string{nil, {"-q"}, {"--show-depends", "dummy"}, {"-q", "--", "dummy"}} {
		if got := Modprobe(args); got != 1 {
			t.Errorf("%q: exit status %d, want 1", args, got)
		}
	}
}
