package kernel

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"tokentest/harness/cachedir"
	"tokentest/kconfig"
)

// ErrNoPVH means that a kernel was built without CONFIG_PVH: QEMU cannot enter its ELF file.
var ErrNoPVH = errors.New("no PVH entry point (CONFIG_PVH is off)")

// unpacked is what is known of the ELF file that a bzImage contains. It stands in a
// file beside it, which is written last.
type unpacked struct {
	PVH    bool   `json:"pvh"`
	Size   int64  `json:"size"`   // of the ELF file, in bytes
	Digest string `json:"digest"` // SHA-256 of it, in hex
}

// Direct returns the path of the kernel's ELF file, which QEMU enters through its PVH note
// (Documentation/arch/x86/pvh.rst is the ABI: start_info in %ebx). A vmlinux is that file
// itself. Out of a bzImage it is unpacked once, and kept in the cache by the image's digest.
// The kernel does not move itself when it is entered there: choose_random_location of
// arch/x86/boot/compressed/kaslr.c is part of what a bzImage does first.
//
// The error is ErrNoPVH for a kernel that has no such note; any other says why the image
// could not be unpacked.
func (k *Kernel) Direct(o Options) (string, error) {
	if k.Format == Vmlinux {
		return k.Image, nil
	}
	dir, err := o.cacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "direct", k.Digest)
	if known := keptELF(path); known != nil {
		if !known.PVH {
			return "", ErrNoPVH
		}
		return path, nil
	}
	known, err := k.unpack(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("unpack the ELF file in %s: %w", k.Image, err)
	case !known.PVH:
		return "", ErrNoPVH
	}
	return path, nil
}

// keptELF returns nil unless the cache has the whole of what unpack wrote.
func keptELF(path string) *unpacked {
	text, err := os.ReadFile(path + ".json")
	known := &unpacked{}
	if err != nil || json.Unmarshal(text, known) != nil {
		return nil
	}
	if known.PVH {
		if got, err := cachedir.Digest(path); err != nil || got != known.Digest {
			return nil
		}
	}
	return known
}

// unpack writes the ELF file to path, unless it cannot be entered, and then what it is.
func (k *Kernel) unpack(path string) (*unpacked, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	image, err := os.Open(k.Image)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	from, err := kconfig.Unpack(image)
	if err != nil {
		return nil, err
	}
	temp, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(0o644))
	if err != nil {
		return nil, err
	}
	defer temp.Cleanup()
	known := &unpacked{}
	if known.Size, err = io.Copy(temp, from); err != nil {
		return nil, err
	}
	e, err := elf.NewFile(temp)
	if err != nil {
		return nil, fmt.Errorf("a damaged ELF file: %w", err)
	}
	known.PVH = hasPVH(e)
	if known.Digest, err = cachedir.Digest(temp.Name()); err != nil {
		return nil, err
	}
	if known.PVH {
		if err := temp.CloseAtomicallyReplace(); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	return known, renameio.WriteFile(path+".json", text, 0o644)
}
