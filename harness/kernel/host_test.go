package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// hostOf is a host that runs a release and has files.
func hostOf(t *testing.T, release string, files map[string][]byte) *running {
	t.Helper()
	r := &running{root: t.TempDir(), release: release, machine: "x86_64"}
	for path, content := range files {
		write(t, filepath.Join(r.root, path), content)
	}
	return r
}

func TestHost(t *testing.T) {
	o := Options{CacheDir: t.TempDir()}
	r := hostOf(t, "6.1.0-1", map[string][]byte{
		"boot/vmlinuz-6.1.0-1": bzImage("6.1.0-1"), "boot/config-6.1.0-1": []byte(needsModules),
		"lib/modules/6.1.0-1/kernel/v/virtio_pci.ko":        module("virtio-ring,in_the_kernel"),
		"lib/modules/6.1.0-1/kernel/v/virtio_console.ko":    module(""),
		"lib/modules/6.1.0-1/kernel/v/virtio-ring.ko":       module(""),
		"lib/modules/6.1.0-1/kernel/other/not_readable.ko":  []byte("x"),
		"lib/modules/5.10.0/kernel/other/of_another_one.ko": []byte("x"),
	})
	for range 2 { // the second is from the cache
		k, err := r.resolve(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if k.Release != "6.1.0-1" || k.Ref != "host" || !k.Config.Has("VIRTIO_PCI") || k.ConfigPath == "" ||
			!slices.Equal(moduleNames(t, k), []string{"virtio_ring", "virtio_pci", "virtio_console"}) ||
			k.Source != "this host's kernel, "+r.root+"/boot/vmlinuz-6.1.0-1" {
			t.Errorf("%+v", k)
		}
	}
	// A kernel that was installed again is another one.
	write(t, filepath.Join(r.root, "boot/vmlinuz-6.1.0-1"), append(bzImage("6.1.0-1"), 0))
	if err := os.RemoveAll(filepath.Join(r.root, "lib")); err != nil {
		t.Fatal(err)
	}
	if k, err := r.resolve(t.Context(), o); err != nil || k.Modules != nil {
		t.Errorf("%+v, %v", k, err)
	}
	r = hostOf(t, "6.14", map[string][]byte{"usr/lib/modules/6.14/vmlinuz": bzImage("6.14")})
	if k, err := r.resolve(t.Context(), o); err != nil || k.Release != "6.14" || k.Config != nil {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestHostWithout(t *testing.T) {
	o := Options{CacheDir: t.TempDir()}
	for want, r := range map[string]*running{
		"has neither /":                      hostOf(t, "6.1", nil),
		"it was replaced since the boot":     hostOf(t, "6.1", map[string][]byte{"boot/vmlinuz-6.1": bzImage("6.1.1")}),
		"/boot/vmlinuz-6.1 is not a kernel:": hostOf(t, "6.1", map[string][]byte{"boot/vmlinuz-6.1": []byte("words")}),
		"this host is mips64":                {release: "6.1", machine: "mips64"},
	} {
		k, err := r.resolve(t.Context(), o)
		var bad *UsageError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "oci:IMAGE") {
			t.Errorf("%s: %v, %v", want, k, err)
		}
	}
	if left, _ := os.ReadDir(o.CacheDir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// An image that only root can read, as Ubuntu installs it.
func TestHostUnreadable(t *testing.T) {
	r := hostOf(t, "6.1", map[string][]byte{"boot/vmlinuz-6.1": bzImage("6.1")})
	if err := os.Chmod(filepath.Join(r.root, "boot/vmlinuz-6.1"), 0); err != nil {
		t.Fatal(err)
	}
	o := Options{CacheDir: t.TempDir()}
	if os.Getuid() == 0 { // root reads every file, unless this thread is an ordinary user's for files
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		unix.SetfsuidRetUid(65534)
		defer unix.SetfsuidRetUid(0)
	}
	if k, err := r.resolve(t.Context(), o); err == nil ||
		!strings.Contains(err.Error(), "no right to read") || !strings.Contains(err.Error(), "sudo install") {
		t.Errorf("%v, %v", k, err)
	}
}
