package guest

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

const (
	maxTranslated = 64   // instructions
	noSpec        = 0xc2 // BPF_ST | BPF_NOSPEC, include/linux/filter.h
)

// translatedInsns are the instructions of a program as the verifier left them, and what else the kernel says of it. It
// shows the instructions to a process with CAP_BPF in the initial user namespace; nil if it does not.
func (a *actor) translatedInsns(s *step.Step) (insns, info []byte, errno uapi.Errno) {
	insns, info = make([]byte, maxTranslated*insnLen), make([]byte, infoLen)
	set(info, uapi.ProgInfo_xlated_prog_len, uint64(len(insns)))
	point(info, uapi.ProgInfo_xlated_prog_insns, unsafe.Pointer(&insns[0]))
	var at attr
	at.i32(uapi.Attr_info_bpf_fd, a.fd(s, step.KeyHandle))
	at.u32(uapi.Attr_info_info_len, uint32(len(info)))
	at.ptr(uapi.Attr_info_info, &info[0])
	if _, errno := bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &at); errno != 0 {
		return nil, nil, errno
	}
	n := int(get(info, uapi.ProgInfo_xlated_prog_len))
	hidden := get(info, uapi.ProgInfo_xlated_prog_insns) == 0 // of a blinded program the kernel shows only the length
	if n == 0 || n > len(insns) || hidden {
		return nil, nil, uapi.Errno(unix.ENODATA)
	}
	return insns[:n], info, 0
}

// barriers counts the instructions of a program that stop speculation.
func (a *actor) barriers(s *step.Step) (int, step.Observation) {
	insns, _, errno := a.translatedInsns(s)
	if errno != 0 {
		return noFD, step.Observation{Errno: errno}
	}
	found := 0
	for i := 0; i < len(insns); i += insnLen {
		if insns[i] == noSpec {
			found++
		}
	}
	return noFD, step.Observation{Proof: step.Works, Text: fmt.Sprintf("%d barriers", found)}
}

// Instructions that the kernel adds, include/linux/filter.h.
const (
	andReg   = 0x5f // BPF_ALU64 | BPF_AND | BPF_X: a number is masked before it is added to a pointer
	and32Imm = 0x54 // BPF_ALU | BPF_AND | BPF_K: the index of an array is masked
	xorImm   = 0xa7 // BPF_ALU64 | BPF_XOR | BPF_K
	programs = 10   // the last register that a program can name, before BPF_REG_AX
)

// translated says what the verifier made of a program.
func (a *actor) translated(s *step.Step) (int, step.Observation) {
	insns, info, errno := a.translatedInsns(s)
	if errno != 0 {
		return noFD, step.Observation{Errno: errno}
	}
	masks, blinded, maps := 0, false, false
	for i := 0; i < len(insns); i += insnLen {
		code := insns[i]
		switch dst, _ := bodies.Registers(insns[i+1]); {
		case code == andReg, code == and32Imm:
			masks++
		case code == xorImm && dst > programs:
			blinded = true
		case code == loadImm:
			maps = true
		}
	}
	verified := get(info, uapi.ProgInfo_verified_insns)
	o := step.Observation{Proof: step.Works, Text: fmt.Sprintf("masks %d", masks)}
	switch {
	case blinded:
		o.Text = fmt.Sprintf("blinded, verified %d", verified)
	case !maps: // what becomes of a lookup differs between releases
		o.Text = fmt.Sprintf("instructions %d, verified %d, masks %d", len(insns)/insnLen, verified, masks)
	}
	return noFD, o
}

const loadImm = 0x18 // BPF_LD | BPF_IMM | BPF_DW

// runProg runs a program once. What a syscall program returns is the answer.
func (a *actor) runProg(s *step.Step) (int, step.Observation) {
	fd, packet := a.fd(s, step.KeyHandle), make([]byte, packetLen)
	info := make([]byte, infoLen)
	var about, r attr
	about.i32(uapi.Attr_info_bpf_fd, fd)
	about.u32(uapi.Attr_info_info_len, infoLen)
	about.ptr(uapi.Attr_info_info, &info[0])
	bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &about)
	syscall := uapi.ProgType(get(info, uapi.ProgInfo_type)) == uapi.BPF_PROG_TYPE_SYSCALL
	r.i32(uapi.Attr_test_prog_fd, fd)
	if !syscall {
		r.u32(uapi.Attr_test_data_size_in, packetLen)
		r.ptr(uapi.Attr_test_data_in, &packet[0])
		r.u32(uapi.Attr_test_repeat, 1)
	}
	_, errno := r.call(uapi.BPF_PROG_TEST_RUN, s)
	runtime.KeepAlive(packet)
	runtime.KeepAlive(info)
	if n := int32(r.get(uapi.Attr_test_retval)); errno == 0 && syscall && n < 0 {
		errno = uapi.Errno(-n)
	}
	return noFD, proved(errno, func() bool { return true })
}
