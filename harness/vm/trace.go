package vm

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Range is a range of the kernel's addresses, without its end.
type Range struct{ From, To uint64 }

// TraceLog is the file in a machine's directory with what QEMU's -d in_asm logs: each block
// of instructions in the ranges of Trace, before it is executed for the first time.
const TraceLog = "translated.log"

// traced is QEMU's arguments for Trace. Only with nochain does it log each execution of a block:
// otherwise a block jumps to the next one directly.
func (m *Machine) traced() []string {
	if len(m.Trace) == 0 {
		return nil
	}
	var ranges []string
	for _, r := range m.Trace {
		ranges = append(ranges, fmt.Sprintf("%#x+%#x", r.From, r.To-r.From))
	}
	items := "in_asm"
	if m.Blocks != nil {
		items += ",exec,nochain"
	}
	return []string{"-d", items, "-D", filepath.Join(m.Dir, TraceLog), "-dfilter", strings.Join(ranges, ",")}
}

// blockLog copies QEMU's log from a named pipe. It would be gigabytes in a file.
type blockLog struct {
	hold   *os.File // keeps the pipe open for writing until QEMU is gone
	copied chan struct{}
}

// newBlockLog makes the pipe that QEMU opens as its log; nil if the machine has none.
func newBlockLog(m Machine) (*blockLog, error) {
	if m.Blocks == nil {
		return nil, nil
	}
	path := filepath.Join(m.Dir, TraceLog)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("make a pipe for QEMU's log: %w", err)
	}
	hold, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the pipe for QEMU's log: %w", err)
	}
	from, err := os.Open(path)
	if err != nil {
		hold.Close()
		return nil, fmt.Errorf("open the pipe for QEMU's log: %w", err)
	}
	l := &blockLog{hold: hold, copied: make(chan struct{})}
	go func() {
		defer close(l.copied)
		defer from.Close()
		io.Copy(m.Blocks, from)
		io.Copy(io.Discard, from) // QEMU would wait for a full pipe
	}()
	return l, nil
}

// close ends the copy. QEMU must be gone, or not have started.
func (l *blockLog) close() {
	if l != nil {
		l.hold.Close()
		<-l.copied
	}
}
