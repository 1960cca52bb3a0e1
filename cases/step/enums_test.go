package step

import "testing"

func TestEnd(t *testing.T) {
	for _, tt := range []struct {
		list []Enumerator
		want uint32
	}{
		{nil, 0},
		{[]Enumerator{{"BPF_A", 0}, {"BPF_B", 35}}, 36},
		{[]Enumerator{{"BPF_A", 0}, {"__MAX_BPF_CMD", 39}, {"BPF_COMMON_ATTRS", 65536}}, 39},
		{[]Enumerator{{"BPF_A", 63}, {"BPF_B", 64}}, 64},
	} {
		if got := End(tt.list); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.list, got, tt.want)
		}
	}
}
