package kernel

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// moduleOf is a .ko file with what modprobe reads.
func moduleOf(tags ...string) []byte {
	return elfFile(elf.EM_X86_64, []byte(strings.Join(append(tags, "license=GPL"), "\x00")+"\x00"), nil)
}

// found is what Find says, as text: modules in order, those that may be missing in brackets.
func found(t *ModuleTree, name string) string {
	steps, ok := t.Find(name)
	if !ok {
		return "nothing"
	}
	var out []string
	for _, s := range steps {
		if s.Soft {
			s.Name = "[" + s.Name + "]"
		}
		out = append(out, s.Name)
	}
	return strings.Join(out, " ")
}

// want is what modprobe loads for names and aliases on the kernel of modular.
var want = map[string]string{
	"veth":                   "veth",
	"odd-helper":             "odd_helper",
	"odd_helper":             "odd_helper",
	"rtnl-link-veth":         "veth",
	"rtnl_link_veth":         "veth",
	"nft-chain-1-nat":        "nf_tables nft_nat",
	"pci:v00001AF4d00001000": "[crc] odd_helper virtio",
	"pci:v00001AF5d00001000": "nothing",
	"ext4":                   "", // built in
	"nosuch":                 "nothing",
	"net-pf-1[":              "nothing",
}

func (w *world) modular(release, version string) {
	base := "lib/modules/" + release
	w.publish("trixie", "linux-image-"+release, version, nil, map[string][]byte{
		"boot/vmlinuz-" + release:       bzImage(release),
		"boot/config-" + release:        []byte("CONFIG_MODULES=y\nCONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_CONSOLE=y\n"),
		base + "/modules.builtin":       []byte("kernel/fs/ext4/ext4.ko\nkernel/fs/jbd2/jbd2.ko\n"),
		base + "/kernel/net/veth.ko.xz": xzPacked(w.t, moduleOf("alias=rtnl-link-veth", "depends=")),
		base + "/kernel/net/nft_nat.ko.zst": zstdPacked(w.t,
			moduleOf("alias=nft-chain-[0-9]*-nat", "depends=nf_tables")),
		base + "/kernel/net/nf_tables.ko":  moduleOf(),
		base + "/kernel/lib/odd-helper.ko": moduleOf(),
		base + "/kernel/lib/crc.ko":        moduleOf(),
		base + "/kernel/drivers/virtio/virtio.ko": moduleOf("alias=pci:v00001AF4d*", "depends=odd-helper,jbd2",
			"softdep=pre: crc"),
		base + "/kernel/drivers/other/other.ko": []byte("not even ELF"),
	})
}

// The modules come from the package again, once, and each is found as modprobe finds it.
func TestModulesOfPackage(t *testing.T) {
	w := newWorld(t)
	w.modular("6.12.1-cloud-amd64", "6.12.1-1")
	k := w.resolve("deb:6.12")
	offline := w.opts
	offline.Offline = true
	_, err := k.AllModules(t.Context(), offline)
	if !errors.Is(err, ErrNoModules) || !strings.Contains(err.Error(), "--offline") {
		t.Errorf("offline: %v", err)
	}
	for _, o := range []Options{w.opts, offline} {
		tree, err := k.AllModules(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range want {
			if got := found(tree, name); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		for _, name := range []string{"veth", "nft_nat", "odd_helper"} {
			if b, err := tree.Read(name); err != nil || !strings.HasPrefix(string(b), "\x7fELF") {
				t.Errorf("read %s: %d bytes, %v", name, len(b), err)
			}
		}
	}
	if !w.logged("read module other: ") {
		t.Errorf("a damaged module is not said: %q", w.log)
	}
}

// A tree has the modules that make has built.
func TestModulesOfTree(t *testing.T) {
	dir := t.TempDir()
	image := write(t, dir+"/arch/x86/boot/bzImage", bzImage("6.12.1"))
	write(t, dir+"/modules.order", []byte("kernel/a/one.o\nkernel/b/two-x.ko\nkernel/c/absent.ko\n"))
	write(t, dir+"/modules.builtin", []byte("kernel/fs/ext4/ext4.ko\n"))
	write(t, dir+"/kernel/a/one.ko", moduleOf("alias=fs-one"))
	write(t, dir+"/kernel/b/two-x.ko", moduleOf("depends=one"))
	k, err := Resolve(t.Context(), image, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := k.AllModules(t.Context(), Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range []string{"fs-one", "two-x", "absent", "ext4"} {
		got = append(got, fmt.Sprintf("%s: %s", name, found(tree, name)))
	}
	want := []string{"fs-one: one", "two-x: one two_x", "absent: nothing", "ext4: "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if b, err := tree.Read("two_x"); err != nil || len(b) == 0 {
		t.Errorf("read: %v", err)
	}
}

// A kernel that was built has none that are kept, and no package is asked for them.
func TestModulesOfBuild(t *testing.T) {
	w := newYard(t)
	k, err := w.resolve("git:" + w.tree)
	if err != nil {
		t.Fatal(err)
	}
	k.Config = nil // whatever it says
	if _, err := k.AllModules(t.Context(), w.o); !errors.Is(err, ErrNoModules) {
		t.Errorf("got %v", err)
	}
	if w.heard("package lists") {
		t.Errorf("said %q", w.said)
	}
}

// A bare image has none, and nothing is made in the cache.
func TestModulesOfImage(t *testing.T) {
	image := write(t, t.TempDir()+"/bzImage", bzImage("6.12.1"))
	k, err := Resolve(t.Context(), image, Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	if _, err := k.AllModules(t.Context(), Options{CacheDir: cache}); !errors.Is(err, ErrNoModules) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(cache + "/modules"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
