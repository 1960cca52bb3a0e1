package images

import (
	"go/parser"
	"go/token"
	"os/exec"
	"slices"
	"strconv"
	"testing"
)

// Tidying the module must not take away what the shell is made of: each command
// is imported, and each of its dependencies is in go.sum.
func TestShellDependencies(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "tools.go", nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var imported, wanted []string
	for _, i := range f.Imports {
		path, _ := strconv.Unquote(i.Path.Value) // it was parsed
		imported = append(imported, path)
	}
	for _, c := range commands {
		wanted = append(wanted, commandRoot+c)
	}
	slices.Sort(wanted)
	if !slices.Equal(imported, wanted) {
		t.Errorf("tools.go imports %q, want %q", imported, wanted)
	}
	cmd := exec.Command("go", append([]string{"list", "-mod=readonly", "-deps"}, wanted...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
