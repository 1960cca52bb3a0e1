package guest

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

func member(k step.Key, at uint16, n uint64, data string) step.Arg {
	return step.Arg{Key: k, At: at, Num: n, Str: data}
}

// Each member of a spelled out attribute is at its offset, and nothing else is set.
func TestRawAttr(t *testing.T) {
	a := testActor(map[step.Handle]int{1: 77})
	r := a.rawAttr(stepOf(member(step.KeyU32, 4, 0x01020304, ""), member(step.KeyU64, 8, 1<<40, ""),
		member(step.KeyFD, 16, 1, ""), member(step.KeyFD, 20, 2, ""), member(step.KeyPtr, 24, 0, "ab"),
		member(step.KeyPtr, 32, uint64(step.BlobLicense), "")))
	le := binary.NativeEndian
	if le.Uint32(r.bytes[4:]) != 0x01020304 || le.Uint64(r.bytes[8:]) != 1<<40 || le.Uint32(r.bytes[16:]) != 77 {
		t.Errorf("numbers and a descriptor: %x", r.bytes[:24])
	}
	if int32(le.Uint32(r.bytes[20:])) != badFD {
		t.Errorf("a descriptor that is not open: %x", r.bytes[20:24])
	}
	if string(r.memory[24]) != "ab" || string(r.memory[32]) != "GPL\x00" || le.Uint64(r.bytes[24:]) == 0 {
		t.Errorf("memory: %v", r.memory)
	}
	if r.size != attrSize || le.Uint32(r.bytes[:4]) != 0 || strings.Trim(string(r.bytes[40:]), "\x00") != "" {
		t.Errorf("size %d, bytes %x", r.size, r.bytes[:attrSize])
	}
	if r := a.rawAttr(stepOf(member(step.KeyU32, 1000, 1, ""))); r.size != 1004 {
		t.Errorf("a member beyond the attribute: size %d", r.size)
	}
	if r := a.rawAttr(stepOf(member(step.KeyU32, 1000, 1, ""), number(step.KeySize, 1100))); r.size != 1100 {
		t.Errorf("a size: %d", r.size)
	}
}

// The agent reports what the kernel wrote, and nothing else.
func TestRawWritten(t *testing.T) {
	r := testActor(nil).rawAttr(stepOf(member(step.KeyPtr, 8, 0, "ab"), member(step.KeyPtr, 16, 0, "cd"),
		number(step.KeySize, 4)))
	before := r.copies()
	if w := r.written(before); w != "" {
		t.Errorf("nothing was written: %q", w)
	}
	r.memory[16][1], r.bytes[0] = 'x', 1
	if w := r.written(before); w != "attribute is 0x01000000, ptr@16 is 0x6378" {
		t.Errorf("%q", w)
	}
}

// A raw call makes what the ordinary one makes, or gets its errno.
func TestRawCalls(t *testing.T) {
	needTokens(t)
	a := rootActor(t, newTestAgent(t))
	hash := []step.Arg{number(step.KeyCmd, uint64(uapi.BPF_MAP_CREATE)), member(step.KeyU32, 0, 1, ""),
		member(step.KeyU32, 4, 4, ""), member(step.KeyU32, 8, 4, ""), member(step.KeyU32, 12, 1, "")}
	a.does(t, 0, step.OpRaw, 1, hash...)
	o := a.does(t, 0, step.OpElement, 0, number(step.KeyHandle, 1), number(step.KeyDo, uint64(step.DoUpdate)))
	if o.Proof != step.Works {
		t.Errorf("an element: proof %d", o.Proof)
	}
	free := lowestFree()
	a.does(t, 0, step.OpRaw, 0, hash...)
	if lowestFree() != free {
		t.Error("a descriptor that nobody keeps stays open")
	}
	a.does(t, unix.EINVAL, step.OpRaw, 0, append(hash, member(step.KeyU32, 140, 1, ""))...)
	info := a.does(t, 0, step.OpRaw, 0, number(step.KeyCmd, uint64(uapi.BPF_OBJ_GET_INFO_BY_FD)),
		member(step.KeyFD, 0, 1, ""), member(step.KeyU32, 4, 4, ""), member(step.KeyPtr, 8, 0, "\x00\x00\x00\x00"))
	if info.Text != "ptr@8 is 0x01000000" {
		t.Errorf("the info of a hash: %q", info.Text)
	}
	next := []step.Arg{number(step.KeyCmd, uint64(uapi.BPF_MAP_GET_NEXT_ID))}
	if o := a.step(&step.Step{Op: step.OpRaw, Out: 2, Args: next, Caps: uapi.AllCaps}); o.Proof != step.DoesNotWork {
		t.Errorf("a number where a descriptor is expected: proof %d", o.Proof)
	}
}
