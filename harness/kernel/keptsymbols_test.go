package kernel

import (
	"fmt"
	"os"
	"testing"
)

// The last builds keep their ELF files. Older builds lose them and otherwise still work.
func TestBuildKeepsSymbols(t *testing.T) {
	w := newYard(t)
	var built []*Kernel
	for i := range keptSymbols + 2 {
		w.write(fmt.Sprintf("int v%d;\n", i))
		w.git("commit", "-q", "-a", "-m", "next")
		k, err := w.resolve("git:" + w.tree)
		if err != nil {
			t.Fatal(err)
		}
		built = append(built, k)
	}
	for i, k := range built {
		want := fmt.Sprintf("int v%d;\n", i)
		if i < len(built)-keptSymbols {
			want = ""
		}
		if got, _ := os.ReadFile(k.Vmlinux()); string(got) != want {
			t.Errorf("build %d has the ELF file %q, want %q", i, got, want)
		}
	}
	w.git("checkout", "-q", "HEAD~5")
	if _, err := w.resolve("git:" + w.tree); err != nil || !w.heard("is built already") {
		t.Errorf("a build without its ELF file: %v, %q", err, w.said)
	}
}
