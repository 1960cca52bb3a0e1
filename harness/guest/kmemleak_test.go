package guest

import (
	"testing"
	"time"
)

func TestJiffies(t *testing.T) {
	const timers = "Timer List Version: v0.10\nnow at 8126542 nsecs\n\ncpu: 0\n  .nohz_mode      : 0\n  .last_jiffies   : 4294937000\njiffies: 4294938108\n\n"
	for text, want := range map[string]uint64{timers: 4294938108, "": 0, "jiffies: 99999999999999999999\n": 0} {
		if got := parseJiffies([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestHertz(t *testing.T) {
	for _, tt := range []struct {
		ticks uint64
		in    time.Duration
		want  int
	}{
		{520, 5200 * time.Millisecond, 100},
		{515, 5200 * time.Millisecond, 100},
		{1301, 5200 * time.Millisecond, 250},
		{1559, 5200 * time.Millisecond, 300},
		{5190, 5200 * time.Millisecond, 1000},
		{0, 5200 * time.Millisecond, 0},
		{900, 5200 * time.Millisecond, 0},
		{1<<64 - 3, time.Second, 0}, // it was read once only
	} {
		if got := hertz(tt.ticks, tt.in); got != tt.want {
			t.Errorf("%d in %v: %d, want %d", tt.ticks, tt.in, got, tt.want)
		}
	}
}
