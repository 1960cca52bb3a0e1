package vm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// probe are options with a fake QEMU and a device that can be opened.
func probe(t *testing.T, act string) ProbeOptions {
	return ProbeOptions{QEMU: fake(t, act), Kernel: "bzImage", CacheDir: filepath.Join(t.TempDir(), "cache"),
		device: "/dev/null", timeout: 5 * time.Second}
}

func TestProbe(t *testing.T) {
	for _, want := range []struct {
		act    string
		accel  Accel
		why    string
		cached bool
	}{
		{"linux", KVM, "a guest's kernel printed its first line after ", true},
		{"hung", TCG, "/dev/null opens but a guest's kernel printed nothing in 300ms", true},
		{"kvmfail", TCG, "/dev/null opens but a guest does not run: KVM internal error. Suberror: 1", true},
		{"badargs", TCG, "/dev/null opens but a guest does not run: qemu: -frob: invalid option", false},
		{"mute", TCG, "/dev/null opens but a guest does not run: the guest ended before its kernel's first line", false},
	} {
		t.Run(want.act, func(t *testing.T) {
			t.Parallel()
			o := probe(t, want.act)
			if want.act == "hung" {
				o.timeout = 300 * time.Millisecond
			}
			accel, why := Probe(t.Context(), o)
			if accel != want.accel || !strings.HasPrefix(why, want.why) {
				t.Errorf("got %s: %s, want %s: %s", accel, why, want.accel, want.why)
			}
			a, w, ok := Lookup(o)
			if ok != want.cached || ok && (a != accel || w != why) {
				t.Errorf("Lookup() = %s, %q, %v; want %s, %q, %v", a, w, ok, accel, why, want.cached)
			}
		})
	}
}

func TestProbeWithoutDevice(t *testing.T) {
	o := probe(t, "linux")
	o.device = filepath.Join(t.TempDir(), "kvm")
	if accel, why := Probe(t.Context(), o); accel != TCG || !strings.Contains(why, "no such file") {
		t.Errorf("got %s: %s", accel, why)
	}
}

func TestProbeWithoutQEMU(t *testing.T) {
	o := probe(t, "linux")
	o.QEMU = "/nonexistent/qemu"
	if accel, why := Probe(t.Context(), o); accel != TCG || !strings.HasPrefix(why, "start qemu: ") {
		t.Errorf("got %s: %s", accel, why)
	}
}

func TestProbeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := probe(t, "hung")
	if accel, why := Probe(ctx, o); accel != TCG || why != "the probe of kvm was interrupted" {
		t.Errorf("got %s: %s", accel, why)
	}
	if _, _, ok := Lookup(o); ok {
		t.Error("an interrupted probe was cached")
	}
}

func TestProbeCache(t *testing.T) {
	o := probe(t, "linux")
	Probe(t.Context(), o)
	o.QEMU, o.Format, o.timeout = fake(t, "hung"), "vmlinux", 50*time.Millisecond
	if accel, _ := Probe(t.Context(), o); accel != TCG {
		t.Errorf("another image format got the old answer, %s", accel)
	}
	if all := readAnswers(o.CacheDir); len(all) != 2 {
		t.Errorf("the cache holds %v, want both formats", all)
	}
	file := filepath.Join(o.CacheDir, answersFile)
	for _, damage := range []string{"", "{", "[{}]", `[{"key":"x"}]`, "\x00"} {
		if err := os.WriteFile(file, []byte(damage), 0o644); err != nil {
			t.Fatal(err)
		}
		if accel, why := Probe(t.Context(), o); accel != TCG || len(readAnswers(o.CacheDir)) == 0 {
			t.Errorf("cache %q: got %s: %s", damage, accel, why)
		}
	}
	if names, _ := filepath.Glob(file + "*"); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestImageFormat(t *testing.T) {
	elf := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(elf, []byte("\x7fELF..."), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{elf: "vmlinux", "/dev/null": "bzImage", "/nonexistent": "bzImage"} {
		if got := imageFormat(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
