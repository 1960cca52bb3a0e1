package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An address that is stored as a number must be of memory on the heap, which attr.ptr and point see to: a stack moves.
func TestStoredAddressesEscape(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		stores := strings.Contains(string(text), "uint64(uintptr(")
		found = found || stores && name == "bpf.go"
		if stores && name != "bpf.go" && !strings.HasSuffix(name, "_test.go") {
			t.Errorf("%s stores an address as a number: use attr.ptr or point", name)
		}
	}
	if !found {
		t.Error("bpf.go stores no address: the test looks for something else")
	}
}
