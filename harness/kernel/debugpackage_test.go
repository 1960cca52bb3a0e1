package kernel

import (
	"os"
	"strings"
	"testing"
)

// The debug package of the same version is fetched, and only its vmlinux stays.
func TestFetchSymbols(t *testing.T) {
	const release, version = "6.1.0-50-cloud-amd64", "6.1.176-1"
	w := newWorld(t)
	w.old("bookworm", release, version)
	w.publish("bookworm", "linux-image-"+release+"-dbg", version, nil, map[string][]byte{
		"usr/lib/debug/boot/vmlinux-" + release: []byte("an ELF file"),
		"usr/share/doc/x":                       []byte("words"),
	})
	k := w.resolve("deb:6.1")
	dir := t.TempDir()
	path, err := k.FetchSymbols(t.Context(), dir, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "an ELF file" {
		t.Errorf("%q, %v", b, err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("left %v", list)
	}
	offline := w.opts
	offline.Offline = true
	if _, err := k.FetchSymbols(t.Context(), t.TempDir(), offline); err == nil ||
		!strings.Contains(err.Error(), "--offline forbids the network") {
		t.Errorf("offline: %v", err)
	}
}

// A kernel without a debug package, or from a file, has no symbols to fetch.
func TestFetchSymbolsOfOthers(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	k := w.resolve("deb:6.1")
	if _, err := k.FetchSymbols(t.Context(), t.TempDir(), w.opts); err == nil ||
		!strings.Contains(err.Error(), "the mirror has no linux-image-6.1.0-50-cloud-amd64-dbg 6.1.176-1") {
		t.Errorf("got %v", err)
	}
	other := &Kernel{Ref: "bzImage", Digest: "00"}
	if _, err := other.FetchSymbols(t.Context(), t.TempDir(), w.opts); err == nil ||
		!strings.Contains(err.Error(), "it is not from a package") {
		t.Errorf("got %v", err)
	}
}
