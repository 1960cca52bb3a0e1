package harness_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "tokentest/"

// mayImport is the table of the design: which of our packages a package may
// import. Expectations never reach the guest, and so neither cases nor the
// oracle does.
var mayImport = map[string][]string{
	"cases/uapi":        {},
	"cases/uapi/gen":    {"kconfig"},
	"cases/oracle":      {"cases/uapi"},
	"cases/step":        {"cases/uapi"},
	"cases/sim":         {"cases/oracle", "cases/step", "cases/uapi"},
	"cases":             {"cases/oracle", "cases/sim", "cases/step", "cases/uapi"},
	"cases/draw":        {"cases", "cases/oracle", "cases/sim", "cases/step", "cases/uapi"},
	"kconfig":           {},
	"images":            {"harness/child"},
	"images/init":       {"cases/step", "harness/guest", "harness/library", "harness/wire"},
	"images/init32":     {"harness/guest"},
	"images/sh":         {},
	"images/pack":       {"cases/step", "harness/wire", "images"},
	"harness/wire":      {"cases/step", "cases/uapi"},
	"harness/guest":     {"cases/step", "cases/uapi", "harness/bodies", "harness/wire"},
	"harness/bodies":    {"cases/step", "cases/uapi"},
	"harness/library":   {}, // an application: it knows nothing of us
	"harness/child":     {},
	"harness/splat":     {"harness/wire"},
	"harness/vm":        {"harness/child", "harness/splat", "harness/wire"},
	"harness/testlog":   {"harness/splat"},
	"harness/cli":       {"cases", "harness/result", "harness/runs", "harness/usage"},
	"harness/watch":     {"harness/kernel", "harness/usage"},
	"harness/receivers": {"harness/child", "harness/kernel", "harness/report", "harness/result"},
	"harness/fault":     {"cases/oracle", "harness/lab", "harness/usage"},
	"harness/oci":       {},
	"harness/cache":     {"harness/runs", "harness/usage"},
	"harness/scan":      {"harness/runs", "harness/splat", "harness/usage"},
	"harness/kernel":    {"harness/child", "harness/oci", "kconfig"},
	"harness/mutate": {"cases", "cases/uapi", "harness/cover", "harness/guestprog", "harness/lab", "harness/plan",
		"harness/result", "harness/testlog", "harness/usage", "harness/vm"},
	"harness/cover": {"cases", "cases/step", "cases/uapi", "harness/kernel", "harness/lab", "harness/plan",
		"harness/result", "harness/usage", "harness/vm"},
	"harness/bench": {"cases", "cases/step", "cases/uapi", "harness/child", "harness/lab", "harness/plan",
		"harness/report", "harness/result", "harness/vm", "harness/wire", "images"},
	"harness/repro": {"cases", "cases/sim", "cases/step", "cases/uapi", "harness/bodies", "harness/count", "harness/plan",
		"harness/report", "harness/result", "harness/runs", "harness/usage"},
	"harness/progress": {"cases", "harness/lab", "harness/result", "harness/signals"},
	"harness/guestprog": {"harness/lab", "harness/result", "harness/signals", "harness/testlog", "harness/usage",
		"harness/vm", "harness/wire", "images"},
	"harness/shrink": {"cases", "cases/draw", "cases/step", "cases/uapi", "harness/lab", "harness/plan",
		"harness/result", "harness/shell"},
	"harness/guided": {"cases", "cases/draw", "harness/count", "harness/cover", "harness/lab", "harness/plan",
		"harness/result", "harness/shrink", "harness/usage"},
	"harness/choose": {"cases", "cases/draw", "harness/kernel", "harness/plan", "harness/result", "harness/runs",
		"harness/usage", "kconfig"},
	"harness/explain": {
		"cases", "cases/oracle", "cases/sim", "cases/step", "cases/uapi", "harness/kernel", "harness/lab", "harness/plan",
		"harness/report", "harness/result", "harness/usage", "kconfig",
	},
	"harness/doctor":  {"harness/builtin", "harness/child", "harness/kernel", "harness/lab", "harness/vm", "images"},
	"harness/builtin": {"cases", "images", "kconfig", "results", "scripts"},
	"harness/bisect": {
		"cases", "cases/step", "cases/uapi", "harness/cover", "harness/kernel", "harness/lab", "harness/plan",
		"harness/report", "harness/result", "harness/runs", "harness/shell", "harness/usage", "harness/vm",
	},
	"harness/plan": {"cases", "harness/kernel", "harness/result", "harness/usage", "harness/vm"},
	"harness/result": {"cases", "cases/oracle", "cases/sim", "cases/step", "cases/uapi", "harness/splat",
		"harness/vm", "harness/wire"},
	"harness/usage":   {},
	"harness/signals": {},
	"harness/report": {"cases/step", "cases/uapi", "harness/result", "harness/shell", "harness/splat",
		"harness/vm"},
	"harness/runs": {"cases", "cases/step", "harness/report", "harness/result", "harness/shell",
		"harness/usage", "harness/vm", "kconfig"},
	"harness/farm":        {"harness/kernel", "harness/result", "harness/splat", "harness/usage"},
	"harness/farm/server": {"harness/farm", "harness/usage"},
	"harness/farm/worker": {"cases", "cases/draw", "harness/choose", "harness/farm", "harness/kernel", "harness/lab",
		"harness/mutate", "harness/plan", "harness/result", "harness/vm", "images"},
	"harness/farm/client": {"cases", "harness/child", "harness/farm", "harness/farm/server", "harness/kernel",
		"harness/lab", "harness/mutate", "harness/plan", "harness/result", "harness/signals", "harness/usage"},
	"harness/farm/start": {"harness/usage"},
	"harness/cmd/tokentest/farmcmd": {"harness/farm", "harness/farm/server", "harness/farm/start", "harness/farm/worker",
		"harness/kernel", "harness/lab", "harness/signals", "harness/usage"},
	"harness/lab":           allBut("harness/report", "harness/guest", "harness/lab"),
	"harness/cmd/tokentest": slices.Concat(allBut("harness/guest"), drivers),

	// Files for harness/builtin.
	"results":          {},
	"scripts":          {},
	"scripts/sbom":     {"images"},
	"scripts/ociimage": {},

	// For scripts/faults.sh.
	"scripts/lockup": {},

	// For scripts/repro.sh.
	"scripts/reprocheck": {"cases", "cases/step", "harness/repro", "harness/result", "harness/runs"},

	// For scripts/oci.sh.
	"scripts/registry": {},

	// For tests alone: nobody else's row names it.
	"harness/lab/labtest": {"cases", "cases/sim", "cases/step", "cases/uapi", "harness/wire"},
}

// leaves import nothing of ours and do one small thing. Every package may import them.
var leaves = []string{"harness/arch", "harness/cachedir", "harness/count", "harness/glob", "harness/listfile",
	"harness/lockfile", "harness/shell", "harness/textfile"}

// drivers are the packages between the command and the lab: one for each thing that a
// command does with machines or records. None imports another but for a reason.
var drivers = []string{"harness/doctor", "harness/explain", "harness/shrink", "harness/guestprog", "harness/progress",
	"harness/bench", "harness/bisect", "harness/builtin", "harness/cache", "harness/runs", "harness/cli", "harness/fault",
	"harness/watch", "harness/choose", "harness/scan", "harness/cover", "harness/mutate", "harness/repro", "harness/farm",
	"harness/farm/client", "harness/cmd/tokentest/farmcmd", "harness/guided", "harness/receivers"}

// allBut is every package that another could import, without some.
func allBut(but ...string) []string {
	var out []string
	for _, p := range []string{
		"cases", "cases/draw", "cases/oracle", "cases/sim", "cases/step", "cases/uapi", "kconfig", "images",
		"harness/wire", "harness/guest", "harness/splat", "harness/vm",
		"harness/kernel", "harness/plan", "harness/result", "harness/report", "harness/lab", "harness/testlog",
		"harness/child",
		"harness/usage", "harness/signals",
	} {
		if !slices.Contains(but, p) {
			out = append(out, p)
		}
	}
	return out
}

// forbidden are imports from elsewhere that a package must do without. A
// path that ends in / covers what is below it, too.
var forbidden = map[string][]string{
	"harness/plan":   {"os/exec", "time", "math/rand", "math/rand/v2"},
	"cases/oracle":   {"os", "os/exec", "time", "math/rand", "math/rand/v2", "net/"},
	"harness/guest":  {"github.com/cilium/ebpf", "github.com/cilium/ebpf/link"},
	"images":         {"github.com/cilium/ebpf", "github.com/cilium/ebpf/link"},
	"images/init":    {"cases/step", "github.com/cilium/ebpf", "github.com/cilium/ebpf/link"},
	"harness/report": {"os/exec"},
}

// source is one parsed file of ours.
type source struct {
	pkg, path string // both from the repository's root
	file      *ast.File
	fset      *token.FileSet
}

func (s *source) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(pos).Line)
}

// sources parses every Go file below root that is no test.
func sources(root string) ([]source, error) {
	var out []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		base := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && (base == "testdata" || base[0] == '.' || base[0] == '_'):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go"):
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		out = append(out, source{path.Dir(rel), rel, f, fset})
		return nil
	})
	return out, err
}

// checkImports returns what is wrong with a file's imports, each with its line.
func checkImports(s *source) []string {
	allowed, known := mayImport[s.pkg]
	if slices.Contains(leaves, s.pkg) {
		known = true
	} else {
		allowed = slices.Concat(allowed, leaves)
	}
	if !known {
		return []string{s.at(s.file.Package) + ": package " + s.pkg + " is not in the table of the design"}
	}
	var out []string
	for _, i := range s.file.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			out = append(out, s.at(i.Pos())+": "+err.Error())
			continue
		}
		if why := checkImport(s.pkg, name, allowed); why != "" {
			out = append(out, s.at(i.Pos())+": "+why)
		}
	}
	return out
}

func checkImport(pkg, name string, allowed []string) string {
	if own, ok := strings.CutPrefix(name, module); ok {
		if !slices.Contains(allowed, own) {
			return fmt.Sprintf("%s may not import %s (it may import %s)", pkg, name, strings.Join(allowed, ", "))
		}
		return ""
	}
	for _, f := range forbidden[pkg] {
		if name == f || strings.HasSuffix(f, "/") && (strings.HasPrefix(name, f) || name+"/" == f) {
			return fmt.Sprintf("%s may not import %s", pkg, name)
		}
	}
	return ""
}

// checkExits returns every call that ends the process outside a main.go.
func checkExits(s *source) []string {
	if path.Base(s.path) == "main.go" {
		return nil
	}
	var out []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if ok && (x.Name == "os" && sel.Sel.Name == "Exit" || x.Name == "log" && strings.HasPrefix(sel.Sel.Name, "Fatal")) {
			out = append(out, fmt.Sprintf("%s: %s.%s outside main.go: return an error", s.at(sel.Pos()), x.Name, sel.Sel.Name))
		}
		return true
	})
	return out
}

// checkChildren finds programs that could outlive this one. What stands in for
// other programs in tests, and what runs in a machine, is not meant.
func checkChildren(s *source) []string {
	if !strings.HasPrefix(s.pkg, "harness/") && s.pkg != "images" ||
		slices.Contains([]string{"harness/child", "harness/guest", "harness/lab/labtest"}, s.pkg) {
		return nil
	}
	var out []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == "exec" && strings.HasPrefix(sel.Sel.Name, "Command") &&
			s.path != "harness/vm/process.go" {
			out = append(out, fmt.Sprintf("%s: exec.%s: a program of harness/child ends with us", s.at(sel.Pos()), sel.Sel.Name))
		}
		return true
	})
	return out
}

// TestImports enforces the design's import table. It parses the files itself:
// a test that runs go list gets its own stale result from the cache.
func TestImports(t *testing.T) {
	all, err := sources("..")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range all {
		s := &all[i]
		seen[s.pkg] = true
		for _, why := range slices.Concat(checkImports(s), checkExits(s), checkChildren(s)) {
			t.Error(why)
		}
	}
	for _, p := range []string{"cases", "cases/oracle", "harness/guest", "harness/plan", "images", "images/init"} {
		if !seen[p] {
			t.Errorf("no file of %s was found: the test looks in the wrong place", p)
		}
	}
}

// importRow is a row of the table in README.md.
func importRow(pkg string) string {
	var list []string
	for _, p := range slices.Sorted(slices.Values(mayImport[pkg])) {
		list = append(list, "`"+p+"`")
	}
	return fmt.Sprintf("| `%s` | %s |", pkg, cmp.Or(strings.Join(list, ", "), "nothing"))
}

// README.md has the same table, a row a package.
func TestImportTableInReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "| package | may import |\n| --- | --- |\n")
	if !ok {
		t.Fatal("README.md has no table of imports")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for _, leaf := range leaves {
		if !strings.Contains(string(text), "`"+leaf+"`") {
			t.Errorf("README.md does not name the leaf %s", leaf)
		}
	}
	got := strings.Split(strings.TrimSpace(table), "\n")
	var want []string
	for _, pkg := range slices.Sorted(maps.Keys(mayImport)) {
		want = append(want, importRow(pkg))
	}
	if !slices.Equal(got, want) {
		t.Errorf("README.md has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// checkComment says what is wrong with the comment of a package, "" for nothing: it
// must say what the package is, and where to start.
func checkComment(pkg, text string) string {
	text = strings.Join(strings.Fields(text), " ")
	switch {
	case text == "":
		return pkg + ": no package comment"
	case !strings.Contains(strings.ToLower(text), "start with "):
		return pkg + ": the package comment does not say where to start; add a sentence \"Start with ...\""
	}
	return ""
}

// Every package has a comment, in one of its files.
func TestPackageComments(t *testing.T) {
	all, err := sources("..")
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string][]string{}
	for i := range all {
		s := &all[i]
		if comments[s.pkg] == nil {
			comments[s.pkg] = []string{}
		}
		if text := s.file.Doc.Text(); text != "" {
			comments[s.pkg] = append(comments[s.pkg], text)
		}
	}
	for pkg, list := range comments {
		if len(list) > 1 {
			t.Errorf("%s: %d files have a package comment", pkg, len(list))
		}
		if why := checkComment(pkg, strings.Join(list, " ")); why != "" {
			t.Error(why)
		}
	}
}

// A comment that is missing or that gives no start is an error.
func TestPackageCommentsCanFail(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                       true,
		"Package x is a thing.\n":                true,
		"Package x is a thing.\nStart\nwith Y.":  false,
		"Gen writes. To run it, start with make": false,
	} {
		if got := checkComment("x", text) != ""; got != want {
			t.Errorf("%q: wrong %t, want %t", text, got, want)
		}
	}
}

// Go sources live in the folders of the design, none beside them.
func TestTopLevel(t *testing.T) {
	files, err := filepath.Glob("../*.go")
	if err != nil || len(files) != 0 {
		t.Errorf("Go files at the top: %q, %v", files, err)
	}
}

// The checks can fail: each mistake is told with its line.
func TestImportsCanFail(t *testing.T) {
	for _, tt := range []struct{ pkg, name, imports, body, want string }{
		{"harness/guest", "x.go", `import "tokentest/cases"`, "",
			"harness/guest/x.go:3: harness/guest may not import tokentest/cases "},
		{"harness/guest", "x.go", "import (\n\t\"os\"\n\n\t\"tokentest/cases/oracle\"\n)", "",
			"x.go:6: harness/guest may not import tokentest/cases/oracle"},
		{"harness/guest", "x.go", `import "github.com/cilium/ebpf"`, "",
			"x.go:3: harness/guest may not import github.com/cilium/ebpf"},
		{"harness/guest", "x.go", `import _ "github.com/cilium/ebpf/asm"`, "", ""},
		{"images/init", "main.go", `import "tokentest/harness/guest"`, "func f() { os.Exit(1) }", ""},
		{"cases/step", "x.go", `import "tokentest/cases/oracle"`, "", "x.go:3: cases/step may not import"},
		{"cases/sim", "x.go", `import "tokentest/cases"`, "", "x.go:3: cases/sim may not import"},
		{"cases", "x.go", `import "tokentest/cases/draw"`, "", "x.go:3: cases may not import"},
		{"cases/uapi", "x.go", `import u "tokentest/cases/step"`, "", "x.go:3: cases/uapi may not import"},
		{"cases/oracle", "x.go", `import "os"`, "", "x.go:3: cases/oracle may not import os"},
		{"cases/oracle", "x.go", `import "net/http"`, "", "x.go:3: cases/oracle may not import net/http"},
		{"harness/plan", "x.go", `import "time"`, "", "x.go:3: harness/plan may not import time"},
		{"harness/lab", "x.go", `import "tokentest/harness/guest"`, "", "x.go:3: harness/lab may not import"},
		{"harness/lab", "x.go", `import "tokentest/harness/report"`, "", "x.go:3: harness/lab may not import"},
		{"harness/cmd/tokentest", "x.go", `import "tokentest/harness/report"`, "", ""},
		{"harness/cmd/tokentest", "x.go", `import "tokentest/harness/guest"`, "",
			"x.go:3: harness/cmd/tokentest may not import"},
		{"cases/uapi", "x.go", `import "tokentest/harness/glob"`, "", ""},
		{"harness/glob", "x.go", `import "tokentest/harness/shell"`, "", "x.go:3: harness/glob may not import"},
		{"harness/util", "x.go", "", "", "harness/util/x.go:1: package harness/util is not in the table"},
		{"harness/report", "x.go", `import "os/exec"`, "", "x.go:3: harness/report may not import os/exec"},
		{"kconfig", "x.go", "", "func f() { os.Exit(1) }", "x.go:5: os.Exit outside main.go"},
		{"kconfig", "x.go", "", "func f() { log.Fatalf(\"\") }", "x.go:5: log.Fatalf outside main.go"},
		{"kconfig", "x.go", "", "var f = os.Exit", "x.go:5: os.Exit outside main.go"},
		{"harness/lab", "x.go", `import "os/exec"`, `var f = exec.Command("x")`,
			"x.go:5: exec.Command: a program of harness/child"},
		{"images", "x.go", `import "os/exec"`, `var f = exec.CommandContext`,
			"x.go:5: exec.CommandContext: a program of harness/child"},
		{"harness/guest", "x.go", `import "os/exec"`, `var f = exec.Command("x")`, ""},
		{"kconfig", "x_test.go", `import "tokentest/cases"`, "", ""},
		{"kconfig/testdata", "x.go", `import "tokentest/cases"`, "", ""},
	} {
		root := t.TempDir()
		dir := filepath.Join(root, filepath.FromSlash(tt.pkg))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		text := "package x\n\n" + tt.imports + "\n\n" + tt.body + "\n"
		if err := os.WriteFile(filepath.Join(dir, tt.name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		all, err := sources(root)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range all {
			got = append(got, slices.Concat(checkImports(&all[i]), checkExits(&all[i]), checkChildren(&all[i]))...)
		}
		if (tt.want == "") != (len(got) == 0) || tt.want != "" && !strings.Contains(strings.Join(got, "\n"), tt.want) {
			t.Errorf("%s with %q %q: %q, want %q", tt.pkg, tt.imports, tt.body, got, tt.want)
		}
	}
}
