package guest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/harness/wire"
)

// kernelLog takes the agent's marks: a line in the kernel's log that says what
// is about to run, so that whatever the log says next is known to have come
// under it. The host knows the words (harness/vm).
type kernelLog struct{ f *os.File }

// openKernelLog opens the log; without one there are no marks, and the host
// goes by when things came.
func openKernelLog() kernelLog {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return kernelLog{}
	}
	return kernelLog{f}
}

// begin marks that something is about to run. The level is that of warnings,
// which the console shows.
func (l kernelLog) begin(format string, args ...any) {
	if l.f != nil {
		fmt.Fprintf(l.f, "<4>tokentest: begin "+format+"\n", args...)
	}
}

// readTaint reads the kernel's taint flags.
func readTaint() (uint64, error) {
	text, err := os.ReadFile("/proc/sys/kernel/tainted")
	if err != nil {
		return 0, fmt.Errorf("read the kernel's taint: %w", err)
	}
	mask, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the kernel's taint: %w", err)
	}
	return mask, nil
}

const (
	kmemleak    = "/sys/kernel/debug/kmemleak"
	maxLeaks    = 64 << 10
	debugfs     = "debugfs"
	debugfsRoot = "/sys/kernel/debug"
)

// findLeaks has kmemleak scan the memory, where the kernel has it: by itself
// it would only do so ten minutes after the boot, and it reports an object
// only when a second scan still sees nothing that points to it.
func findLeaks() (string, error) {
	if err := unix.Mount(debugfs, debugfsRoot, debugfs, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return "", nil // no debugfs, so no kmemleak either
	}
	if _, err := os.Stat(kmemleak); err != nil {
		return "", nil // the kernel has no kmemleak
	}
	for range 2 {
		if err := os.WriteFile(kmemleak, []byte("scan"), 0); err != nil {
			return "", fmt.Errorf("scan for leaks: %w", err)
		}
	}
	text, err := os.ReadFile(kmemleak)
	return string(text[:min(len(text), maxLeaks)]), err
}

// done is the agent's last record.
func (g *agent) done() error {
	taint, err := readTaint()
	if err != nil {
		return err
	}
	leaks, err := findLeaks()
	if err != nil {
		return err
	}
	payload, err := wire.EncodeJSON(wire.Done{Taint: taint, Leaks: leaks})
	if err != nil {
		return err
	}
	return g.tell(wire.KindDone, payload)
}
