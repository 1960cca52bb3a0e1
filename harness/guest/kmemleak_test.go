package guest

import "testing"

func TestJiffies(t *testing.T) {
	const timers = "Timer List Version: v0.10\nnow at 8126542 nsecs\n\ncpu: 0\n  .nohz_mode      : 0\n  .last_jiffies  " +
		" : 4294937000\njiffies: 4294938108\n\n"
	for text, want := range map[string]uint64{timers: 4294938108, "": 0, "jiffies: 99999999999999999999\n": 0} {
		if got := parseJiffies([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
