package guest

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/harness/wire"
)

// kernelLog takes the agent's marks. Each is a line in the kernel's log that
// says what is about to run, so that the host can attribute the lines that
// follow to it. Package splat reads the line.
type kernelLog struct {
	f     *os.File
	marks []wire.MarkAt // for what comes to light later
}

// openKernelLog opens the log; without one there are no marks, and the host
// goes by when things came.
func openKernelLog() kernelLog {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return kernelLog{}
	}
	return kernelLog{f: f}
}

// begin marks that something is about to run. The level is that of warnings,
// which the console shows.
func (l *kernelLog) begin(m wire.Mark) {
	l.marks = append(l.marks, wire.MarkAt{Ticks: ticks(), Mark: m})
	if l.f != nil {
		fmt.Fprintf(l.f, "<4>%s%s%s\n", wire.LogPrefix, wire.MarkPrefix, m)
	}
}

// ticks is the kernel's count of jiffies in hundredths of a second, 0 where it
// cannot be had.
func ticks() uint64 {
	n, err := unix.Times(&unix.Tms{})
	if err != nil {
		return 0
	}
	return uint64(n)
}

const taintFile = "/proc/sys/kernel/tainted"

// readTaint reads the kernel's taint flags.
func readTaint(file string) (uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read the kernel's taint: %w", err)
	}
	mask, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the kernel's taint: %w", err)
	}
	return mask, nil
}

// done is the agent's last record.
func (g *agent) done() error {
	taint, err := readTaint(taintFile)
	if err != nil {
		return err
	}
	leaks := g.findLeaks()
	payload, err := wire.EncodeJSON(wire.Done{Taint: taint, Leaks: leaks})
	if err != nil {
		return err
	}
	return g.tell(wire.KindDone, payload)
}
