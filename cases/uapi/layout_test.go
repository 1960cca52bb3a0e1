package uapi

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// generated reads the members and the sizes that zlayout.go has.
func generated(t *testing.T) map[string]Field {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "zlayout.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	number := func(e ast.Expr) uint16 {
		n, err := strconv.ParseUint(e.(*ast.BasicLit).Value, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		return uint16(n)
	}
	out := map[string]Field{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		name := v.Names[0].Name
		if size, ok := v.Values[0].(*ast.BasicLit); ok {
			out[strings.TrimSuffix(name, "Size")+"_-"] = Field{0, number(size)}
			return true
		}
		e := v.Values[0].(*ast.CompositeLit).Elts
		out[name] = Field{number(e[0]), number(e[1])}
		return true
	})
	return out
}

// kernelLayout reads where the BTF of a kernel has the members.
func kernelLayout(t *testing.T) map[string]Field {
	t.Helper()
	f, err := os.Open("testdata/layout.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]Field{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		var structure, name string
		var at Field
		if _, err := fmt.Sscanf(s.Text(), "%s\t%s\t%d\t%d", &structure, &name, &at.Off, &at.Size); err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		out[structure+"_"+strings.ReplaceAll(name, ".", "_")] = at
	}
	return out
}

// differences says where two layouts have something in different places, or one of them alone.
func differences(a, b map[string]Field) []string {
	var out []string
	for name, at := range a {
		if b[name] != at {
			out = append(out, fmt.Sprintf("%s: %v and %v", name, at, b[name]))
		}
	}
	for name, at := range b {
		if _, ok := a[name]; !ok {
			out = append(out, fmt.Sprintf("%s: nowhere and %v", name, at))
		}
	}
	return out
}

// The header and the compiler agree: every member stands where the BTF of a
// packaged kernel has it, and each structure is as large.
func TestLayout(t *testing.T) {
	header, kernel := generated(t), kernelLayout(t)
	for _, d := range differences(header, kernel) {
		t.Error(d)
	}
	if len(kernel) < 300 || kernel["Attr_-"].Size != AttrSize {
		t.Errorf("%d members; union bpf_attr has %d bytes", len(kernel), kernel["Attr_-"].Size)
	}
	for _, name := range []string{
		"Attr_map_token_fd", "Attr_prog_token_fd", "Attr_btf_token_fd", "Attr_fd_by_id_token_fd",
	} {
		if kernel[name].Size != 4 {
			t.Errorf("%s: %v", name, kernel[name])
		}
	}
}

// A member that is elsewhere, larger, missing or added is noticed.
func TestLayoutCanFail(t *testing.T) {
	for name, spoil := range map[string]func(m map[string]Field){
		"elsewhere": func(m map[string]Field) { m["Attr_map_token_fd"] = Field{72, 4} },
		"larger":    func(m map[string]Field) { m["Attr_map_token_fd"] = Field{76, 8} },
		"missing":   func(m map[string]Field) { delete(m, "Attr_map_token_fd") },
		"added":     func(m map[string]Field) { m["Attr_new"] = Field{160, 8} },
		"grown":     func(m map[string]Field) { m["Attr_-"] = Field{0, 176} },
	} {
		m := generated(t)
		spoil(m)
		if len(differences(m, kernelLayout(t))) == 0 {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
}
