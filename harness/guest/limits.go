package guest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

const cgroups = "/sys/fs/cgroup"

// bound puts an actor's process into a memory cgroup of its own.
func (g *agent) bound(_ *player, s *step.Step) (step.Observation, error) {
	to, _ := s.Num(step.KeyTo)
	most, _ := s.Num(step.KeyMemory)
	p, err := g.player(uint32(to))
	if err == nil {
		err = g.settle(nil)
	}
	if err != nil {
		return step.Observation{}, err
	}
	pid, err := g.pidOf(p)
	if err != nil {
		return step.Observation{}, err
	}
	dir := filepath.Join(cgroups, fmt.Sprint("tokentest-", pid))
	if err := os.WriteFile(cgroups+"/cgroup.subtree_control", []byte("+memory"), 0); err != nil {
		return step.Observation{}, fmt.Errorf("enable memory cgroups: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return step.Observation{}, fmt.Errorf("make a memory cgroup: %w", err)
	}
	again := p.cgroup != ""
	p.cgroup = dir
	for _, w := range []struct{ file, value string }{
		{oomScore(pid), spared},
		{filepath.Join(dir, "memory.max"), fmt.Sprint(most)},
		{filepath.Join(dir, "cgroup.procs"), fmt.Sprint(pid)},
	} {
		if err := os.WriteFile(w.file, []byte(w.value), 0); err != nil {
			return step.Observation{}, fmt.Errorf("limit the memory of actor %s: %w", p.name, err)
		}
	}
	if again && !givenBack(filepath.Join(dir, "memory.current"), most/usedPart) {
		return step.Observation{Errno: uapi.Errno(unix.ENOMEM)}, nil
	}
	return step.Observation{}, nil
}

// A process without a large map may use one part of usedPart of its memory.
const usedPart = 4

// givenBack waits until a cgroup uses at most this many bytes: the kernel frees maps,
// and the parts of maps that it could not make, later.
func givenBack(current string, most uint64) bool {
	for range givenBackTries {
		text, err := os.ReadFile(current)
		if err != nil {
			return false
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && n <= most {
			return true
		}
		time.Sleep(settle)
	}
	return false
}

const givenBackTries = 100

// While the kernel refuses a map, the cgroup is full. If another thread of the process
// needs a page then, the OOM killer would kill the process. This score prevents that:
// a moment later there is memory.
const spared, unspared = "-1000", "0"

func oomScore(pid uint32) string { return fmt.Sprintf("/proc/%d/oom_score_adj", pid) }

// unbound takes the player's process out of its memory cgroup. What it has
// charged there stays until it is freed.
func (p *player) unbound() error {
	if p.cgroup == "" {
		return nil
	}
	dir := p.cgroup
	p.cgroup = ""
	_ = os.WriteFile(oomScore(p.number), []byte(unspared), 0) // it may have ended
	if err := os.WriteFile(cgroups+"/cgroup.procs", fmt.Append(nil, p.number), 0); err != nil && !p.absent {
		return fmt.Errorf("take actor %s out of its memory cgroup: %w", p.name, err)
	}
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("remove the memory cgroup of actor %s: %w", p.name, err)
	}
	return nil
}

// limited sets the limits that a step names. The function that it returns restores them.
// Lowering soft limits and raising them again needs no privilege.
func limited(s *step.Step) (again func()) {
	var undo []func()
	if has(s, step.KeyNoFD) {
		undo = append(undo, softLimit(unix.RLIMIT_NOFILE, 0))
	}
	if n, ok := s.Num(step.KeyMemlock); ok {
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
	if unix.Getrlimit(which, &old) != nil ||
		unix.Prlimit(0, which, &unix.Rlimit{Cur: to, Max: max(to, old.Max)}, nil) != nil {
		return func() {} // the call is not bounded then, and the case fails
	}
	return func() { _ = unix.Prlimit(0, which, &old, nil) }
}

// loaderArgs is the size of the loader program's context: an attribute, then the command.
const loaderArgs = attrSize + 8

// loaderBody copies the attribute from the context to its stack, and has the
// kernel make the command.
func loaderBody() []byte {
	const stack = -attrSize
	insns := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	for off := int16(0); off < attrSize; off += 8 {
		insns = append(
			insns,
			asm.LoadMem(asm.R1, asm.R6, off, asm.DWord),
			asm.StoreMem(asm.R10, stack+off, asm.R1, asm.DWord),
		)
	}
	return bodies.Marshal(append(insns,
		asm.LoadMem(asm.R1, asm.R6, attrSize, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, stack),
		asm.Mov.Imm(asm.R3, attrSize),
		asm.FnSysBpf.Call(), asm.Return()))
}

// loadLoader loads it. A kernel before 5.14 has no such programs.
func loadLoader() (int, uapi.Errno) {
	const sleepable = 1 << 4 // BPF_F_SLEEPABLE
	code := loaderBody()
	var a attr
	a.u32(uapi.Attr_prog_type, uint32(uapi.BPF_PROG_TYPE_SYSCALL))
	a.u32(uapi.Attr_insn_cnt, uint32(len(code)/insnLen))
	a.ptr(uapi.Attr_insns, &code[0])
	a.ptr(uapi.Attr_license, &license[0])
	a.u32(uapi.Attr_prog_flags, sleepable)
	fd, errno := bpf(uapi.BPF_PROG_LOAD, &a)
	runtime.KeepAlive(code)
	return fd, errno
}

// bpfFromKernel runs the loader's program, which has the kernel make the call.
func bpfFromKernel(loader int, cmd uapi.Cmd, call *attr) (int, uapi.Errno) {
	args := make([]byte, loaderArgs)
	copy(args, call[:])
	binary.NativeEndian.PutUint64(args[attrSize:], uint64(cmd))
	var a attr
	a.i32(uapi.Attr_test_prog_fd, loader)
	a.u32(uapi.Attr_test_ctx_size_in, loaderArgs)
	a.ptr(uapi.Attr_test_ctx_in, &args[0])
	_, errno := bpf(uapi.BPF_PROG_TEST_RUN, &a)
	runtime.KeepAlive(args)
	if errno != 0 {
		return noFD, errno
	}
	r := int32(a.get(uapi.Attr_test_retval))
	if r < 0 {
		return noFD, uapi.Errno(-r)
	}
	return int(r), 0
}
