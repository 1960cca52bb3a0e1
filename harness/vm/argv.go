package vm

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tokentest/harness/arch"
	"tokentest/harness/shell"
	"tokentest/harness/wire"
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
	virtioPort port = iota // /dev/vport*, found by its name wire.ControlPort
	serialPort             // the second serial port, which an architecture may lack
)

// chardevs are the host ends of the guest's ports, as QEMU's -chardev values.
type chardevs struct{ console, virtio, serial string }

// The descriptors that QEMU inherits, in the order of channels.guests.
var live = chardevs{
	console: "file,id=console,path=/proc/self/fd/3",
	virtio:  "socket,id=virtio,fd=4",
	serial:  "socket,id=serial,fd=5",
}

// board is the machine itself.
func board(m Machine) feature {
	q := &arch.Or(m.Arch).QEMU
	machine, cpu := q.Machine, cmp.Or(m.cpu, q.CPU)
	switch {
	case m.Accel == KVM:
		machine, cpu = cmp.Or(q.KVM, machine), "host"
	case m.BigPages:
		cpu = cmp.Or(q.BigPages, cpu)
	}
	return feature{qemu: []string{
		"-machine", machine,
		"-accel", string(m.Accel), "-cpu", cpu,
		"-smp", fmt.Sprint(m.CPUs), "-m", fmt.Sprint(m.MemMiB),
	}}
}

// quick leaves out what costs a boot the most and decides nothing. The crypto
// self-tests are a fifth of a boot under TCG.
//
// No case sees what three initcalls do: the jitter entropy generator measures the time of its own loops (jent_mod_init
// of crypto/jitterentropy-kcapi.c), trace_eval_init replaces names of constants in the texts of the trace events'
// formats, and ftrace_check_for_weak_functions asks for the symbol of each function that can be traced. The last two
// are each a tenth of the instructions of a boot of 6.12.
//
// An attachment, a detachment and the end of a mount wait for a grace period of RCU, which lasts several ticks on an
// idle processor; an expedited one (synchronize_rcu of kernel/rcu/tree.c) asks for it at once. A debug kernel keeps
// its own timing through --append rcupdate.rcu_expedited=0.
func quick(m Machine) feature {
	f := feature{karg: []string{"cryptomgr.notests"}}
	if !m.Program {
		f.karg = append(f.karg, "rcupdate.rcu_expedited=1")
	}
	if m.Accel == TCG && !m.Program {
		f.karg = append(f.karg, arch.Or(m.Arch).QEMU.Quick...)
		f.karg = append(f.karg, "initcall_blacklist=jent_mod_init,trace_eval_init,ftrace_check_for_weak_functions")
	}
	return f
}

// calm keeps the Go runtime of the guest's agent from interrupting its system
// calls by a signal: the verifier returns EAGAIN if one is pending (do_check in
// kernel/bpf/verifier.c). The kernel passes an unknown NAME=VALUE argument to init as
// environment (unknown_bootoption in init/main.c).
var calm = feature{karg: []string{wire.GoDebug}}

// forCases tells the agent which machines run cases: it then does in advance what most of them need.
func forCases(m Machine) feature {
	if m.Program {
		return feature{}
	}
	return feature{karg: []string{wire.ForCases}}
}

// timed tells a kernel under TCG the frequencies that it would measure, and leaves out
// its checks of them: on a busy host both come out wrong. tsc_early_khz is for
// determine_cpu_tsc_frequencies (since 5.10; an older kernel measures); loops_per_jiffy
// follows from it.
func timed(m Machine) feature {
	q := &arch.Or(m.Arch).QEMU
	f := feature{karg: slices.Clone(q.Args)}
	if m.Accel != TCG {
		return f
	}
	f.karg = append(f.karg, q.Timed...)
	if m.TSC > 0 && q.TSC {
		f.karg = append(f.karg, fmt.Sprintf("tsc_early_khz=%d", m.TSC))
	}
	return f
}

// bare leaves out everything that the host's configuration or QEMU's defaults add,
// above all the network.
var bare = feature{qemu: []string{"-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"}}

// dieOnPanic turns an oops into a panic and a panic into QEMU's exit.
var dieOnPanic = feature{
	qemu: []string{"-no-reboot"},
	karg: []string{"panic=-1", "oops=panic"},
}

// healthy makes the kernel report more of what it finds wrong, and makes running out of
// memory a panic instead of the death of a random process.
var healthy = feature{karg: []string{
	"sysctl.vm.panic_on_oom=1", "kasan_multi_shot",
	"softlockup_all_cpu_backtrace=1", "hardlockup_all_cpu_backtrace=1",
}}

// log is the console, which carries only the kernel log. Level 5 shows warnings and
// worse, which every splat is. The time stamps tell the kernel's lines from a
// program's, and printk.devkmsg=on exempts the agent's marks from the rate limit.
func log(m Machine, c chardevs) feature {
	q := &arch.Or(m.Arch).QEMU
	return feature{
		qemu: append([]string{"-chardev", c.console}, q.Console...),
		karg: []string{"console=" + q.TTY, "loglevel=5", "printk.time=1", "printk.devkmsg=on"},
	}
}

// records is the control channel, with both ports that it can use.
func records(m Machine, c chardevs) feature {
	q := &arch.Or(m.Arch).QEMU
	f := feature{qemu: []string{
		"-chardev", c.virtio, "-device", q.Port,
		"-device", "virtserialport,chardev=virtio,name=" + wire.ControlPort,
		"-chardev", c.serial,
	}}
	if q.Serial != nil {
		f.qemu = append(f.qemu, q.Serial...)
		f.karg = []string{wire.SerialPort + "=" + q.SerialTTY}
	}
	return f
}

// nextFD is the first descriptor after those of the channels.
const nextFD = 6

// argv is QEMU's argument list, without the program's name. It is pure.
func argv(m Machine) []string {
	args := argvWith(m, live)
	if m.Monitor {
		socket := fmt.Sprintf("socket,id=monitor,fd=%d", nextFD)
		args = append(args, "-chardev", socket, "-mon", "chardev=monitor,mode=control")
	}
	if m.Debug != "" {
		args = append(args, "-gdb", "unix:"+m.Debug+",server=on,wait=off", "-S")
	}
	args = append(args, m.traced()...)
	if m.Restore != nil {
		from := fmt.Sprintf("fd:%d", nextFD)
		if m.Restore.ByName && len(m.Patches) == 0 { // with patches it is a pipe
			from = fmt.Sprintf("%s/proc/self/fd/%d", byFile, nextFD)
		}
		args = append(args, "-incoming", from)
	}
	return args
}

// features is the machine and the kernel arguments that belong to it.
func features(m Machine, c chardevs) []feature {
	return []feature{board(m), bare, dieOnPanic, healthy, quick(m), timed(m), calm, forCases(m), log(m, c),
		records(m, c)}
}

// KernelArguments returns the arguments with which the kernel of an emulated machine is
// booted, without those of Machine.Append.
func KernelArguments() []string {
	var out []string
	for _, f := range features(Machine{Accel: TCG}, live) {
		out = append(out, f.karg...)
	}
	return out
}

func argvWith(m Machine, c chardevs) []string {
	var args, kargs []string
	for _, f := range features(m, c) {
		args = append(args, f.qemu...)
		kargs = append(kargs, f.karg...)
	}
	args = append(args, "-kernel", m.Kernel)
	if m.Initrd != "" {
		args = append(args, "-initrd", m.Initrd)
	}
	return append(args, "-append", strings.Join(append(kargs, m.Append...), " "))
}

// cmdline is a shell line that repeats the boot by hand: the recorded control.in goes
// in, the answers go to replay.out, and the console to the terminal.
//
// A virtio port keeps its input until the guest opens it. A serial port does not, so
// there the recording waits until the agent listens. The input must not end: QEMU would
// hang up, and the guest could not answer. tail keeps it open until QEMU is gone.
func cmdline(m Machine, used port, listens time.Duration) string {
	in := shell.Quote(filepath.Join(m.Dir, controlIn))
	c := chardevs{console: "file,id=console,path=/dev/stderr", virtio: "stdio,id=virtio", serial: "null,id=serial"}
	feed := "tail -c +1 -f " + in
	if used == serialPort {
		c.virtio, c.serial = "null,id=virtio", "stdio,id=serial"
		feed = fmt.Sprintf("(sleep %d; %s)", int(2*listens/time.Second)+1, feed)
	}
	qemu := shell.Join(append([]string{m.QEMU}, argvWith(m, c)...)...)
	return fmt.Sprintf("%s | %s > replay.out\n", feed, qemu)
}

func writeCmdline(m Machine, used port, listens time.Duration) error {
	line := cmdline(m, used, listens)
	if err := os.WriteFile(filepath.Join(m.Dir, "cmdline"), []byte(line), 0o644); err != nil {
		return fmt.Errorf("write command line: %w", err)
	}
	return nil
}
