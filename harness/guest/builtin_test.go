package guest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/step"
)

// Symbols of modules are not the kernel's own, and an empty list is none.
func TestSymbolsOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kallsyms")
	text := "ffffffff81000000 T dev_get_by_name\nffffffff81000010 t other\nffffffffc0000000 t " +
		"tcp_v4_connect\t[net]\n0000000000000000 T cpu_mitigations_off\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	got := symbolsOf(path)
	if len(got) != 2 || !got["dev_get_by_name"] || !got["cpu_mitigations_off"] {
		t.Errorf("got %v", got)
	}
	if symbolsOf(path+"x") != nil {
		t.Error("a file that is not there has symbols")
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if symbolsOf(path) != nil {
		t.Error("a kernel that shows no symbol has none of them")
	}
}

// Of an option nothing is said unless what it compiles in was looked for.
func TestWhatIsBuiltIn(t *testing.T) {
	b := &kernelBTF{types: map[btfName]btfType{}}
	for _, n := range wantedNames() {
		b.types[n] = btfType{}
	}
	delete(b.types, btfName{step.KindFunc, "dev_get_by_name"})
	delete(b.types, btfName{step.KindFunc, "bpf_fentry_test1"})
	got := whatIsBuiltIn(b)
	if got.from != step.FromBTF || !slices.Contains(got.off, "NET") || slices.Contains(got.off, "INET") {
		t.Errorf("without a function: %+v", got)
	}
	if len(got.on) > 0 {
		t.Errorf("with the function of an opposite: %+v", got)
	}
	delete(b.types, btfName{step.KindFunc, "bpf_patch_call_args"})
	if on := whatIsBuiltIn(b).on; strings.Join(on, ",") != "BPF_JIT_ALWAYS_ON" {
		t.Errorf("without it: %q", on)
	}
	if strings.Join(got.typesOff, ",") != "func bpf_fentry_test1" {
		t.Errorf("types that are not there: %q", got.typesOff)
	}
}
