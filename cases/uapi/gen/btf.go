package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cilium/ebpf/btf"

	"tokentest/kconfig"
)

// renderBTF writes where a kernel's own BTF has the members of the structures, a
// line each: what a compiler laid out, for a test to hold the header's layout against.
func renderBTF(image, release string) ([]byte, error) {
	spec, err := imageBTF(image)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", image, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written by gen from the BTF of %s: "+
		"the structure, the member, its offset and its size in bytes.\n", release)
	for _, s := range layouts {
		t, err := spec.AnyTypeByName(s.tag[strings.IndexByte(s.tag, ' ')+1:])
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", image, s.tag, err)
		}
		size, err := btf.Sizeof(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", image, s.tag, err)
		}
		fmt.Fprintf(&b, "%s\t-\t0\t%d\n", s.prefix, size)
		if err := writeMembers(&b, s.prefix, "", t, 0); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", image, s.tag, err)
		}
	}
	return b.Bytes(), nil
}

func imageBTF(image string) (*btf.Spec, error) {
	f, err := os.Open(image)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	kernel, err := kconfig.Unpack(f)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(kernel)
	if err != nil {
		return nil, fmt.Errorf("unpack kernel: %w", err)
	}
	e, err := elf.NewFile(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	section := e.Section(".BTF")
	if section == nil {
		return nil, fmt.Errorf("no .BTF section")
	}
	data, err := section.Data()
	if err != nil {
		return nil, err
	}
	return btf.LoadSpecFromReader(bytes.NewReader(data))
}

// writeMembers writes the named members; those of a structure inside as parseLayout names them.
func writeMembers(b *bytes.Buffer, structure, outer string, t btf.Type, at int) error {
	var members []btf.Member
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		members = t.Members
	case *btf.Union:
		members = t.Members
	}
	for _, m := range members {
		name, off := outer+m.Name, at+int(m.Offset.Bytes())
		switch inner := m.Type.(type) {
		case *btf.Struct, *btf.Union:
			if m.Name != "" {
				name += "."
			}
			if err := writeMembers(b, structure, name, inner, off); err != nil {
				return err
			}
			continue
		}
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			return err
		}
		if m.Name != "" && m.BitfieldSize == 0 {
			fmt.Fprintf(b, "%s\t%s\t%d\t%d\n", structure, name, off, size)
		}
	}
	return nil
}
