package main

import (
	"fmt"
	"os"

	"tokentest/harness/wire"
)

// kernelLog writes lines to the kernel log, so that the console shows them in order with
// the kernel's own. Without a kernel log it drops them.
type kernelLog struct{ f *os.File }

func openLog() kernelLog {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return kernelLog{}
	}
	return kernelLog{f}
}

func (l kernelLog) printf(format string, args ...any) { l.write(6, format, args...) }

// complain writes a line that the console shows.
func (l kernelLog) complain(format string, args ...any) { l.write(4, format, args...) }

func (l kernelLog) write(level int, format string, args ...any) {
	if l.f != nil {
		fmt.Fprintf(l.f, "<%d>"+wire.LogPrefix+format+"\n", append([]any{level}, args...)...)
	}
}
