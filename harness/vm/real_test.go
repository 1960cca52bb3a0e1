package vm

import (
	"bufio"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

var (
	kernelFlag = flag.String("kernel", "", "boot this kernel with the real QEMU (with -initrd)")
	initrdFlag = flag.String("initrd", "", "the initrd to boot it with, whose init talks as TestReal says")
	appendFlag = flag.String("append", "", "further kernel arguments")
)

// TestReal boots a real kernel. Its init says "hello" on the control channel,
// reads one line and does what that says: "off" (say "done", power off),
// "offnodone" (power off), "exit", "panic" (through sysrq) or "hang".
func TestReal(t *testing.T) {
	if *kernelFlag == "" {
		t.Skip("needs -kernel and -initrd: a kernel to boot")
	}
	for _, want := range []struct {
		send string
		fate Fate
	}{{"off", Clean}, {"offnodone", Lost}, {"exit", Lost}, {"panic", Panicked}, {"hang", Hung}} {
		t.Run(want.send, func(t *testing.T) {
			m := &Machine{Kernel: *kernelFlag, Initrd: *initrdFlag, Accel: TCG, Dir: t.TempDir(),
				Quiet: 15 * time.Second, Append: append([]string{"mode=x"}, strings.Fields(*appendFlag)...)}
			got := converse(t, m, want.send)
			t.Logf("%+v", got)
			if got.Fate != want.fate {
				log, _ := os.ReadFile(m.Dir + "/console.log")
				t.Errorf("got %s (%s), want %s; console:\n%s", got.Fate, got.Reason, want.fate, log)
			}
		})
	}
}

// converse boots m, says one line once the guest has said hello, and marks
// what comes back.
func converse(t *testing.T, m *Machine, say string) Exit {
	t.Helper()
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(m.Control()); in.Scan(); {
		switch line := in.Text(); {
		case strings.HasPrefix(line, "hello"):
			m.Hello()
			io.WriteString(m.Control(), say+"\n")
		case line == "done":
			m.Done()
		}
	}
	return m.Wait()
}

// TestRealProbe asks the real KVM, whatever it answers.
func TestRealProbe(t *testing.T) {
	if *kernelFlag == "" {
		t.Skip("needs -kernel: a kernel to boot")
	}
	o := ProbeOptions{Kernel: *kernelFlag, CacheDir: t.TempDir()}
	accel, why := Probe(t.Context(), o)
	t.Logf("%s: %s", accel, why)
	if a, w, ok := Lookup(o); ok && (a != accel || w != why) {
		t.Errorf("Lookup() = %s, %q; Probe() = %s, %q", a, w, accel, why)
	}
}
