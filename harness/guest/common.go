package guest

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// The members of struct bpf_common_attr.
var (
	commonLogBuf   = uapi.Field{Off: 0, Size: 8}
	commonLogSize  = uapi.Field{Off: 8, Size: 4}
	commonLogLevel = uapi.Field{Off: 12, Size: 4}
	commonTrueSize = uapi.Field{Off: 16, Size: 4}
)

const (
	commonLen = 20      // up to the end of log_true_size
	untouched = 0x5a    // each byte of log_true_size before the call
	logRoom   = 1 << 24 // more than any program here has in its log
	badLevel  = 1 << 4  // BPF_LOG_MASK is 15
)

// commonAttrs are the common attributes of a call.
type commonAttrs struct {
	bytes []byte // nil is an invalid address
	size  int
	page  []byte // what bytes is a part of
	log   []byte
	word  step.Common
}

// newCommonAttrs makes attributes with a log, and of them what the word says.
func newCommonAttrs(word step.Common) *commonAttrs {
	c := &commonAttrs{word: word, size: commonLen, log: anonymous(logRoom), page: anonymous(os.Getpagesize())}
	c.bytes = c.page
	point(c.bytes, commonLogBuf, unsafe.Pointer(&c.log[0]))
	set(c.bytes, commonLogSize, logRoom)
	set(c.bytes, commonLogLevel, 1)
	for i := range commonTrueSize.Size {
		c.bytes[commonTrueSize.Off+i] = untouched
	}
	switch word {
	case step.CommonLength:
		set(c.bytes, commonLogBuf, 0)
		set(c.bytes, commonLogSize, 0)
	case step.CommonPart:
		c.size = int(commonTrueSize.Off)
	case step.CommonShort:
		set(c.bytes, commonLogSize, 1)
	case step.CommonBadBuffer:
		set(c.bytes, commonLogBuf, 1)
	case step.CommonNoLevel:
		set(c.bytes, commonLogLevel, 0)
	case step.CommonNoSize:
		set(c.bytes, commonLogSize, 0)
	case step.CommonBadLevel:
		set(c.bytes, commonLogLevel, badLevel)
	case step.CommonBigSize:
		set(c.bytes, commonLogSize, 1<<30)
	case step.CommonTail:
		c.size++
		c.bytes[commonLen] = 1
	case step.CommonHuge:
		c.size = len(c.page) + 1
	case step.CommonUnreadable:
		c.bytes = nil
	case step.CommonReadOnly:
		_ = unix.Mprotect(c.page, unix.PROT_READ)
	}
	return c
}

// anonymous maps zeros, on pages of their own: one is made read-only.
func anonymous(size int) []byte {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		panic("map memory for common attributes: " + err.Error())
	}
	return b
}

func (c *commonAttrs) free() {
	_ = unix.Munmap(c.page)
	_ = unix.Munmap(c.log)
}

// sayTo has the command's own attributes name the log, or another of the same place.
func (c *commonAttrs) sayTo(a *attr, cmd uapi.Cmd) {
	buf, size, level := uapi.Attr_log_buf, uapi.Attr_log_size, uapi.Attr_log_level
	if cmd == uapi.BPF_BTF_LOAD|uapi.BPF_COMMON_ATTRS {
		buf, size, level = uapi.Attr_btf_log_buf, uapi.Attr_btf_log_size, uapi.Attr_btf_log_level
	}
	if c.word == step.CommonSame || c.word == step.CommonOther {
		a.ptr(buf, &c.log[0])
		a.u32(size, logRoom)
		a.u32(level, 1)
	}
	if c.word == step.CommonOther {
		a.u32(size, logRoom-1)
	}
}

// call is a way.
func (c *commonAttrs) call(cmd uapi.Cmd, attribute []byte, size uintptr) (int, uapi.Errno) {
	r, _, e := unix.Syscall6(unix.SYS_BPF, uintptr(cmd), addressOf(attribute), size, addressOf(c.bytes),
		uintptr(c.size), 0)
	runtime.KeepAlive(attribute)
	runtime.KeepAlive(c)
	if e != 0 {
		return -1, uapi.Errno(e)
	}
	return int(r), 0
}

// wrote is what the last call left in its common attributes. An actor makes one call at a time.
var wrote string

// inCommon is the same if the step's call had any.
func inCommon(s *step.Step) string {
	if n, _ := s.Num(step.KeyCommon); step.Common(n) <= step.CommonEmpty {
		return ""
	}
	return wrote
}

// written says what the kernel wrote: into log_true_size, and into the log.
func (c *commonAttrs) written() string {
	size, log := "kept", "empty"
	switch n := binary.NativeEndian.Uint32(c.page[commonTrueSize.Off:]); n {
	case untouched * 0x1010101:
	case 0:
		size = "0"
	default:
		if size = "set"; n > logRoom {
			size = fmt.Sprint(n)
		}
	}
	if c.log[0] != 0 {
		log = "written"
	}
	return fmt.Sprintf("log_true_size %s, log %s", size, log)
}
