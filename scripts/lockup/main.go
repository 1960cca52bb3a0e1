// Command lockup keeps a processor in the kernel for SECONDS: a BPF program runs
// bpf_loop in bpf_loop. It needs a kernel from 5.17 on without kernel preemption.
//
// Only scripts/faults.sh uses it. Start with stuck.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// loops is the limit of bpf_loop, BPF_MAX_LOOPS.
const loops = 1 << 23

// loop returns instructions that call a function n times.
func loop(n int32, name string) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R1, n),
		asm.Instruction{OpCode: asm.LoadImmOp(asm.DWord), Src: asm.PseudoFunc, Dst: asm.R2, Constant: -1}.WithReference(name),
		asm.Mov.Imm(asm.R3, 0), asm.Mov.Imm(asm.R4, 0),
		asm.FnLoop.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return(),
	}
}

// function gives instructions a name and, for the verifier, a type.
func function(body asm.Instructions, name string, linkage btf.FuncLinkage, params ...string) asm.Instructions {
	long := &btf.Int{Name: "long", Size: 8, Encoding: btf.Signed}
	proto := &btf.FuncProto{Return: long}
	for _, p := range params {
		proto.Params = append(proto.Params, btf.FuncParam{Name: p, Type: long})
	}
	f := &btf.Func{Name: name, Type: proto, Linkage: linkage}
	body[0] = btf.WithFuncMetadata(body[0].WithSymbol(name), f)
	return body
}

// stuck keeps the processor busy for n times the duration of loops empty calls.
func stuck(n int32) error {
	body := function(loop(n, "inner"), "outer", btf.GlobalFunc, "ctx")
	body = append(body, function(loop(loops, "nothing"), "inner", btf.StaticFunc, "index", "ctx")...)
	nothing := asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	body = append(body, function(nothing, "nothing", btf.StaticFunc, "index", "ctx")...)
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, Instructions: body, License: "GPL"})
	if err != nil {
		return fmt.Errorf("load the program: %w", err)
	}
	defer p.Close()
	if _, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 64)}); err != nil {
		return fmt.Errorf("run the program: %w", err)
	}
	return nil
}

func run(seconds string) error {
	want, err := strconv.Atoi(seconds)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := stuck(1); err != nil {
		return err
	}
	return stuck(int32(time.Duration(want)*time.Second/time.Since(start)) + 1)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: lockup SECONDS")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "lockup:", err)
		os.Exit(1)
	}
}
