package guest

import "testing"

func TestIsProgram(t *testing.T) {
	for line, want := range map[string]bool{
		"ffffffffc0201234 t bpf_prog_6deef7357e7b4530_main\t[bpf]":       true,
		"0000000000000000 t bpf_prog_6deef7357e7b4530_main\t[bpf]":       true,
		"ffffffffc0201234 t bpf_prog_6deef7357e7b4530_main2\t[bpf]":      false,
		"ffffffffc0201234 t bpf_prog_6deef7357e7b4530\t[bpf]":            false,
		"ffffffffc0201234 t bpf_trampoline_6442_main\t[bpf]":             false,
		"ffffffff81201234 t my_bpf_prog_main\t[bpf]":                     false,
		"ffffffffc0201234 t bpf_prog_6deef7357e7b4530_main\t[netfilter]": false,
	} {
		if got := isProgram(line, "main"); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}
