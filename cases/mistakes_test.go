package cases

import (
	"strings"
	"testing"
)

// All mistakes of a file are reported together, each with its line.
func TestMistakes(t *testing.T) {
	const head = "actor o userns\ncontrol o map_create type=hash\ncontrol nobody map_create type=hash => EPERM\n"
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"lines": {head + "o btf_load => EPERMM\nexcept x=1\no btf_load\n",
			[]string{"x.txt:4: unknown errno", `x.txt:5: unknown axis "x"`}},
		"steps": {head + "o map_create typ=hash -> m\no map_create type=hsah\no close m\nx btf_load\n",
			[]string{"x.txt:4: unknown argument", "x.txt:5: unknown bpf_map_type", `x.txt:7: unknown actor "x"`}},
		"many": {head + strings.Repeat("o map_create type=hsah\n", maxMistakes+1),
			[]string{"x.txt:13: unknown bpf_map_type"}},
	} {
		_, err := parseAndExpand(tt.text)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in %v", name, want, err)
			}
		}
		if n := strings.Count(err.Error(), "x.txt:"); n != len(tt.want) && n != maxMistakes {
			t.Errorf("%s: %d mistakes in %v", name, n, err)
		}
	}
}
