package main

import (
	"github.com/spf13/pflag"

	"tokentest/harness/explain"
	"tokentest/harness/usage"
)

const btfUsage = "read the enumerators from `FILE`: BTF, a vmlinux or a bzImage"

// btfFlag is --btf and the kernel that the file belongs to.
type btfFlag struct {
	path   string
	kernel bool // --kernel is given
}

func (b *btfFlag) register(fl *pflag.FlagSet) { fl.StringVar(&b.path, "btf", "", btfUsage) }

// name names the plan's kernel after the file if --kernel does not name it.
func (b *btfFlag) name(kernels []string) ([]string, error) {
	switch {
	case b.path == "":
		return kernels, nil
	case !b.kernel:
		return []string{b.path}, nil
	case len(kernels) > 1:
		return nil, usage.Errorf("--btf %s: it is of one kernel, --kernel names %d", b.path, len(kernels))
	}
	return kernels, nil
}

// source names a kernel that does not run.
func (b *btfFlag) source(a *app, ref string) explain.Source {
	return explain.Source{Ref: ref, BTF: b.path, Named: b.kernel, CacheDir: a.cacheDir, Log: a.note}
}
