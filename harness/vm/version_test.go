package vm

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"tokentest/harness/arch"
)

func TestQEMUVersion(t *testing.T) {
	fake := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\necho \"QEMU $1\"; echo Copyright\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := QEMUVersion(t.Context(), fake); got != "QEMU --version" {
		t.Errorf("got %q", got)
	}
	for _, program := range []string{"/nowhere/qemu", "false"} {
		if got := QEMUVersion(t.Context(), program); got != "" {
			t.Errorf("%s: got %q, want nothing", program, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := QEMUVersion(ctx, fake); got != "" {
		t.Errorf("cancelled: got %q", got)
	}
}

func TestSaves(t *testing.T) {
	for _, c := range []struct {
		arch, version string
		saves         bool
	}{
		{"riscv64", "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)", false},
		{"riscv64", "QEMU emulator version 10.1.5", false},
		{"riscv64", "QEMU emulator version 10.2.0", true},
		{"riscv64", "QEMU emulator version 11.0.50 (v11.0.0-1-g0123456)", true},
		{"riscv64", "", false},
	} {
		if err := checkSaves(arch.Find(c.arch), c.version); (err == nil) != c.saves {
			t.Errorf("%s with %q: %v", c.arch, c.version, err)
		}
	}
	for _, m := range []Machine{{QEMU: "false", Accel: TCG}, {QEMU: "false", Accel: KVM, Arch: arch.Find("riscv64")}} {
		if err := m.CheckSaves(t.Context()); err != nil {
			t.Errorf("%s: %v", m.Accel, err)
		}
	}
	m := Machine{QEMU: "false", Accel: TCG, Arch: arch.Find("riscv64")}
	if err := m.CheckSaves(t.Context()); err == nil {
		t.Error("a QEMU that does not run saves a machine of riscv64")
	}
}

// An emulated arm64 has the faster CPU where QEMU knows it, and where its pages are small.
func TestModel(t *testing.T) {
	for version, want := range map[string]string{
		"7.0.0": "", "7.1.0": "neoverse-n1", "11.1.3 (Debian)": "neoverse-n1", "x": "",
	} {
		fake := filepath.Join(t.TempDir(), "qemu")
		if err := os.WriteFile(fake, []byte("#!/bin/sh\necho QEMU emulator version '"+version+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		m := Machine{QEMU: fake, Accel: TCG, Arch: arch.Find("arm64")}
		for range 2 { // the second answer is a known one
			if got := m.model(); got != want {
				t.Errorf("QEMU %s has the model %q, want %q", version, got, want)
			}
		}
		big, kvm := m, m
		big.BigPages, kvm.Accel = true, KVM
		for _, m := range []Machine{big, kvm, {QEMU: fake, Accel: TCG, Arch: arch.Default}} {
			if got := m.model(); got != "" {
				t.Errorf("QEMU %s: %+v has the model %q", version, m, got)
			}
		}
	}
}
