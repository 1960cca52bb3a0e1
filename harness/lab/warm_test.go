package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/lab/labtest"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// warmLab is a lab whose kernel was booted once, cleanly; its machines do the acts.
func warmLab(t *testing.T, acts string) *Lab {
	t.Helper()
	t.Setenv(labtest.Saves, "1")
	l := newLab(t, "clean "+acts)
	l.Snapshot = AutoRestore
	k := run(t, l, 0, "nested_userns")
	if b := k.Boots; len(b) != 1 || b[0].Began != "bzimage" || b[0].Fate != vm.Clean {
		t.Fatalf("the first machine: %+v", b)
	}
	again(t, l)
	return l
}

// again gives a lab a new directory for its next run.
func again(t *testing.T, l *Lab) {
	t.Helper()
	l.Dir = filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(l.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func began(k *result.KernelRun) []string {
	var out []string
	for _, b := range k.Boots {
		out = append(out, b.Began)
	}
	return out
}

// A kernel that booted once begins from its snapshot. What a restored machine shows that is
// not as expected counts only if a machine that boots shows it too.
func TestAutoRestore(t *testing.T) {
	for name, tt := range map[string]struct {
		acts  string
		began []string
		fates []vm.Fate
		want  map[result.Status]int
		code  int
		note  string
		kept  bool // the snapshot
	}{
		"clean": {"clean", []string{"restored"}, []vm.Fate{vm.Clean},
			map[result.Status]int{result.Pass: tokenCreate()}, result.ExitOK, "", true},
		"a failure that is confirmed": {"lie@3 lie@0 clean", []string{"restored", "bzimage"}, []vm.Fate{vm.Clean, vm.Clean},
			map[result.Status]int{result.Pass: tokenCreate() - 1, result.Fail: 1}, result.ExitDiffers, "", true},
		"a failure that is not": {"lie@3 clean", []string{"restored", "bzimage"}, []vm.Fate{vm.Clean, vm.Clean},
			map[result.Status]int{result.Pass: tokenCreate() - 1, result.Broken: 1}, result.ExitNoVerdict, "", true},
		"a panic that is confirmed": {"panic@70 panic@70 panic@0 clean",
			[]string{"restored", "bzimage", "bzimage", "bzimage", "bzimage"},
			[]vm.Fate{vm.Panicked, vm.Panicked, vm.Panicked, vm.Clean, vm.Clean},
			map[result.Status]int{result.Pass: tokenCreate() - 1, result.Broken: 1}, result.ExitDiffers, "", false},
		"a panic that is not": {"panic@70 clean", []string{"restored", "bzimage"}, []vm.Fate{vm.Infra, vm.Clean},
			map[result.Status]int{result.Pass: tokenCreate()}, result.ExitNoVerdict, "", false},
		"a warning that is not": {"warn@70 clean", []string{"restored", "bzimage"}, []vm.Fate{vm.Infra, vm.Clean},
			map[result.Status]int{result.Pass: tokenCreate()}, result.ExitNoVerdict, "", false},
		"an end in the first cell that is not": {"off@0 clean", []string{"restored", "bzimage"},
			[]vm.Fate{vm.Infra, vm.Clean}, map[result.Status]int{result.Pass: 219}, result.ExitNoVerdict, "", false},
		"a state that QEMU refuses": {"refuse clean", []string{"bzimage"}, []vm.Fate{vm.Clean},
			map[result.Status]int{result.Pass: tokenCreate()}, result.ExitOK, "could not be restored", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := warmLab(t, tt.acts)
			r, err := l.Run(t.Context(), newPlan(t, 0, "token_create"), nil)
			if err != nil {
				t.Fatal(err)
			}
			k := r.Kernels[0]
			if !slices.Equal(began(k), tt.began) || !slices.Equal(fates(k), tt.fates) {
				t.Errorf("began %v and ended %v, want %v and %v: %s", began(k), fates(k), tt.began, tt.fates, k.Boots[0].Reason)
			}
			n := k.Counts()
			for _, status := range result.Statuses() {
				if n[status] != tt.want[status] {
					t.Errorf("%v, want %v", n, tt.want)
					break
				}
			}
			if code := r.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(k.Note, tt.note) {
				t.Errorf("note %q, want %q in it", k.Note, tt.note)
			}
			states, _ := filepath.Glob(filepath.Join(l.CacheDir, "snapshots", "*.state"))
			if (len(states) == 1) != tt.kept {
				t.Errorf("snapshots %v, kept: want %v", states, tt.kept)
			}
			for i := range k.Cases {
				if c := &k.Cases[i]; c.Status == result.Fail && k.Boots[c.Boot].Began == result.Restored {
					t.Errorf("%s: the kernel is blamed for what a restored machine alone showed", c.ID)
				}
				if c := &k.Cases[i]; c.Status == result.Broken && tt.code == result.ExitNoVerdict &&
					c.Cause.Kind != result.Unconfirmed {
					t.Errorf("%s: cause %+v", c.ID, c.Cause)
				}
			}
		})
	}
}

// Neither a boot with a finding nor another kernel is begun from.
func TestNotRestored(t *testing.T) {
	t.Run("after a finding", func(t *testing.T) {
		t.Setenv(labtest.Saves, "1")
		l := newLab(t, "warn@3 clean")
		l.Snapshot = AutoRestore
		run(t, l, 0, "nested_userns")
		again(t, l)
		if k := run(t, l, 0, "nested_userns"); !slices.Equal(began(k), []string{"bzimage"}) {
			t.Errorf("began %v", began(k))
		}
	})
	t.Run("another kernel", func(t *testing.T) {
		l := warmLab(t, "clean")
		if err := labtest.Direct(filepath.Dir(l.CacheDir)); err != nil {
			t.Fatal(err)
		}
		if k := run(t, l, 0, "nested_userns"); !slices.Equal(began(k), []string{"direct"}) {
			t.Errorf("began %v", began(k))
		}
	})
	t.Run("other arguments", func(t *testing.T) {
		l := warmLab(t, "clean")
		l.Append = []string{"quiet"}
		if k := run(t, l, 0, "nested_userns"); !slices.Equal(began(k), []string{"bzimage"}) {
			t.Errorf("began %v", began(k))
		}
	})
	t.Run("never", func(t *testing.T) {
		l := warmLab(t, "clean")
		l.Snapshot = NeverRestore
		if k := run(t, l, 0, "nested_userns"); !slices.Equal(began(k), []string{"bzimage"}) {
			t.Errorf("began %v", began(k))
		}
	})
}

// A run that is resumed says how its machines began, and confirms what it would have.
func TestResumeRestored(t *testing.T) {
	l := warmLab(t, "lie@3 lie@0 clean")
	p := newPlan(t, 0, "token_create")
	want, err := l.Run(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Resume = true
	got, err := l.Run(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := began(want.Kernels[0]), began(got.Kernels[0]); !slices.Equal(a, b) {
		t.Errorf("began %v, and after it was resumed %v", a, b)
	}
	if a, b := want.ExitCode(), got.ExitCode(); a != b {
		t.Errorf("exit code %d, and after it was resumed %d", a, b)
	}
}
