package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// feature is one property of the machine: the QEMU arguments and the kernel
// arguments that make it belong together.
type feature struct {
	qemu []string
	karg []string
}

// port names one of the two ways that the control channel can take.
type port int

const (
	virtioPort port = iota // /dev/vport*, found by its name ControlPort
	serialPort             // /dev/ttyS1
)

// chardevs are the host ends of the guest's ports, as QEMU's -chardev values.
type chardevs struct{ console, virtio, serial string }

// The descriptors that QEMU inherits, in the order of wires.guests.
var live = chardevs{
	console: "socket,id=console,fd=3",
	virtio:  "socket,id=virtio,fd=4",
	serial:  "socket,id=serial,fd=5",
}

// board is the machine itself. q35 boots every kernel from 5.10 to 7.3 that
// was tried, with and without PVH.
func board(m Machine) feature {
	cpu := "qemu64"
	if m.Accel == KVM {
		cpu = "host"
	}
	return feature{qemu: []string{
		"-machine", "q35,accel=" + string(m.Accel), "-cpu", cpu,
		"-smp", fmt.Sprint(m.CPUs), "-m", fmt.Sprint(m.MemMiB),
	}}
}

// bare keeps out everything that the host's configuration or QEMU's defaults
// would add, the network first.
var bare = feature{qemu: []string{"-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"}}

// dieOnPanic turns an oops into a panic and a panic into QEMU's exit.
var dieOnPanic = feature{
	qemu: []string{"-no-reboot"},
	karg: []string{"panic=-1", "oops=panic"},
}

// healthy makes the kernel say more about what it finds wrong, and makes
// running out of memory a panic instead of the death of a random process.
var healthy = feature{karg: []string{
	"sysctl.vm.panic_on_oom=1", "kasan_multi_shot",
	"softlockup_all_cpu_backtrace=1", "hardlockup_all_cpu_backtrace=1",
}}

// log is the console: the kernel's log and nothing else. Level 5 shows
// warnings and worse, which holds every splat.
func log(c chardevs) feature {
	return feature{
		qemu: []string{"-chardev", c.console, "-serial", "chardev:console"},
		karg: []string{"console=ttyS0", "loglevel=5"},
	}
}

// records is the control channel, both ways that it can take.
func records(c chardevs) feature {
	return feature{qemu: []string{
		"-chardev", c.virtio, "-device", "virtio-serial-pci",
		"-device", "virtserialport,chardev=virtio,name=" + ControlPort,
		"-chardev", c.serial, "-serial", "chardev:serial",
	}}
}

// argv is QEMU's argument list, without the program's name. It is pure.
func argv(m Machine) []string { return argvWith(m, live) }

func argvWith(m Machine, c chardevs) []string {
	var args, kargs []string
	for _, f := range []feature{board(m), bare, dieOnPanic, healthy, log(c), records(c)} {
		args = append(args, f.qemu...)
		kargs = append(kargs, f.karg...)
	}
	args = append(args, "-kernel", m.Kernel)
	if m.Initrd != "" {
		args = append(args, "-initrd", m.Initrd)
	}
	return append(args, "-append", strings.Join(append(kargs, m.Append...), " "))
}

// cmdline is a shell line that repeats the boot by hand without this program:
// the console on the terminal, the control channel fed from the recorded
// control.in and answered into replay.out.
//
// A virtio port keeps its input until the guest opens it. A serial port does
// not, so there the recording waits until the agent listens.
func cmdline(m Machine, used port, listens time.Duration) string {
	in := filepath.Join(m.Dir, controlIn)
	c := chardevs{console: "stdio,id=console", virtio: "null,id=virtio", serial: "null,id=serial"}
	if used == virtioPort {
		c.virtio = "file,id=virtio,path=replay.out,input-path=" + qemuEscape(in)
		return shellJoin(append([]string{m.QEMU}, argvWith(m, c)...)) + "\n"
	}
	c.console, c.serial = "file,id=console,path=replay.log", "stdio,id=serial"
	wait := int(2*listens/time.Second) + 1
	return fmt.Sprintf("(sleep %d; cat %s; sleep infinity) | %s > replay.out\n", wait, shellQuote(in),
		shellJoin(append([]string{m.QEMU}, argvWith(m, c)...)))
}

func writeCmdline(m Machine, used port, listens time.Duration) error {
	line := cmdline(m, used, listens)
	if err := os.WriteFile(filepath.Join(m.Dir, "cmdline"), []byte(line), 0o644); err != nil {
		return fmt.Errorf("write command line: %w", err)
	}
	return nil
}

// qemuEscape protects a value inside one of QEMU's comma lists.
func qemuEscape(s string) string { return strings.ReplaceAll(s, ",", ",,") }

func shellJoin(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = shellQuote(a)
	}
	return strings.Join(quoted, " ")
}

// shellQuote quotes s for a POSIX shell when it holds anything unusual.
func shellQuote(s string) string {
	usual := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+=,.:/@%", r)
	}
	if s != "" && strings.TrimFunc(s, usual) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
