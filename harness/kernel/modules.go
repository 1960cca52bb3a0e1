package kernel

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"tokentest/harness/arch"
	"tokentest/kconfig"
)

// missing returns the modules that the control channel needs and the image does not have built in:
// none if an option is off, because no module would help.
func missing(config kconfig.Config, of *arch.Arch) []string {
	var names []string
	for _, c := range of.Channel {
		switch {
		case config != nil && !config.Has(c.Option):
			return nil
		case !config.BuiltIn(c.Option):
			names = append(names, c.Name)
		}
	}
	return names
}

// moduleSet holds modules by name, decompressed.
type moduleSet map[string][]byte

// order returns want and all that it depends on, each after its own
// dependencies, and the names that are not in the set.
func (s moduleSet) order(want []string) (names, absent []string, err error) {
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		if s[name] == nil {
			absent = append(absent, name)
			return nil
		}
		facts, err := readFacts(bytes.NewReader(s[name]), name)
		if err != nil {
			return fmt.Errorf("read module %s: %w", name, err)
		}
		for _, d := range facts.Depends {
			if err := visit(d); err != nil {
				return err
			}
		}
		names = append(names, name)
		return nil
	}
	for _, name := range want {
		if err := visit(name); err != nil {
			return nil, nil, err
		}
	}
	return names, absent, nil
}

// moduleName is the kernel's name of a module, which can differ from its file's name.
func moduleName(file string) string { return strings.ReplaceAll(file, "-", "_") }

// unpackModules collects want and its dependencies from packages, and returns
// the names in load order.
func unpackModules(ctx context.Context, debs, want []string) (moduleSet, []string, error) {
	set := moduleSet{}
	for {
		held := len(set)
		names, absent, err := set.order(want)
		if err != nil || len(absent) == 0 {
			return set, names, err
		}
		for _, deb := range debs {
			if err := set.take(ctx, deb, want, absent); err != nil {
				return nil, nil, err
			}
		}
		if len(set) == held { // the other packages do not have the rest
			return set, names, lacking(want, absent)
		}
	}
}

var errNoModule = errors.New("no such module in the packages")

// lacking returns an error for a missing module of want. A missing dependency is built in.
func lacking(want, absent []string) error {
	for _, name := range want {
		if slices.Contains(absent, name) {
			return fmt.Errorf("find %s: %w", name, errNoModule)
		}
	}
	return nil
}

// take adds a package's modules that are wanted, and those that are likely to be wanted next.
func (s moduleSet) take(ctx context.Context, deb string, want, absent []string) error {
	return untar(ctx, deb, func(path string, r io.Reader) error {
		m := modulePath.FindStringSubmatch(path)
		if m == nil {
			return nil
		}
		name := moduleName(m[1])
		if s[name] != nil || !strings.HasPrefix(name, "virtio") && !slices.Contains(absent, name) {
			return nil
		}
		module, err := decompressModule(r, m[2])
		if err != nil {
			return fmt.Errorf("decompress %s: %w", path, err)
		}
		s[name] = module
		if _, rest, err := s.order(want); err == nil && len(rest) == 0 {
			return errEnough
		}
		return nil
	})
}

// decompressModule reads the formats of CONFIG_MODULE_COMPRESS_*.
func decompressModule(r io.Reader, suffix string) ([]byte, error) {
	var err error
	switch suffix {
	case "":
	case ".xz":
		r, err = xz.NewReader(r)
	case ".zst":
		r, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	case ".gz":
		r, err = gzip.NewReader(r)
	default:
		err = fmt.Errorf("unknown suffix %s", suffix)
	}
	if err != nil {
		return nil, err
	}
	module, err := io.ReadAll(io.LimitReader(r, maxModuleBytes+1))
	if len(module) > maxModuleBytes {
		return nil, fmt.Errorf("more than %d bytes", maxModuleBytes)
	}
	return module, err
}

// write stores the named modules in dir.
func (s moduleSet) write(dir string, names []string) error {
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name+".ko"), s[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}
