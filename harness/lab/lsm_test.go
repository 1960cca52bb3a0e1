package lab

import (
	"slices"
	"testing"
)

func TestLSMArgs(t *testing.T) {
	for _, tt := range []struct {
		config map[string]string
		want   []string
	}{
		{nil, nil},
		{map[string]string{"LSM": `"landlock,bpf,ipe"`, "BPF_LSM": "y"}, nil},
		{map[string]string{"LSM": `"landlock,yama"`, "BPF_LSM": "y"}, []string{"lsm=landlock,yama,bpf"}},
		{map[string]string{"LSM": `""`, "BPF_LSM": "y"}, []string{"lsm=bpf"}},
		{map[string]string{"LSM": `"landlock,yama"`, "BPF_LSM": "n"}, nil},
		{map[string]string{"LSM": `"landlock,ebpf"`, "BPF_LSM": "y"}, []string{"lsm=landlock,ebpf,bpf"}},
	} {
		if got := lsmArgs(tt.config); !slices.Equal(got, tt.want) {
			t.Errorf("%v: got %q, want %q", tt.config, got, tt.want)
		}
	}
}
