package vm

import (
	"cmp"
	"context"
	"fmt"
	"strings"
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
	has, err := readRelease(strings.TrimPrefix(version, "QEMU emulator version "))
	if err != nil {
		return fmt.Errorf("find out whether QEMU saves a machine of %s whole: %w", a.Name, err)
	}
	if need, err := readRelease(a.QEMU.Saves); err != nil || has < need {
		return fmt.Errorf("QEMU before %s does not save the timers of %s", a.QEMU.Saves, a.Name)
	}
	return nil
}

// readRelease reads the first two numbers of a version of QEMU into one that grows with them.
func readRelease(text string) (int, error) {
	var major, minor int
	if _, err := fmt.Sscanf(text, "%d.%d", &major, &minor); err != nil {
		return 0, fmt.Errorf("read QEMU's version %q: %w", text, err)
	}
	return major<<16 | minor, nil
}
