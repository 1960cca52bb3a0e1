package harness_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

// joinsList returns the calls of errors.Join that get a list of errors. Such a list reaches the user, one error a line,
// and go-multierror is for that: the command prints its errors one by one. errors.Join is for the two or three results
// of one operation, such as a write and its close.
func joinsList(file *ast.File) []token.Pos {
	var out []token.Pos
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || !call.Ellipsis.IsValid() {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || f.Sel.Name != "Join" {
			return true
		}
		if of, ok := f.X.(*ast.Ident); ok && of.Name == "errors" {
			out = append(out, call.Pos())
		}
		return true
	})
	return out
}

// TestListsOfErrors finds lists of errors that are not a multierror.
func TestListsOfErrors(t *testing.T) {
	list, err := sources("..")
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		f := &list[i]
		if f.path == "harness/cmd/tokentest/cmd.go" { // takes apart what the standard library joined
			continue
		}
		for _, pos := range joinsList(f.file) {
			t.Errorf("%s: errors.Join of a list: use go-multierror", f.at(pos))
		}
	}
}

// The check can fail.
func TestListsOfErrorsCanFail(t *testing.T) {
	for text, want := range map[string]int{
		`var x = errors.Join(list...)`:  1,
		`var x = errors.Join(a, b)`:     0,
		`var x = strings.Join(list...)`: 0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+text, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(joinsList(file)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}
