package harness_test

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/arch"
)

// exception is a file that a check leaves out, or those whose paths begin so.
type exception struct{ name, why string }

// mayName are the sources that may name an architecture although harness/arch has the table: a directory or a file
// whose name begins so, and why.
var mayName = []exception{
	{"harness/cover/", "it reads machine code, with x86asm"},
	{"harness/mutate/", "it changes machine code, with x86asm"},
	{"harness/cli/stdout", "its entry point is in the assembler"},
	{"harness/guest/clone", "the compiler chooses the file: the order of clone's arguments"},
	{"harness/guest/compat_", "the compiler chooses the file: a system call in the assembler"},
	{"harness/vm/tsc", "the compiler chooses the file: an instruction in the assembler"},
	{"harness/splat/frames.go", "the names of functions of kernels"},
	{"kconfig/xz.go", "x86 is the name of a filter of the xz format"},
	{"harness/cmd/tokentest/explain.go", "an example of a command"},
	{"harness/plan/keys.go", "an example of a line of tokentest.toml"},
}

// archName matches every name that the table has, and of architectures that it could get.
var archName = func() *regexp.Regexp {
	names := []string{"i?[3-6]86", "loong(arch)?64", "armhf", "powerpc\\w*", "mips\\w*", "sparc\\w*"}
	for _, a := range arch.All {
		for _, name := range slices.Concat(a.Aliases, []string{a.Name, a.GOARCH, a.Machine, a.Linux, a.Dir, a.Config}) {
			names = append(names, regexp.QuoteMeta(name))
		}
	}
	return regexp.MustCompile(`(?i)(^|[^a-z0-9])(` + strings.Join(names, "|") + `)($|[^a-z0-9])`)
}()

// namesIn lists what of a file names an architecture: its own name, its build constraint, its literals and identifiers.
// Comments may: they name the kernel's files.
func namesIn(name string, file *ast.File) []string {
	var out []string
	says := func(text string) {
		if archName.MatchString(splitWords(text)) {
			out = append(out, text)
		}
	}
	says(strings.TrimSuffix(name[strings.LastIndex(name, "/")+1:], ".go"))
	for _, group := range file.Comments {
		for _, c := range group.List {
			if constraint.IsGoBuild(c.Text) {
				says(c.Text)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				says(n.Value)
			}
		case *ast.Ident:
			says(n.Name)
		}
		return true
	})
	return out
}

// capital begins a word of an identifier such as inspectS390.
var capital = regexp.MustCompile(`([a-z])([A-Z])`)

func splitWords(text string) string {
	return capital.ReplaceAllString(strings.ReplaceAll(text, "_", " "), "$1 $2")
}

// Everything in which architectures differ is in the table of harness/arch: adding one is a row there.
func TestOnlyTheTableNamesArchitectures(t *testing.T) {
	all, err := sources("..")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for i := range all {
		found := namesIn(all[i].path, all[i].file)
		if len(found) == 0 || all[i].pkg == "harness/arch" {
			continue
		}
		e := slices.IndexFunc(mayName, func(e exception) bool { return strings.HasPrefix(all[i].path, e.name) })
		if e >= 0 {
			used[mayName[e].name] = true
			continue
		}
		t.Errorf("%s names an architecture: %q belongs into the table of harness/arch", all[i].path, found)
	}
	for _, e := range mayName {
		if !used[e.name] {
			t.Errorf("no file %s* names an architecture any more: remove the exception", e.name)
		}
	}
}

// The search finds what it is for.
func TestArchNamesAreFound(t *testing.T) {
	for text, want := range map[string]int{
		`package p; var x = "qemu-system-x86_64"`: 1, `package p; func inspectS390() {}`: 1,
		`package p; var x = "arch/x86/boot"`: 1,
		"//go:build !arm64\n\npackage p":     1, `package p; import "golang.org/x/arch/x86/x86asm"`: 1,
		"package p\n\n// arch/x86/kernel/tsc.c\nvar charmed = \"alarm64s\"": 0, `package p; var x = "powerpc64le-64k"`: 1,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if got := namesIn("p/p.go", file); len(got) != want {
			t.Errorf("%s: got %q, want %d names", text, got, want)
		}
	}
	if got := namesIn("p/p_riscv64.go", &ast.File{Name: ast.NewIdent("p")}); len(got) != 1 {
		t.Errorf("the name of a file: got %q", got)
	}
}
