package vm

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"tokentest/harness/arch"
	"tokentest/harness/child"
)

// QEMUVersion is the first line that QEMU prints about its version; "" if it does not run.
func QEMUVersion(ctx context.Context, program string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := child.Command(ctx, program, "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// CheckSaves returns an error if a machine that QEMU saved would not go on as it was.
func (m *Machine) CheckSaves(ctx context.Context) error {
	a := arch.Or(m.Arch)
	if m.Accel != TCG || a.QEMU.Saves == "" { // KVM saves its own timers
		return nil
	}
	return checkSaves(a, QEMUVersion(ctx, cmp.Or(m.QEMU, a.QEMU.Program)))
}

// checkSaves takes what QEMUVersion returns.
func checkSaves(a *arch.Arch, version string) error {
	has, err := atLeast(version, a.QEMU.Saves)
	if err != nil {
		return fmt.Errorf("find out whether QEMU saves a machine of %s whole: %w", a.Name, err)
	}
	if !has {
		return fmt.Errorf("QEMU before %s does not save the timers of %s", a.QEMU.Saves, a.Name)
	}
	return nil
}

// models are the CPU models of builds of QEMU, by qemuIdentity: it prints its version slowly.
var models sync.Map

// model is the CPU model of an emulated machine that costs the least; "" is that of its architecture.
func (m *Machine) model() string {
	q := &m.Arch.QEMU
	if m.Accel != TCG || m.BigPages || q.Faster == "" {
		return ""
	}
	build, err := qemuIdentity(m.QEMU)
	if err != nil {
		return "" // Start reports it
	}
	if known, ok := models.Load(build); ok {
		return known.(string)
	}
	out := ""
	if has, err := atLeast(QEMUVersion(context.Background(), m.QEMU), q.FasterSince); err == nil && has {
		out = q.Faster
	}
	models.Store(build, out)
	return out
}

// atLeast reports whether a version, as QEMUVersion returns it, is a release or a later one.
func atLeast(version, release string) (bool, error) {
	has, err := readRelease(strings.TrimPrefix(version, "QEMU emulator version "))
	if err != nil {
		return false, err
	}
	need, err := readRelease(release)
	return has >= need, err
}

// readRelease reads the first two numbers of a version of QEMU into one that grows with them.
func readRelease(text string) (int, error) {
	var major, minor int
	if _, err := fmt.Sscanf(text, "%d.%d", &major, &minor); err != nil {
		return 0, fmt.Errorf("read QEMU's version %q: %w", text, err)
	}
	return major<<16 | minor, nil
}
