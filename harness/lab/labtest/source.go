package labtest

import (
	"os"
	"path/filepath"

	"tokentest/harness/arch"
)

// actMark precedes an act in an image that was built from Source. Its machines play that act,
// whatever Acts says.
const actMark = "act="

// of is the architecture of every fake, and imageDir where its image is made.
var (
	of       = arch.Default
	imageDir = filepath.Dir(of.Image.Path)
)

// makefile builds like a kernel's out of its tree: it makes a .config of the requested options
// without those in the file "drops", an image of kernel/bpf/token.c, and the source itself as
// the ELF file. A source that contains #error does not compile, and one with #wait takes a
// minute.
var makefile = `VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 1
head = printf '\#\n\# Automatically generated file; DO NOT EDIT.\n\# %s Kernel Configuration\n\#\n' \
	'Linux/` + of.Config + ` 6.12.1-fake'

allnoconfig:
	@{ $(head); grep -v -F -f drops "$(KCONFIG_ALLCONFIG)"; } > $(O)/.config

olddefconfig:
	@grep -v -F -f drops $(O)/.config > $(O)/.tmp; { $(head); cat $(O)/.tmp; } > $(O)/.config; rm $(O)/.tmp

include/config/kernel.release:
	@mkdir -p $(O)/include/config
	@echo 6.12.1-fake > $(O)/$@

bzImage:
	@mkdir -p $(O)/` + imageDir + `
	@echo "  CC      kernel/bpf/token.o"
	@if grep -q '#wait' kernel/bpf/token.c; then echo half > $(O)/token.o; touch $(O)/../waits; sleep 60; fi
	@if grep -q '#full' kernel/bpf/token.c; then echo "ar: token.o: No space left on device"; exit 1; fi
	@if grep -n '#error' kernel/bpf/token.c > $(O)/bad; then \
		echo "$(CURDIR)/kernel/bpf/token.c:$$(cut -d: -f1 $(O)/bad):2: error: #error broken"; \
		echo "    1 | #error broken"; echo "      |  ^~~~~"; echo "compilation terminated."; exit 1; fi
	@{ cat image.bin; grep -v '^//' kernel/bpf/token.c; } > $(O)/` + of.Image.Path + `
	@if [ -n "$(LLVM)" ]; then echo "LLVM=$(LLVM)" >> $(O)/` + of.Image.Path + `; fi
	@rm -f $(O)/vmlinux; cp kernel/bpf/token.c $(O)/vmlinux
`

// Source writes the smallest tree that builds like a kernel.
func Source(dir string) error {
	return writeAll(dir, 0o644, map[string]string{
		"Makefile":           makefile,
		"Kconfig":            "config DROPPED\n\tbool \"dropped\"\n\tdepends on NOTHING\n",
		"drops":              "CONFIG_DROPPED=\n",
		"image.bin":          string(Kernel(Release)),
		"kernel/bpf/token.c": "int token;\n",
		// A call that cases/decisions.txt has.
		"kernel/bpf/inode.c": "static int bpf_fill_super(void)\n{\n\treturn capable(CAP_SYS_ADMIN);\n}\n",
	})
}

// Tools writes programs that print a version into a directory, for a PATH on which a kernel's
// build finds its tools.
func Tools(dir string) error {
	stubs := map[string]string{}
	for _, name := range []string{"gcc", "ld", "flex", "bison", "bc", "perl", "pahole", "lz4", "cpio"} {
		stubs[name] = "#!/bin/sh\necho " + name + " 1.0\n"
	}
	return writeAll(dir, 0o755, stubs)
}

func writeAll(dir string, mode os.FileMode, files map[string]string) error {
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			return err
		}
	}
	return nil
}
