package guest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"tokentest/cases/program"
	"tokentest/cases/uapi"
)

const cgroups = "/sys/fs/cgroup"

// bound puts an actor's process into a memory cgroup of its own.
func (g *agent) bound(s *program.Step) (program.Observation, error) {
	to, _ := s.Num(program.KeyTo)
	most, _ := s.Num(program.KeyMemory)
	p, err := g.player(uint32(to))
	if err == nil {
		err = g.settle(nil)
	}
	if err != nil {
		return program.Observation{}, err
	}
	pid, err := g.pidOf(p)
	if err != nil {
		return program.Observation{}, err
	}
	dir := filepath.Join(cgroups, fmt.Sprint("tokentest-", pid))
	if err := os.WriteFile(cgroups+"/cgroup.subtree_control", []byte("+memory"), 0); err != nil {
		return program.Observation{}, fmt.Errorf("have memory cgroups: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return program.Observation{}, fmt.Errorf("make a memory cgroup: %w", err)
	}
	if p.cgroup == "" {
		p.cgroup = dir
	}
	for file, value := range map[string]uint64{"memory.max": most, "cgroup.procs": uint64(pid)} {
		if err := os.WriteFile(filepath.Join(dir, file), fmt.Append(nil, value), 0); err != nil {
			return program.Observation{}, fmt.Errorf("bound the memory of actor %s: %w", p.name, err)
		}
	}
	return program.Observation{}, nil
}

// unbound takes the player's process out of its memory cgroup. What it has
// charged there stays until it is freed.
func (p *player) unbound() error {
	if p.cgroup == "" {
		return nil
	}
	dir := p.cgroup
	p.cgroup = ""
	if err := os.WriteFile(cgroups+"/cgroup.procs", fmt.Append(nil, p.number), 0); err != nil && !p.absent {
		return fmt.Errorf("take actor %s out of its memory cgroup: %w", p.name, err)
	}
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("remove the memory cgroup of actor %s: %w", p.name, err)
	}
	return nil
}

// limited sets the limits that a step names, until what it returns is called.
// To lower the soft ones needs no privilege, nor to raise them again.
func limited(s *program.Step) (again func()) {
	var undo []func()
	if has(s, program.KeyNoFD) {
		undo = append(undo, softLimit(unix.RLIMIT_NOFILE, 0))
	}
	if n, ok := s.Num(program.KeyMemlock); ok {
		undo = append(undo, softLimit(unix.RLIMIT_MEMLOCK, n))
	}
	return func() {
		for _, f := range undo {
			f()
		}
	}
}

func softLimit(which int, to uint64) (again func()) {
	var old unix.Rlimit
	if unix.Getrlimit(which, &old) != nil || unix.Prlimit(0, which, &unix.Rlimit{Cur: to, Max: max(to, old.Max)}, nil) != nil {
		return func() {} // the call is not bounded then, and the case fails
	}
	return func() { _ = unix.Prlimit(0, which, &old, nil) }
}

// loaderArgs is what a loader's program is run with: an attribute, and the command behind it.
const loaderArgs = attrSize + 8

// loaderBody copies the attribute from the context to its stack, and has the
// kernel make the command.
func loaderBody() []byte {
	const stack = -attrSize
	insns := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	for off := int16(0); off < attrSize; off += 8 {
		insns = append(insns, asm.LoadMem(asm.R1, asm.R6, off, asm.DWord), asm.StoreMem(asm.R10, stack+off, asm.R1, asm.DWord))
	}
	return marshal(append(insns,
		asm.LoadMem(asm.R1, asm.R6, attrSize, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, stack),
		asm.Mov.Imm(asm.R3, attrSize),
		asm.FnSysBpf.Call(), asm.Return()))
}

// loadLoader loads it. A kernel before 5.14 has no such programs.
func loadLoader() int {
	const sleepable = 1 << 4 // BPF_F_SLEEPABLE
	code := loaderBody()
	var a attr
	a.u32(0, uint32(uapi.BPF_PROG_TYPE_SYSCALL))
	a.u32(4, uint32(len(code)/insnLen))
	a.ptr(8, &code[0])
	a.ptr(16, &license[0])
	a.u32(44, sleepable)
	fd, errno := bpf(uapi.BPF_PROG_LOAD, &a)
	runtime.KeepAlive(code)
	if errno != 0 {
		return noFD
	}
	return fd
}

// bpfFromKernel runs the loader's program, which has the kernel make the call.
func bpfFromKernel(loader int, cmd uapi.Cmd, call *attr) (int, uapi.Errno) {
	args := make([]byte, loaderArgs)
	copy(args, call[:])
	binary.LittleEndian.PutUint64(args[attrSize:], uint64(cmd))
	var a attr
	a.i32(0, loader)
	a.u32(40, loaderArgs)
	a.ptr(48, &args[0])
	_, errno := bpf(uapi.BPF_PROG_TEST_RUN, &a)
	runtime.KeepAlive(args)
	if errno != 0 {
		return noFD, errno
	}
	if r := int32(binary.LittleEndian.Uint32(a[4:])); r < 0 {
		return noFD, uapi.Errno(-r)
	}
	return int(binary.LittleEndian.Uint32(a[4:])), 0
}
