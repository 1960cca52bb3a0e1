package guest

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

const (
	maxTranslated = 64   // instructions
	noSpec        = 0xc2 // BPF_ST | BPF_NOSPEC, include/linux/filter.h
)

// barriers counts the instructions of a program that stop speculation. The kernel
// shows them to a process with CAP_BPF in the initial user namespace.
func (a *actor) barriers(s *step.Step) (int, step.Observation) {
	insns := make([]byte, maxTranslated*insnLen)
	var info attr // which has room for as much of struct bpf_prog_info as is asked for
	info.u32(uapi.ProgInfo_xlated_prog_len, uint32(len(insns)))
	info.ptr(uapi.ProgInfo_xlated_prog_insns, &insns[0])
	var at attr
	at.i32(uapi.Attr_info_bpf_fd, a.fd(s, step.KeyHandle))
	at.u32(uapi.Attr_info_info_len, uint32(len(info)))
	at.ptr(uapi.Attr_info_info, (*byte)(unsafe.Pointer(&info[0])))
	if _, errno := bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &at); errno != 0 {
		return noFD, step.Observation{Errno: errno}
	}
	n := int(info.get(uapi.ProgInfo_xlated_prog_len))
	hidden := info.get(uapi.ProgInfo_xlated_prog_insns) == 0 // of a blinded program the kernel shows only the length
	if n == 0 || n > len(insns) || hidden {
		return noFD, step.Observation{Errno: uapi.Errno(unix.ENODATA)}
	}
	found := 0
	for i := 0; i < n; i += insnLen {
		if insns[i] == noSpec {
			found++
		}
	}
	return noFD, step.Observation{Proof: step.Works, Text: fmt.Sprintf("%d barriers", found)}
}
