package library

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "want WHAT CAPS"},
		{[]string{"queue", "many"}, "start the application"},
		{[]string{"queue", "0", "more"}, "want WHAT CAPS"},
	} {
		if _, err := run(tt.args); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
	if Is() {
		t.Error("a test is no application")
	}
}

// The function has what an ext program needs: a symbol, and a global function
// in the BTF.
func TestFunction(t *testing.T) {
	insns := function()
	f := btf.FuncMetadata(&insns[0])
	if insns[0].Symbol() != "prog" || f == nil || f.Linkage != btf.GlobalFunc || insns[1].OpCode != asm.Return().OpCode {
		t.Errorf("%v, %v", insns, f)
	}
}
