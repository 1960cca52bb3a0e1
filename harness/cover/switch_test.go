package cover

import (
	"testing"

	"golang.org/x/arch/x86/x86asm"
)

// Jumps by order lead to the comparisons of a switch. On other lines they decide something.
func TestNavigates(t *testing.T) {
	cmp := func(line int, value byte) []byte { return []byte{byte(line), 0x83, 0xf8, value} } // cmp $value, %eax
	ja := func(line int) []byte { return []byte{byte(line), 0x77, 0x10} }
	je := func(line int) []byte { return []byte{byte(line), 0x74, 0x10} }
	f := &Func{Name: "f"}
	for _, text := range [][]byte{
		cmp(1, 5), ja(1), je(1), cmp(1, 3), ja(1), cmp(1, 9), je(1), // a switch
		cmp(2, 5), ja(2), // if (x > 5)
		cmp(3, 5), je(3), ja(3), // the flags of another line
	} {
		in, err := x86asm.Decode(text[1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		f.Insns = append(f.Insns, Insn{Inst: in, Line: int(text[0])})
	}
	for n, want := range []bool{false, true, false, false, true, false, false, false, false, false, false, false} {
		if got := f.Navigates(n); got != want {
			t.Errorf("instruction %d, %s: %v", n, f.Insns[n].Op, got)
		}
	}
}
