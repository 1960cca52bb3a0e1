package guest

import (
	"os"
	"testing"

	"tokentest/cases/step"
)

// A program of 32 bits runs here or is refused with ENOEXEC; one that is none is refused.
func TestStart32(t *testing.T) {
	if exits32 == "" {
		t.Skip("the Go toolchain makes no programs of 32 bits for this architecture")
	}
	if why := start32(elf32(machine32, exits32)); why != "" && why != "ENOEXEC" && why != "EINVAL" {
		t.Errorf("the smallest program: %s", why)
	} else if why != "" {
		t.Logf("this kernel runs no programs of 32 bits: %s", why)
	}
	if why := start32([]byte("no program")); why == "" {
		t.Error("what is no program ran")
	}
	if _, err := os.Stat(program32); err == nil {
		t.Skip("there is a " + program32)
	}
	if why := refused32(); why != step.NoProgram32 {
		t.Errorf("without %s: %q", program32, why)
	}
}

// An actor of the same kind is this program.
func TestProgramOf(t *testing.T) {
	want := map[bool]string{has32Bits: ownProgram, !has32Bits: program32}
	if has32Bits {
		want[false] = fullProgram
	}
	for compat, name := range want {
		if got := programOf(&step.Actor{Place: step.Place{Compat: compat}}); got != name {
			t.Errorf("32 bits %t: got %s, want %s", compat, got, name)
		}
	}
}
