// Package library is an application such as users write: it makes maps and
// programs with cilium/ebpf, which looks for a token on every bpffs mount itself.
// The guest runs it inside an actor's namespaces to see which errno the library
// returns to its caller.
//
// It makes no call under test, and it knows nothing about cases.
//
// Start with Main.
package library

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Arg0 is argv[0] of the application's process.
const Arg0 = "tokentest-library"

// answerFD is the descriptor to which the application writes its result.
const answerFD = 3

// Is reports whether this process is the application's.
func Is() bool { return os.Args[0] == Arg0 }

// Main is the application. Its arguments are the object to make and the capabilities to keep. It
// writes the errno as a number, or the reason why there is none.
func Main() {
	out := os.NewFile(answerFD, "answer")
	errno, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprint(out, err)
		return
	}
	fmt.Fprint(out, uint(errno))
}

func run(args []string) (syscall.Errno, error) {
	if len(args) != 2 {
		return 0, errors.New("start the application: want WHAT CAPS")
	}
	caps, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("start the application: %w", err)
	}
	if err := keep(caps); err != nil {
		return 0, err
	}
	f := makers[args[0]]
	if f == nil {
		return 0, fmt.Errorf("start the application: it cannot make %q", args[0])
	}
	err = f()
	var errno syscall.Errno
	if errors.Is(err, ebpf.ErrNotSupported) && !errors.As(err, &errno) {
		return unix.EOPNOTSUPP, nil // the library's error has no errno
	}
	if err != nil && !errors.As(err, &errno) {
		return 0, fmt.Errorf("the library gives no errno: %w", err)
	}
	return errno, nil
}

// keep drops, in every thread, all capabilities except caps.
func keep(caps uint64) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for i := range data {
		part := uint32(caps >> (32 * i))
		data[i] = unix.CapUserData{Effective: data[i].Permitted & part, Permitted: data[i].Permitted & part}
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)),
		uintptr(unsafe.Pointer(&data[0])), 0)
	if errno != 0 {
		return fmt.Errorf("set capabilities: %w", errno)
	}
	return nil
}

// makers make objects, by the names of step.Makes.
var makers = map[string]func() error{
	"queue": func() error {
		return made(ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Queue, ValueSize: 4, MaxEntries: 1}))
	},
	"btf": func() error {
		return made(ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 1, Key: integer,
			Value: integer}))
	},
	"prog": func() error {
		return made(ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL",
			Instructions: asm.Instructions{
				asm.FnJiffies64.Call(), asm.FnGetCurrentTask.Call(), asm.Mov.Imm(asm.R0, xdpPass), asm.Return(),
			}}))
	},
	"freplace": freplace,
}

const xdpPass = 2

var integer = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}

// made closes the new object.
func made[T interface{ Close() error }](object T, err error) error {
	if err != nil {
		return err
	}
	return object.Close()
}

// function is "int prog(struct xdp_md *ctx)" and its first instruction.
func function() asm.Instructions {
	ctx := &btf.Pointer{Target: &btf.Struct{Name: "xdp_md", Size: 24}}
	f := &btf.Func{Name: "prog", Linkage: btf.GlobalFunc, Type: &btf.FuncProto{Return: integer,
		Params: []btf.FuncParam{{Name: "ctx", Type: ctx}}}}
	return asm.Instructions{btf.WithFuncMetadata(asm.Mov.Imm(asm.R0, xdpPass), f).WithSymbol("prog"), asm.Return()}
}

// freplace loads an XDP program and one that replaces its function.
func freplace() error {
	target, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "prog", Type: ebpf.XDP, AttachType: ebpf.AttachXDP,
		License: "GPL", Instructions: function()})
	if err != nil {
		return fmt.Errorf("load the target: %w", err)
	}
	defer target.Close()
	return made(ebpf.NewProgram(&ebpf.ProgramSpec{Name: "prog", Type: ebpf.Extension, AttachTo: "prog",
		AttachTarget: target, License: "GPL", Instructions: function()}))
}
