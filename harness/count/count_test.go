package count

import "testing"

func TestOf(t *testing.T) {
	for n, want := range map[int]string{0: "0 cases", 1: "1 case", 2: "2 cases"} {
		if got := Of(n, "case"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
