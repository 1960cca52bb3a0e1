package labtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf/btf"

	"tokentest/cases"
)

// BTF is the name of a file that Tree writes: BTF that has every enumerator
// which is known, Novel, which is not, and no BPF_PROG_TYPE_NETFILTER.
const (
	BTF   = "kernel.btf"
	Novel = "BPF_MAP_TYPE_NOVEL"
)

func writeBTF(dir string) error {
	var types []btf.Type
	for _, e := range cases.Enums() {
		enum := &btf.Enum{Name: e.Tag, Size: 4}
		for _, m := range e.Members {
			name := e.Prefix + strings.ToUpper(m.Name)
			if name != "BPF_PROG_TYPE_NETFILTER" {
				enum.Values = append(enum.Values, btf.EnumValue{Name: name, Value: uint64(m.Value)})
			}
		}
		if strings.HasPrefix(Novel, e.Prefix) && e.Prefix != "BPF_" {
			enum.Values = append(enum.Values, btf.EnumValue{Name: Novel, Value: 36})
		}
		types = append(types, enum)
	}
	b, err := btf.NewBuilder(types, nil)
	if err != nil {
		return fmt.Errorf("build BTF: %w", err)
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		return fmt.Errorf("build BTF: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, BTF), raw, 0o644)
}
