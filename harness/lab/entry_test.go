package lab

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/lab/labtest"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// How machines begin, and what is said of a kernel that boots only as a bzImage.
func TestEntry(t *testing.T) {
	for name, tt := range map[string]struct {
		entry  Entry
		direct bool // the kernel has the PVH note
		acts   string
		began  []string
		fates  []vm.Fate
		note   string
		err    string
		cases  string // "" means nested_userns
	}{
		"directly":             {AutoEntry, true, "clean", []string{"direct"}, []vm.Fate{vm.Clean}, "", "", ""},
		"without the note":     {AutoEntry, false, "clean", []string{"bzimage"}, []vm.Fate{vm.Clean}, "", "", ""},
		"as a bzImage":         {BzImageEntry, true, "clean", []string{"bzimage"}, []vm.Fate{vm.Clean}, "", "", ""},
		"not without the note": {DirectEntry, false, "clean", nil, nil, "", "give --boot bzimage", ""},
		"only as a bzImage": {AutoEntry, true, "mute clean", []string{"bzimage"}, []vm.Fate{vm.Clean},
			"does not boot if QEMU enters its ELF file directly", "", ""},
		"in no way": {AutoEntry, true, "mute mute", []string{"bzimage"}, []vm.Fate{vm.Unbooted},
			"", "", ""},
		"directly as was asked":  {DirectEntry, true, "mute clean", []string{"direct"}, []vm.Fate{vm.Unbooted}, "", "", ""},
		"a panic is not excused": {AutoEntry, true, "panic@0 clean", []string{"direct"}, []vm.Fate{vm.Panicked}, "", "", ""},
		"later machines go on so": {AutoEntry, true, "mute panic@70 clean", []string{"bzimage", "bzimage", "bzimage"},
			[]vm.Fate{vm.Panicked, vm.Clean, vm.Clean}, "--boot bzimage", "", "token_create"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, tt.acts)
			l.Entry = tt.entry
			if tt.direct {
				if err := labtest.Direct(filepath.Dir(l.Dir)); err != nil {
					t.Fatal(err)
				}
			}
			r, err := l.Run(t.Context(), newPlan(t, 0, cmp.Or(tt.cases, "nested_userns")), nil)
			if err != nil {
				t.Fatal(err)
			}
			k := r.Kernels[0]
			if tt.err != "" {
				if !strings.Contains(k.Error, tt.err) || len(k.Boots) != 0 {
					t.Errorf("error %q and %d boots, want one with %q", k.Error, len(k.Boots), tt.err)
				}
				return
			}
			var began []string
			for _, b := range k.Boots {
				began = append(began, b.Began)
			}
			if !slices.Equal(began, tt.began) || !slices.Equal(fates(k), tt.fates) || k.Error != "" {
				t.Errorf("began %v and ended %v (%s), want %v and %v", began, fates(k), k.Error, tt.began, tt.fates)
			}
			if !strings.Contains(k.Note, tt.note) || tt.note == "" && strings.Contains(k.Note, "--boot") {
				t.Errorf("note %q, want one with %q", k.Note, tt.note)
			}
			if tt.note != "" { // the console of the machine that did not boot is kept
				if _, err := os.Stat(filepath.Join(l.Dir, "kernel0", "direct", "console.log")); err != nil {
					t.Error(err)
				}
			}
			if n := k.Counts()[result.Pass]; (n > 0) != (tt.fates[len(tt.fates)-1] == vm.Clean) {
				t.Errorf("%d cases passed, and the last machine ended %s", n, tt.fates[len(tt.fates)-1])
			}
		})
	}
}
