package guest

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

// A slot holds what the step says, and the errno as the hook returns it.
func TestLSMRule(t *testing.T) {
	b := lsmRule(&step.Step{Args: []step.Arg{
		{Key: step.KeyHook, Num: uint64(uapi.HookTokenCmd)}, {Key: step.KeyErrno, Num: 13},
		{Key: step.KeyHookCmd, Num: uint64(uapi.BPF_PROG_LOAD)}, {Key: step.KeyOfMaps, Num: 0x82},
	}}, 77)
	if n := binary.NativeEndian.Uint32(b[slotPID:]); n != 77 {
		t.Errorf("pid %d", n)
	}
	if n := int32(binary.NativeEndian.Uint32(b[slotErrno:])); n != -13 {
		t.Errorf("errno %d", n)
	}
	if n := binary.NativeEndian.Uint64(b[slotFlags:]); n != 1<<ifCmd|1<<ifMaps {
		t.Errorf("conditions %#x", n)
	}
	if n := binary.NativeEndian.Uint64(b[slotValues+8*ifMaps:]); n != 0x82 {
		t.Errorf("maps %#x", n)
	}
	if n := binary.NativeEndian.Uint64(b[slotCount:]); n != 0 {
		t.Errorf("it has counted %d", n)
	}
}

// Every hook's program can be encoded, and reads no argument that the hook lacks.
func TestLSMBody(t *testing.T) {
	btf := (*kernelBTF)(nil).ids()
	for h := uapi.HookBPF; h <= uapi.HookProgFree; h++ {
		at := step.ArgsOf(h)
		insns := lsmBody(h, at, &btf, 9)
		if len(bodies.Marshal(insns)) == 0 {
			t.Errorf("%s: no instructions", uapi.Hooks[h])
		}
		var read []int
		for _, i := range insns {
			if i.OpCode.Class() == asm.LdXClass && i.Src == asm.R6 && !slices.Contains(read, int(i.Offset)/argLen) {
				read = append(read, int(i.Offset)/argLen)
			}
		}
		var want []int
		for _, n := range []int{at.Cmd, at.Cap, at.Token, at.Kernel, at.Mask, at.Named} {
			if n >= 0 {
				want = append(want, n)
			}
		}
		if at.Kernel >= 0 {
			want = append(want, at.Kernel+1) // what proves that it is there
		}
		slices.Sort(read)
		slices.Sort(want)
		if !slices.Equal(read, want) {
			t.Errorf("%s reads the arguments %v, want %v", uapi.Hooks[h], read, want)
		}
	}
}

// The youngest slot comes last, and one that was emptied is used again when
// nothing younger is left.
func TestLSMNext(t *testing.T) {
	h := &lsmHook{}
	for _, tt := range []struct {
		held [lsmSlots]bool
		want int
	}{
		{[lsmSlots]bool{}, 0}, {[lsmSlots]bool{true}, 1}, {[lsmSlots]bool{false, true}, 2}, {[lsmSlots]bool{true, true, true,
			true}, lsmSlots},
	} {
		h.held = tt.held
		if got := h.next(); got != tt.want {
			t.Errorf("%v: next is %d, want %d", tt.held, got, tt.want)
		}
	}
}

// The kernel's numbers of security modules get its names; a number that is not known stays one.
func TestLSMNames(t *testing.T) {
	if got := strings.Join(lsmNames([]uint64{100, 108, 109, 113, 114, 0}),
		","); got != "capability,lockdown,bpf,ipe,114,0" {
		t.Errorf("got %s", got)
	}
	if lsmNames(nil) == nil {
		t.Error("a kernel that lists none is one of which nothing is known")
	}
}
