package vm

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokentest/harness/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file, or writes it under -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update rewrites it)\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

func TestArgv(t *testing.T) {
	for _, accel := range []Accel{KVM, TCG} {
		m := Machine{Kernel: "/cache/bzImage", Initrd: "/cache/initrd", Append: []string{"lsm=bpf", "x=1"},
			CPUs: 2, MemMiB: 768, Accel: accel, TSC: 2_600_000}
		golden(t, "testdata/argv."+string(accel), strings.Join(argv(m), "\n")+"\n")
	}
}

// Traced code is logged in the machine's directory, and only there: the line that repeats the
// boot, and the name of its snapshot, are those of a machine that is not traced.
func TestArgvOfTrace(t *testing.T) {
	m, err := (&Machine{Kernel: "k", Dir: "/d", Accel: TCG,
		Trace: []Range{{0xffffffff81000000, 0xffffffff81000200}, {0x10, 0x11}}}).resolve()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(argv(m), " ")
	if want := "-d in_asm -D /d/translated.log -dfilter 0xffffffff81000000+0x200,0x10+0x1"; !strings.Contains(got, want) {
		t.Errorf("got %s", got)
	}
	m.Blocks = io.Discard
	if got := strings.Join(argv(m), " "); !strings.Contains(got, "-d in_asm,exec,nochain -D /d/translated.log") {
		t.Errorf("got %s", got)
	}
	if line := cmdline(m, virtioPort, 0); strings.Contains(line, "in_asm") {
		t.Errorf("the line logs: %s", line)
	}
}

func TestCmdline(t *testing.T) {
	m := Machine{QEMU: "qemu-system-x86_64", Kernel: "/cache/it's/bzImage", Initrd: "/cache/initrd",
		CPUs: 1, MemMiB: 512, Accel: TCG, Dir: "/runs/a,b"}
	golden(t, "testdata/cmdline.virtio", cmdline(m, virtioPort, 0))
	golden(t, "testdata/cmdline.serial", cmdline(m, serialPort, 3*time.Second))
}

// A user's program gets all that the kernel has.
func TestArgvOfProgram(t *testing.T) {
	for _, program := range []bool{false, true} {
		args := strings.Join(argv(Machine{Accel: TCG, Program: program}), " ")
		for _, arg := range []string{"initcall_blacklist=", wire.ForCases} {
			if has := strings.Contains(args, arg); has == program {
				t.Errorf("program %v: the kernel's arguments have %s: %v", program, arg, has)
			}
		}
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	r, err := (&Machine{Kernel: "bzImage", Accel: TCG, Dir: "."}).resolve()
	if err != nil {
		t.Fatal(err)
	}
	if r.Kernel != filepath.Join(dir, "bzImage") || r.Initrd != "" || r.Dir != dir {
		t.Errorf("got paths %q, %q, %q", r.Kernel, r.Initrd, r.Dir)
	}
	if r.Quiet != tcgScale*defaultQuiet || r.Deadline != tcgScale*defaultDeadline {
		t.Errorf("got quiet %v, deadline %v under tcg", r.Quiet, r.Deadline)
	}
	if KVM.Scale(time.Second) != time.Second {
		t.Error("kvm is not the yardstick")
	}
}
