package result

import (
	"testing"

	"tokentest/harness/vm"
)

func TestBisectCode(t *testing.T) {
	kernel := func(f vm.Fate, s ...Status) *KernelRun {
		k := &KernelRun{Boots: []Boot{{Fate: f}}}
		for _, one := range s {
			k.Cases = append(k.Cases, CaseResult{Status: one})
		}
		return k
	}
	for _, tt := range []struct {
		name string
		run  *Run
		want int
	}{
		{"all pass", &Run{Kernels: []*KernelRun{kernel(vm.Clean, Pass, Skip)}}, 0},
		{"one fails", &Run{Kernels: []*KernelRun{kernel(vm.Clean, Pass, Fail, Broken)}}, 1},
		{"a splat alone", &Run{Kernels: []*KernelRun{kernel(vm.Tainted, Pass)}}, 0},
		{"a panic, and one fails", &Run{Kernels: []*KernelRun{kernel(vm.Panicked, Fail, Broken)}}, 1},
		{"a panic under a case", &Run{Kernels: []*KernelRun{kernel(vm.Panicked, Pass, Broken)}}, 125},
		{"a control failed", &Run{Kernels: []*KernelRun{kernel(vm.Clean, Pass, Broken)}}, 125},
		{"all are skipped", &Run{Kernels: []*KernelRun{kernel(vm.Clean, Skip, Skip)}}, 125},
		{"it does not boot", &Run{Kernels: []*KernelRun{kernel(vm.Unbooted, Broken)}}, 125},
		{"it does not compile", &Run{Kernels: []*KernelRun{{Error: "x", Unbuilt: true}}}, 125},
		{"QEMU does not start", &Run{Kernels: []*KernelRun{kernel(vm.Infra, Broken)}}, 128},
		{"the host has no such kernel", &Run{Kernels: []*KernelRun{{Error: "x"}}}, 128},
		{"interrupted", &Run{Interrupted: true, Kernels: []*KernelRun{kernel(vm.Clean, Pass)}}, 128},
		{"no kernel", &Run{}, 128},
	} {
		if got := tt.run.BisectCode(); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}
