package kernel

import (
	"bytes"
	"debug/elf"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/harness/arch"
)

func TestInspect(t *testing.T) {
	noVersion := bzImage("6.12.1")
	noVersion[0x20e], noVersion[0x20f] = 0, 0
	cutVersion := bzImage("6.12.1")
	cutVersion[0x20f] = 0xff
	far := elfFile(elf.EM_X86_64, append(make([]byte, 1<<18-64-2*56-8), "Linux version 7.3.4-test (b@h)"...),
		note("Xen\x00", 18, "entry"))
	tests := []struct {
		name            string
		image           []byte
		format, release string
	}{
		{"bzImage", bzImage("6.12.117+deb13-cloud-amd64"), BzImage, "6.12.117+deb13-cloud-amd64"},
		{"bzImage with a signature after it", append(bzImage("6.1.0-56-cloud-amd64"), "signature"...), BzImage,
			"6.1.0-56-cloud-amd64"},
		{"bzImage without a version", noVersion, BzImage, ""},
		{"bzImage whose version is elsewhere", cutVersion, BzImage, ""},
		{"vmlinux", pvh("6.12.0-rc1"), Vmlinux, "6.12.0-rc1"},
		{"vmlinux with its banner across two reads", far, Vmlinux, "7.3.4-test"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := inspect(bytes.NewReader(tt.image), int64(len(tt.image)))
			if err != nil {
				t.Fatal(err)
			}
			if want := (header{tt.format, tt.release, arch.Find("amd64")}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// The images of other architectures are known by their headers.
func TestInspectForeign(t *testing.T) {
	raw := func(magic string) []byte {
		return append(append(make([]byte, 56), magic...), make([]byte, 1000)...)
	}
	s390 := make([]byte, 0x20000)
	copy(s390[0x10008:], "S390EP")
	copy(s390[0x10428:], "\x00\x00\x00\x00\x00\x01\x80\x00")
	copy(s390[0x18000:], "6.12.107+deb13-s390x (builder@host) #1 SMP")
	power := elfFile(elf.EM_PPC64, []byte("Linux version 7.2.13-powerpc64le (b@h)"), nil)
	for _, tt := range []struct {
		image []byte
		want  header
	}{
		{append(raw("ARM\x64"), "Linux version 6.12.117-arm64 (b@h)"...), header{Raw, "6.12.117-arm64", arch.Find("arm64")}},
		{append(raw("RSC\x05"), "Linux version 7.2.13-riscv (b@h)"...), header{Raw, "7.2.13-riscv", arch.Find("riscv64")}},
		{s390, header{BzImage, "6.12.107+deb13-s390x", arch.Find("s390x")}},
		{power, header{Vmlinux, "7.2.13-powerpc64le", arch.Find("ppc64el")}},
	} {
		got, err := inspect(bytes.NewReader(tt.image), int64(len(tt.image)))
		if err != nil || got != tt.want {
			t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
		}
	}
}

func TestInspectRefuses(t *testing.T) {
	protocol := bzImage("2.6.32")
	protocol[0x206] = 0x0a
	wide := bzImage("6.12.1")
	wide[0x236] = 0
	whole := bzImage("6.12.1")
	banner := []byte("Linux version 6.12.1 (b@h)")
	segment := pvh("6.12.1")
	segment[64+32+3] = 1 // the first segment claims 16 MiB more
	tests := []struct {
		name  string
		image []byte
		want  string
	}{
		{"empty", nil, "the file is empty"},
		{"text", []byte("hello, this is no kernel\n"), "a text file"},
		{"script", []byte("#!/bin/sh\n"), "a script"},
		{"package", []byte("!<arch>\ndebian-binary   "), "a Debian package"},
		{"gzip", []byte("\x1f\x8b\x08\x00\x00"), "gzip data; unpack it"},
		{"PE", append([]byte("MZ"), make([]byte, 2000)...), "a PE program without"},
		{"Arm", append(make([]byte, 36), "\x18\x28\x6f\x01 and more"...), "a 32-bit Arm kernel image; there are amd64"},
		{"EFI", append([]byte("MZ\x00\x00zimg"), make([]byte, 2000)...), "a compressed EFI kernel image"},
		{"U-Boot", []byte("\x27\x05\x19\x56 and more"), "a U-Boot image"},
		{"noise", []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, "neither an image nor an ELF file (it begins with 0102030405060708)"},
		{"truncated bzImage", whole[:len(whole)-1], "a truncated bzImage: 3071 of 3072 bytes"},
		{"header only", whole[:0x300], "a truncated bzImage"},
		{"old protocol", protocol, "a 32-bit x86 kernel"},
		{"32-bit", wide, "a 32-bit x86 kernel"},
		{"program", elfFile(elf.EM_X86_64, []byte("hello"), nil), "an ELF file that is not a kernel"},
		{"no PVH", elfFile(elf.EM_X86_64, banner, note("Xen\x00", 17, "x")), "without the PVH entry point"},
		{"note of another owner", elfFile(elf.EM_X86_64, banner, note("GNU\x00", 18, "x")), "without the PVH entry point"},
		{"other machine", elfFile(elf.EM_AARCH64, banner, nil), "a vmlinux for arm64, which QEMU cannot enter"},
		{"unknown machine", elfFile(elf.EM_MIPS, banner, nil), "an ELF file for mips; there are"},
		{"truncated ELF", pvh("6.12.1")[:100], "a damaged or truncated ELF file"},
		{"segment past the end", segment, "a truncated ELF file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := inspect(bytes.NewReader(tt.image), int64(len(tt.image)))
			var bad *formatError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want a formatError with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestHasNoteSurvivesNonsense(t *testing.T) {
	whole := append(note("Xen\x00", 1, "a"), note("Xen\x00", 18, "entry")...)
	for n := range whole {
		if hasNote(whole[:n], "Xen\x00", 18) {
			t.Errorf("found in the first %d of %d bytes", n, len(whole))
		}
	}
	if !hasNote(whole, "Xen\x00", 18) {
		t.Error("not found")
	}
	if hasNote([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\x12\x00\x00\x00Xen\x00"), "Xen\x00", 18) {
		t.Error("found in a note without an end")
	}
}

func TestResolveFile(t *testing.T) {
	tests := []struct {
		name   string
		files  map[string]string // beside the image
		image  string
		config string // the file that is used
	}{
		{"release", map[string]string{"config-6.12.1": "CONFIG_A=y\n", ".config": "CONFIG_B=y\n"}, "bzImage",
			"config-6.12.1"},
		{"build tree", map[string]string{".config": "CONFIG_B=y\n"}, "bzImage", ".config"},
		{"modules directory", map[string]string{"config": "CONFIG_B=y\n"}, "vmlinuz", "config"},
		{"another program's", map[string]string{"config": "[core]\n", "config-6.1.9": "CONFIG_A=y\n"}, "bzImage", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range tt.files {
				write(t, filepath.Join(dir, name), []byte(content))
			}
			image := write(t, filepath.Join(dir, tt.image), bzImage("6.12.1"))
			k, err := Resolve(t.Context(), image, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if k.Release != "6.12.1" || k.Format != BzImage || k.Image != image || len(k.Digest) != 64 || k.Source != image {
				t.Errorf("got %+v", k)
			}
			if tt.config == "" {
				if k.ConfigPath != "" || k.Config != nil {
					t.Errorf("config %v from %q, want it unknown", k.Config, k.ConfigPath)
				}
			} else if k.ConfigPath != filepath.Join(dir, tt.config) || len(k.Config) != 1 {
				t.Errorf("config %v from %q, want %s", k.Config, k.ConfigPath, tt.config)
			}
		})
	}
}

func TestResolveFileBadConfig(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".config"), []byte("CONFIG_A=y\nrubbish\n"))
	_, err := Resolve(t.Context(), write(t, filepath.Join(dir, "bzImage"), bzImage("6.12.1")), Options{})
	if err == nil || !strings.Contains(err.Error(), ".config: line 2: ") {
		t.Errorf("got %v, want the file and the line", err)
	}
}

func TestResolveRefusesPaths(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		ref, want string
		near      string
	}{
		{"", "empty; a kernel is", ""},
		{dir, "a directory", ""},
		{filepath.Join(dir, "absent"), "no such file; a kernel is", ""},
		{write(t, filepath.Join(dir, "text"), []byte("text\n")), "not a kernel: a text file", ""},
		{"/dev/null", "not a regular file", ""},
		{"rpm:linux#v6.12", "no such form; a kernel is", ""},
		{"git:linux#v6.12", "no directory linux", ""},
		{"6.12", "no such file", "deb:6.12"},
		{"trixie-backports", "no such file", "deb:trixie-backports"},
		{"trixieish", "no such file", ""},
	}
	for _, tt := range tests {
		_, err := Resolve(t.Context(), tt.ref, Options{})
		var bad *UsageError
		if !errors.As(err, &bad) || !strings.HasPrefix(bad.Reason, tt.want) || strings.Join(bad.Near, " ") != tt.near {
			t.Errorf("Resolve(%q) = %v, want a UsageError %q near %q", tt.ref, err, tt.want, tt.near)
		}
	}
}
