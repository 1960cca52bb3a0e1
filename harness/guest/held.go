package guest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

func (a *actor) freeze(s *step.Step) (int, step.Observation) {
	var r attr
	r.i32(uapi.Attr_map_fd, a.fd(s, step.KeyHandle))
	_, errno := r.call(uapi.BPF_MAP_FREEZE, s)
	return noFD, step.Observation{Errno: errno}
}

var batchCmds = map[step.Batch]uapi.Cmd{
	step.BatchUpdate: uapi.BPF_MAP_UPDATE_BATCH, step.BatchLookup: uapi.BPF_MAP_LOOKUP_BATCH,
	step.BatchDelete: uapi.BPF_MAP_DELETE_BATCH, step.BatchTake: uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH,
}

// batch makes a batch command about the element under key 0.
func (a *actor) batch(s *step.Step) (int, step.Observation) {
	do, _ := s.Num(step.KeyDo)
	cmd := batchCmds[step.Batch(do)]
	fd := a.fd(s, step.KeyHandle)
	_, room := mapInfo(fd)
	memory := make([]byte, 2*maxKey+room)
	var r attr
	r.i32(uapi.Attr_batch_map_fd, fd)
	r.ptr(uapi.Attr_batch_keys, &memory[0])
	r.u32(uapi.Attr_batch_count, 1)
	if cmd != uapi.BPF_MAP_DELETE_BATCH {
		r.ptr(uapi.Attr_batch_values, &memory[2*maxKey])
	}
	if cmd == uapi.BPF_MAP_LOOKUP_BATCH || cmd == uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH {
		r.ptr(uapi.Attr_batch_out_batch, &memory[maxKey])
	}
	_, errno := r.call(cmd, s)
	runtime.KeepAlive(memory)
	return noFD, step.Observation{Errno: errno}
}

// The size of the buffers for a program's instructions.
const maxCompiled = 4096

// progInfo says which parts of a program the kernel shows.
func (a *actor) progInfo(s *step.Step) (int, step.Observation) {
	insns, compiled, symbols := make([]byte, maxCompiled), make([]byte, maxCompiled), make([]uint64, 8)
	lines, lengths := make([]uint64, 8), make([]uint64, 4)
	info := make([]byte, infoLen)
	for _, part := range []struct {
		count, to uapi.Field
		n         int
		at        unsafe.Pointer
	}{
		{uapi.ProgInfo_xlated_prog_len, uapi.ProgInfo_xlated_prog_insns, maxCompiled, unsafe.Pointer(&insns[0])},
		{uapi.ProgInfo_jited_prog_len, uapi.ProgInfo_jited_prog_insns, maxCompiled, unsafe.Pointer(&compiled[0])},
		{uapi.ProgInfo_nr_jited_ksyms, uapi.ProgInfo_jited_ksyms, len(symbols), unsafe.Pointer(&symbols[0])},
		{uapi.ProgInfo_nr_jited_func_lens, uapi.ProgInfo_jited_func_lens, len(lengths), unsafe.Pointer(&lengths[0])},
		{uapi.ProgInfo_nr_jited_line_info, uapi.ProgInfo_jited_line_info, len(lines), unsafe.Pointer(&lines[0])},
	} {
		set(info, part.count, uint64(part.n))
		point(info, part.to, part.at)
	}
	set(info, uapi.ProgInfo_jited_line_info_rec_size, 8)
	var r attr
	r.i32(uapi.Attr_info_bpf_fd, a.fd(s, step.KeyHandle))
	r.u32(uapi.Attr_info_info_len, uint32(len(info)))
	r.ptr(uapi.Attr_info_info, &info[0])
	_, errno := r.call(uapi.BPF_OBJ_GET_INFO_BY_FD, s)
	runtime.KeepAlive(lines)
	runtime.KeepAlive(lengths)
	runtime.KeepAlive(insns)
	runtime.KeepAlive(compiled)
	runtime.KeepAlive(symbols)
	if errno != 0 {
		return noFD, step.Observation{Errno: errno}
	}
	word := map[bool]string{true: "shown", false: "hidden"}
	calls, helps := callIn(insns[:min(maxCompiled, get(info, uapi.ProgInfo_xlated_prog_len))])
	parts := []string{
		"instructions " + word[get(info, uapi.ProgInfo_xlated_prog_len) != 0],
		"calls " + there(helps, word[calls]),
		"compiled " + word[get(info, uapi.ProgInfo_jited_prog_len) != 0],
		"code " + word[!bytes.Equal(compiled, make([]byte, maxCompiled))],
		"addresses " + word[symbols[0] != 0],
		"lengths " + word[lengths[0] != 0],
		"lines " + word[lines[0] != 0],
	}
	return noFD, step.Observation{Proof: step.Works, Text: strings.Join(parts, ", ")}
}

// there is a word, or none where there is nothing to show.
func there(is bool, word string) string {
	if is {
		return word
	}
	return "none"
}

// callIn looks for the call of a helper, and for what is called.
func callIn(insns []byte) (named, found bool) {
	for i := 0; i < len(insns); i += insnLen {
		if _, src := bodies.Registers(insns[i+1]); insns[i] == callHelper && src == 0 {
			return binary.NativeEndian.Uint32(insns[i+4:]) != 0, true
		}
	}
	return false, false
}

const callHelper = 0x85 // BPF_JMP | BPF_CALL

// tokenInfo reads the masks of a token into zeroed memory.
func (a *actor) tokenInfo(s *step.Step) (int, step.Observation) {
	length := uint64(tokenInfoLen)
	if n, ok := s.Num(step.KeyLength); ok {
		length = min(n, maxInfoLen)
	}
	memory := make([]uint64, maxInfoLen/8)
	var at attr
	at.i32(uapi.Attr_info_bpf_fd, a.fd(s, step.KeyHandle))
	at.u32(uapi.Attr_info_info_len, uint32(length))
	at.ptr(uapi.Attr_info_info, (*byte)(unsafe.Pointer(&memory[0])))
	_, errno := bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &at)
	runtime.KeepAlive(memory)
	o := step.Observation{Errno: errno}
	if errno != 0 {
		return noFD, o
	}
	o.Values = memory[:tokenInfoLen/8]
	if at.get(uapi.Attr_info_info_len) == min(length, tokenInfoLen) {
		o.Proof = step.Works
	} else {
		o.Proof = step.DoesNotWork // the kernel says another length than it has written
	}
	return noFD, o
}

const (
	tokenInfoLen = uapi.TokenInfoSize
	maxInfoLen   = 128 << 10
)

// sysctlFiles are the files of the sysctls that a step writes.
var sysctlFiles = map[step.Key]string{
	step.KeyValue: unprivDisabled.File, step.KeyStats: "/proc/sys/kernel/bpf_stats_enabled",
	step.KeyRestrict: "/proc/sys/kernel/kptr_restrict", step.KeyJITOn: jitFiles + "enable",
	step.KeyHarden: jitFiles + "harden", step.KeyJITLimit: jitFiles + "limit",
}

// lasting are the sysctls that the end of the world does not set again in this way.
var lasting = []step.Key{step.KeyValue, step.KeyStats}

const jitFiles = "/proc/sys/net/core/bpf_jit_"

// sysctlOf is the file that a step writes, and the value.
func sysctlOf(s *step.Step) (file string, value uint64) {
	for key, file := range sysctlFiles {
		if v, ok := s.Num(key); ok {
			return file, v
		}
	}
	return "", 0
}

// writeSysctl writes a sysctl with the step's capabilities.
func (a *actor) writeSysctl(s *step.Step) (int, step.Observation) {
	file, n := sysctlOf(s)
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return done(err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, fmt.Appendln(nil, n))
	return done(err)
}

// writeSysctl has an actor write a sysctl after all earlier steps, and notes its value.
func (g *agent) writeSysctl(p *player, s *step.Step) (step.Observation, error) {
	file, _ := sysctlOf(s)
	restored := !slices.ContainsFunc(lasting, func(k step.Key) bool { return sysctlFiles[k] == file })
	if restored {
		if err := g.settle(p); err != nil {
			return step.Observation{}, err
		}
		if err := g.remember(file); err != nil {
			return step.Observation{}, err
		}
	}
	o, err := g.playOne(p, s)
	if v, ok := s.Num(step.KeyValue); ok && err == nil && o.Errno == 0 {
		g.sysctl = int(v)
	}
	if restored && err == nil { // what comes after it must see it
		err = g.settle(nil)
	}
	return o, err
}

// remember reads a sysctl that the end of the world sets again.
func (g *agent) remember(file string) error {
	if _, known := g.sysctls[file]; known {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read a sysctl: %w", err)
	}
	g.sysctls[file] = bytes.TrimSpace(text)
	return nil
}

// restoreSysctls gives the sysctls that the last world wrote their values again.
func (g *agent) restoreSysctls() error {
	for file, text := range g.sysctls {
		if err := os.WriteFile(file, text, 0); err != nil {
			return fmt.Errorf("restore a sysctl: %w", err)
		}
		delete(g.sysctls, file)
	}
	return nil
}

// kernelBTF opens the kernel's own BTF, which has a small id.
func (a *actor) kernelBTF(s *step.Step) (int, step.Observation) {
	for id := uint32(1); ; id++ {
		var r attr
		r.u32(uapi.Attr_start_id, id)
		fd, errno := r.call(uapi.BPF_BTF_GET_FD_BY_ID, s)
		if errno == uapi.Errno(unix.ENOENT) && id < maxBTFs {
			continue
		}
		if errno == 0 && !isKernelBTF(fd) {
			closeFD(fd)
			continue
		}
		return fd, proved(errno, func() bool { return true })
	}
}

const maxBTFs = 1000

// isKernelBTF reports whether a BTF is vmlinux's: it is the kernel's, and the first of those that are.
func isKernelBTF(fd int) bool {
	info, name := make([]byte, infoLen), make([]byte, packetLen)
	point(info, uapi.BTFInfo_name, unsafe.Pointer(&name[0]))
	set(info, uapi.BTFInfo_name_len, packetLen)
	var r attr
	r.i32(uapi.Attr_info_bpf_fd, fd)
	r.u32(uapi.Attr_info_info_len, uapi.BTFInfoSize)
	r.ptr(uapi.Attr_info_info, &info[0])
	_, errno := bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &r)
	runtime.KeepAlive(info)
	return errno == 0 && unix.ByteSliceToString(name) == "vmlinux"
}
