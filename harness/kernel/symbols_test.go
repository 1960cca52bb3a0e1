package kernel

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const program = `package main

import "os"

//go:noinline
func victim(n int) int {
	if n > 100 {
		return n
	}
	return os.Getpid() + n
}

func main() { os.Exit(victim(len(os.Args)) & 1) }
`

// TestSymbols reads an ELF file with DWARF that the compiler of this host makes.
func TestSymbols(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": program, "go.mod": "module victim\n\ngo 1.21\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "vmlinux")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, err := OpenSymbols(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var size uint64
	for _, sym := range s.funcs["main.victim"] {
		size = sym.Size
	}
	if size == 0 {
		t.Fatal("main.victim is not there")
	}
	line := fmt.Sprintf("[    1.000000] RIP: 0010:main.victim+0x0/0x%x", size)
	if got := s.Annotate(line); !strings.HasPrefix(got, line+" (") || !strings.HasSuffix(got, "main.go:6)") {
		t.Errorf("got %q", got)
	}
	end := fmt.Sprintf(" main.victim+0x%x/0x%x", size, size)
	if got := s.Annotate(end); !strings.Contains(got, "main.go:") {
		t.Errorf("the end: got %q", got)
	}
	padded := fmt.Sprintf(" main.victim+0x1/0x%x", size+padding-1)
	if got := s.Annotate(padded); !strings.Contains(got, "main.go:") {
		t.Errorf("with the padding behind it: got %q", got)
	}
	for _, plain := range []string{
		"no place", " main.victim+0x1/0x1", " nobody+0x1/0x2", fmt.Sprintf(" main.victim+0x1/0x%x [module]", size),
		fmt.Sprintf(" main.victim+0x%x/0x%x", size+1, size+1),
	} {
		if got := s.Annotate(plain); got != plain {
			t.Errorf("%q became %q", plain, got)
		}
	}
	if _, err := OpenSymbols(filepath.Join(dir, "main.go")); err == nil {
		t.Error("a text has symbols")
	}
}

func TestVmlinux(t *testing.T) {
	dir := t.TempDir()
	boot := filepath.Join(dir, "arch/x86/boot")
	if err := os.MkdirAll(boot, 0o755); err != nil {
		t.Fatal(err)
	}
	k := &Kernel{Image: filepath.Join(boot, "bzImage"), Format: BzImage}
	if got := k.Vmlinux(); got != "" {
		t.Errorf("got %s, where none is", got)
	}
	want := filepath.Join(dir, "vmlinux")
	if err := os.WriteFile(want, []byte(elf.ELFMAG), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := k.Vmlinux(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := (&Kernel{Image: "x", Format: Vmlinux}).Vmlinux(); got != "x" {
		t.Errorf("got %s, want the image", got)
	}
}
