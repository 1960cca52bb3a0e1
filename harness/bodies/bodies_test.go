package bodies

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"

	"tokentest/cases/step"
)

// disassembled is a program as cilium/ebpf prints it, an instruction a line.
func disassembled(t *testing.T, code []byte) []string {
	t.Helper()
	insns, err := asm.AppendInstructions(nil, bytes.NewReader(code), Order, "linux")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range insns {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%v", i)))
	}
	return out
}

// The bodies of programs are what the cases say about them.
func TestBodies(t *testing.T) {
	leave := []string{"MovImm dst: r0 imm: 1", "Exit"}
	for b, want := range map[step.Body][]string{
		step.BodyJiffies64:     {"Call FnJiffies64"},
		step.BodyCurrentTask:   {"Call FnGetCurrentTask"},
		step.BodyReturnContext: {"MovReg dst: r0 src: r1", "Exit"},
		step.BodyReadData:      {"LdXMemW dst: r2 src: r1 off: 76 imm: 0"},
		step.BodyUninitStack:   {"LdXMemDW dst: r2 src: rfp off: -8 imm: 0"},
		step.BodySpill:         {"StXMemDW dst: rfp src: r1 off: -8 imm: 0"},
		step.BodyStoreContext:  {"StXMemW dst: r1 src: r1 off: 48 imm: 0"},
		step.BodyBeforeContext: {"AddImm dst: r1 imm: -8", "LdXMemW dst: r2 src: r1 off: 8 imm: 0"},
		step.BodyZeroSize: {"MovImm dst: r6 imm: 0", "StXMemDW dst: rfp src: r6 off: -8 imm: 0", "MovReg dst: r3 src: rfp",
			"AddImm dst: r3 imm: -8", "LdXMemW dst: r4 src: r1 off: 0 imm: 0", "AndImm dst: r4 imm: 7",
			"MovImm dst: r2 imm: 0", "Call FnSkbLoadBytes"},
		step.BodyHelperSpill: {"StXMemDW dst: rfp src: r1 off: -8 imm: 0", "MovImm dst: r2 imm: 0", "MovReg dst: r3 src: rfp",
			"AddImm dst: r3 imm: -8", "MovImm dst: r4 imm: 4", "Call FnSkbLoadBytes"},
		step.BodySpillNumber: {"MovImm dst: r2 imm: -8", "StXMemDW dst: rfp src: r2 off: -8 imm: 0",
			"LdXMemDW dst: r2 src: rfp off: -8 imm: 0", "MovReg dst: r3 src: rfp", "AddReg dst: r3 src: r2",
			"LdXMemDW dst: r4 src: r3 off: 0 imm: 0"},
		step.BodyProbeWriteUser: {"MovImm dst: r1 imm: 0", "StXMemDW dst: rfp src: r1 off: -8 imm: 0",
			"MovReg dst: r2 src: rfp", "AddImm dst: r2 imm: -8", "MovImm dst: r3 imm: 8", "Call FnProbeWriteUser"},
		step.BodyProbeReadKernel: {"MovReg dst: r1 src: rfp", "AddImm dst: r1 imm: -8", "MovImm dst: r2 imm: 8",
			"MovImm dst: r3 imm: 0", "Call FnProbeReadKernel"},
		step.BodyVarStack: {"LdXMemW dst: r2 src: r1 off: 0 imm: 0", "AndImm dst: r2 imm: 7",
			"MovReg dst: r3 src: rfp", "AddImm dst: r3 imm: -16", "AddReg dst: r3 src: r2"},
		step.BodySubprog: {"Call -1 <1>"},
	} {
		if b != step.BodyReturnContext {
			want = append(slices.Clone(want), leave...)
		}
		got := disassembled(t, Of(b, nil))
		if b == step.BodySubprog {
			if len(got) != 5 || !slices.Equal(got[1:3], leave) || !slices.Equal(got[3:], leave) ||
				!strings.HasPrefix(got[0], "Call ") {
				t.Errorf("%s: %q", step.Bodies[b], got)
			}
			continue
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", step.Bodies[b], got, want)
		}
	}
	if Of(0, nil) != nil {
		t.Error("no body has instructions")
	}
}

// A lookup names the map by its descriptor, also one that cannot be open.
func TestLookup(t *testing.T) {
	for _, fd := range []int{5, 1 << 20, -1} {
		code := WithMap(0, fd, 3)
		_, src := Registers(code[1])
		if got := binary.NativeEndian.Uint32(code[4:]); got != uint32(fd) || src != 1 { // BPF_PSEUDO_MAP_FD
			t.Errorf("descriptor %d: the instruction has %#x, source register %d", fd, got, src)
		}
		if lines := disassembled(t, code); lines[len(lines)-2] != "MovImm dst: r0 imm: 3" ||
			lines[len(lines)-1] != "Exit" {
			t.Errorf("it ends with %q", lines)
		}
	}
}
