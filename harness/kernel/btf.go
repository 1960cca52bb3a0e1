package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf/btf"
	"github.com/google/renameio/v2"

	"tokentest/kconfig"
)

// Types are enumerations from a kernel's BTF, read from a file, not from a running kernel.
type Types struct {
	// Release is the release in the file, "" for none.
	Release string `json:"release"`
	// Enums holds the requested enumerations, by tag.
	Enums map[string][]Enumerator `json:"enums"`
}

// Enumerator is a member of an enumeration.
type Enumerator struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// ErrNoBTF means that a kernel was built without CONFIG_DEBUG_INFO_BTF.
var ErrNoBTF = errors.New("no .BTF section (CONFIG_DEBUG_INFO_BTF is off)")

// ReadTypes reads enumerations from a file: BTF as /sys/kernel/btf/vmlinux
// shows it, an ELF file with a .BTF section, or a bzImage with such a one
// inside. If the file is at fault, the error is a *UsageError.
func ReadTypes(path string, tags ...string) (*Types, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &UsageError{Ref: path, what: "BTF of", Reason: pathReason(err)}
	}
	defer f.Close()
	t, err := readTypes(f, tags)
	if err != nil {
		return nil, &UsageError{Ref: path, what: "BTF of", Reason: err.Error()}
	}
	return t, nil
}

// pathReason is the error without the path, which the caller's error already names.
func pathReason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// btfMagic begins BTF in little-endian byte order, and btfStart the BTF of a kernel.
const (
	btfMagic = "\x9f\xeb"
	btfStart = btfMagic + "\x01\x00\x18\x00\x00\x00"
)

func readTypes(f *os.File, tags []string) (*Types, error) {
	stat, err := f.Stat()
	switch {
	case err != nil:
		return nil, pathless(err)
	case stat.IsDir():
		return nil, errors.New("a directory; want BTF, a vmlinux or a bzImage")
	}
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil && err != io.EOF {
		return nil, pathless(err)
	}
	switch {
	case string(magic[:]) == elf.ELFMAG:
		return typesOfELF(f, tags)
	case string(magic[:len(btfMagic)]) == btfMagic:
		raw, err := io.ReadAll(f)
		if err != nil {
			return nil, pathless(err)
		}
		enums, err := enumsOf(raw, tags)
		return &Types{Enums: enums}, err
	}
	h, err := inspect(f, stat.Size())
	if err != nil {
		return nil, fmt.Errorf("want BTF, a vmlinux or a bzImage: %w", err)
	}
	read := typesOfPacked
	if h.format == Raw {
		read = typesOfRaw
	}
	t, err := read(f, tags)
	if err != nil {
		return nil, err
	}
	t.Release = h.release
	return t, nil
}

func pathless(err error) error { return errors.New(pathReason(err)) }

// typesOfRaw looks for the BTF in an image that has no table of its sections.
func typesOfRaw(image *os.File, tags []string) (*Types, error) {
	raw, err := io.ReadAll(io.NewSectionReader(image, 0, 1<<62))
	if err != nil {
		return nil, err
	}
	for {
		i := bytes.Index(raw, []byte(btfStart))
		if i < 0 {
			return nil, ErrNoBTF
		}
		raw = raw[i:]
		if enums, err := enumsOf(raw, tags); err == nil {
			return &Types{Enums: enums}, nil
		}
		raw = raw[1:]
	}
}

// typesOfPacked unpacks the kernel into a file, not into memory: its section table is at its
// end, and it would be most of the program's memory.
func typesOfPacked(image *os.File, tags []string) (*Types, error) {
	kernel, err := kconfig.Unpack(image)
	if err != nil {
		return nil, err
	}
	if kernel == nil {
		return nil, fmt.Errorf("%w that can be read without a boot; give the vmlinux", ErrNoBTF)
	}
	temp, err := os.CreateTemp("", "tokentest-vmlinux-")
	if err != nil {
		return nil, fmt.Errorf("make room for the unpacked kernel: %w", err)
	}
	defer temp.Close()
	if err := os.Remove(temp.Name()); err != nil {
		return nil, fmt.Errorf("make room for the unpacked kernel: %w", err)
	}
	if _, err := io.Copy(temp, kernel); err != nil {
		return nil, fmt.Errorf("unpack kernel: %w", err)
	}
	t, err := typesOfELF(temp, tags)
	if err != nil {
		return nil, fmt.Errorf("kernel inside the bzImage: %w", err)
	}
	return t, nil
}

func typesOfELF(f *os.File, tags []string) (*Types, error) {
	e, err := elf.NewFile(f)
	if err != nil {
		return nil, fmt.Errorf("a damaged or truncated ELF file (%v)", err)
	}
	section := e.Section(".BTF")
	if section == nil {
		return nil, ErrNoBTF
	}
	raw, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("its .BTF section is cut off (%v)", err)
	}
	t := &Types{}
	if t.Enums, err = enumsOf(raw, tags); err != nil {
		return nil, err
	}
	t.Release, err = linuxVersion(io.NewSectionReader(f, 0, 1<<62))
	return t, err
}

// enumsOf reads the enumerations with the given tags from BTF. It omits those that the kernel
// does not have.
func enumsOf(raw []byte, tags []string) (map[string][]Enumerator, error) {
	if err := wholeBTF(raw); err != nil {
		return nil, err
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("damaged BTF (%v)", err)
	}
	out := map[string][]Enumerator{}
	for _, tag := range tags {
		var enum *btf.Enum
		switch err := spec.TypeByName(tag, &enum); {
		case errors.Is(err, btf.ErrNotFound):
			continue
		case err != nil:
			return nil, fmt.Errorf("damaged BTF (enum %s: %v)", tag, err)
		}
		for _, v := range enum.Values {
			out[tag] = append(out[tag], Enumerator{v.Name, v.Value})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("BTF without enum %s: it is not a kernel's, or of one without bpf(2)", tags[0])
	}
	return out, nil
}

// wholeBTF returns an error for BTF that is shorter than its header says. The library's own
// error does not name the cause.
func wholeBTF(raw []byte) error {
	const header = 24 // struct btf_header
	if len(raw) < header {
		return fmt.Errorf("BTF is cut off: %d bytes, its header needs %d", len(raw), header)
	}
	word := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(raw[at:])) }
	types, strings := word(8)+word(12), word(16)+word(20)
	if whole := word(4) + max(types, strings); uint64(len(raw)) < whole {
		return fmt.Errorf("BTF is cut off: %d of %d bytes", len(raw), whole)
	}
	return nil
}

// Types reads the enumerations of the kernel's image. Unpacking an image takes seconds, so the
// result is cached by the image's digest.
func (k *Kernel) Types(o Options, tags ...string) (*Types, error) {
	dir, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	kept := filepath.Join(dir, "btf", k.Digest+".json")
	if t := keptTypes(kept, tags); t != nil {
		return t, nil
	}
	t, err := ReadTypes(k.unpackedIn(dir), tags...)
	if err != nil {
		return nil, err
	}
	if err := keepTypes(kept, t); err != nil {
		o.log("cache the enumerations of %s: %v", k.Ref, err)
	}
	return t, nil
}

// keptTypes returns nil unless the cache has every requested enumeration.
func keptTypes(path string, tags []string) *Types {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	t := &Types{}
	if json.Unmarshal(b, t) != nil || slices.ContainsFunc(tags, func(tag string) bool { return len(t.Enums[tag]) == 0 }) {
		return nil // damaged, or written by an older version
	}
	return t
}

// keepTypes stores the types for the next run.
func keepTypes(path string, t *Types) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(path, b, 0o644)
}
