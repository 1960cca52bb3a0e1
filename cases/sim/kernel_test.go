package sim

import (
	"testing"

	"tokentest/cases/step"
)

// Only a CPU without PAN, or a kernel that does not use it, takes an address of a process for its own, and only where
// the architecture refuses no such address itself.
func TestReadsProcesses(t *testing.T) {
	const without, with = "fp asimd evtstrm", "fp asimd atomics asimdrdm"
	for _, tt := range []struct {
		machine, isa string
		config       map[string]string
		want         bool
	}{
		{"aarch64", without, nil, true},
		{"aarch64", with, nil, false},
		{"aarch64", with, map[string]string{"ARM64_PAN": "y"}, false},
		{"aarch64", with, map[string]string{"NET": "y"}, true},
		{"aarch64", without, map[string]string{"ARM64_PAN": "y"}, true},
		{"aarch64", without, map[string]string{"ARM64_SW_TTBR0_PAN": "y"}, false},
		{"x86_64", "", nil, false},
		{"s390x", "", nil, false},
		{"riscv64", "rv64imafdc", nil, false},
		{"ppc64le", "", nil, false},
		{"", "", nil, false},
	} {
		f := &step.Facts{Release: "6.12.1", Machine: tt.machine, ISA: tt.isa, Config: tt.config}
		if got := KernelOf(f).ReadsProcesses; got != tt.want {
			t.Errorf("%+v: got %t", tt, got)
		}
	}
}

// A number that is cut short keeps its first bytes, which are the highest ones of a big-endian machine.
func TestByteOrder(t *testing.T) {
	for machine, want := range map[string]uint64{"s390x": 0xff00000000000000, "x86_64": 0xff, "ppc64le": 0xff, "": 0xff} {
		info := byteOrder(&step.Facts{Machine: machine}).AppendUint64(nil, ^uint64(0))
		clear(info[1:])
		if got := byteOrder(&step.Facts{Machine: machine}).Uint64(info); got != want {
			t.Errorf("%s: got %#x, want %#x", machine, got, want)
		}
	}
}
