package mutate

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inC writes a source file below a tree.
func inC(t *testing.T, text string) (tree, name string) {
	t.Helper()
	tree, name = t.TempDir(), "a.c"
	if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return tree, name
}

// What of a function is changed, and how the source then reads.
func TestSourceMutants(t *testing.T) {
	for _, tt := range []struct{ name, body, changes, want string }{
		{"if", "if (a) b();", "a is true; a is false", "if (MUT_IF(1, a)) b();"},
		{"operands", "if (a && (b || c) || !d) e();",
			"a is true; a is false; (b || c) is true; (b || c) is false; !d is true; !d is false",
			"if (MUT_IF(1, a) && MUT_IF(3, (b || c)) || MUT_IF(5, !d)) e();"},
		{"bits", "if (a & 1) b();", "a & 1 is true; a & 1 is false", "if (MUT_IF(1, a & 1)) b();"},
		{"a choice", "if (a || b ? c : d) e();", "a || b ? c : d is true; a || b ? c : d is false",
			"if (MUT_IF(1, a || b ? c : d)) e();"},
		{"configuration", "if (IS_ENABLED(CONFIG_A) && b) c();", "b is true; b is false",
			"if (IS_ENABLED(CONFIG_A) && MUT_IF(1, b)) c();"},
		{"errno", "return -EPERM;", "EACCES instead of EPERM", "return MUT_NOT(1, -EPERM, -EACCES);"},
		{"errno in a condition", "if (a == -EPERM) b();",
			"a == -EPERM is true; a == -EPERM is false; EACCES instead of EPERM",
			"if (MUT_IF(1, a == MUT_NOT(3, -EPERM, -EACCES))) b();"},
		{"no errno", "return -EFBIG;", "", "return -EFBIG;"},
		{"capability", "return f(a, CAP_BPF);", "the result of f is 0; the result of f is 1; CAP_PERFMON instead of CAP_BPF",
			"return MUT_CALL(1, f(a, MUT_NOT(3, CAP_BPF, CAP_PERFMON)));"},
		{"call", "err = f(a);", "the result of f is 0; the result of f is 1", "err = MUT_CALL(1, f(a));"},
		{"macro", "return F(a);", "", "return F(a);"},
		{"comparison", "return a == b;", "a == b is true; a == b is false", "return MUT_IF(1, a == b);"},
		{"a result that is chosen", "return a && b ? c : d;", "", "return a && b ? c : d;"},
		{"label", "switch (a) { case -EPERM: return CAP_BPF; }", "CAP_PERFMON instead of CAP_BPF",
			"switch (a) { case -EPERM: return MUT_NOT(1, CAP_BPF, CAP_PERFMON); }"},
		{"constant", "static int a = -EPERM;", "", "static int a = -EPERM;"},
		{"text", `f("if (a)"); /* if (b) */ c('\\0', '"');`, "", `f("if (a)"); /* if (b) */ c('\\0', '"');`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head, tail := "#include <a.h>\n#define X(a) if (a) \\\n\tb\nint g(int a)\n{\n\t", "\n}\n"
			tree, name := inC(t, head+tt.body+tail)
			ms, err := SourceMutants(tree, []string{name}, &Selection{})
			if err != nil {
				t.Fatal(err)
			}
			var changes []string
			var edits []*sourceEdit
			for _, m := range ms {
				changes = append(changes, m.Change)
				if m.Func != "g" || m.Line != 6 {
					t.Errorf("%s in %s, line %d", m.Change, m.Func, m.Line)
				}
				if m == m.edit.mutants[0] {
					edits = append(edits, m.edit)
				}
			}
			if got := strings.Join(changes, "; "); got != tt.changes {
				t.Errorf("changes %q, want %q", got, tt.changes)
			}
			f, err := readC(tree, name)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(f.changed(edits), ""); got != head+tt.want+tail {
				t.Errorf("got %s, want %s", got, head+tt.want+tail)
			}
		})
	}
}

// Functions are found with what stands around their names.
func TestSourceFunctions(t *testing.T) {
	tree, name := inC(t, `#include <a.h>
static const struct ops o = { .f = g(1), };
BTF_START(x)
__printf(1, 2) int a(const char *f, ...) { return 0; }
static struct s b(void) { return c(); }
struct s *c(void) __acquires(lock)
{ return 0; }
BPF_CALL_2(d, int, a, int, b) { return 0; }
int e(void);
`)
	f, err := readC(tree, name)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	f.functions(func(name string, from, to int, returnsStruct bool) {
		if returnsStruct {
			name += " returns a struct"
		}
		got = append(got, name)
	})
	if s := strings.Join(got, ", "); s != "a, b returns a struct, c, d" {
		t.Error(s)
	}
}

// git applies the patch, and gives the source that was meant.
func TestSwitch(t *testing.T) {
	tree, name := inC(t, "// a\n#ifdef A\n#include <c.h>\n#endif\n#include <a.h>\nint t[] = {\n#include <b.h>\n};\n"+
		strings.Repeat("\n", 20)+"int f(int a)\n{\n\tif (a)\n\t\treturn -EPERM;\n\treturn 0;\n}\n")
	ms, err := SourceMutants(tree, []string{name}, &Selection{})
	if err != nil {
		t.Fatal(err)
	}
	patch, list, err := Switch(tree, ms)
	if err != nil {
		t.Fatal(err)
	}
	if want := "1\tf:31: a is true\n2\tf:31: a is false\n3\tf:32: EACCES instead of EPERM\n"; list != want {
		t.Errorf("list %q, want %q", list, want)
	}
	c := exec.Command("git", "apply", "-")
	c.Dir, c.Stdin = tree, strings.NewReader(patch)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, patch)
	}
	text, err := os.ReadFile(filepath.Join(tree, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"#include <a.h>\n#include <linux/bpf_mutant.h>\n#include <linux/moduleparam.h>\nint bpf_mutant;",
		"if (MUT_IF(1, a))\n\t\treturn MUT_NOT(3, -EPERM, -EACCES);\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if _, err := os.Stat(filepath.Join(tree, header)); err != nil {
		t.Error(err)
	}
	if _, _, err := Switch(tree, nil); err == nil {
		t.Error("a patch without a change")
	}
}

// A survivor is said in C, as far as the line shows it.
func TestInSource(t *testing.T) {
	tree, name := inC(t, "#include <a.h>\nint f(int a)\n{\n\tif (a)\n\t\treturn -EPERM;\n\treturn g(a);\n}\n")
	for _, tt := range []struct {
		line int
		o    Operator
		want string
	}{
		{4, Always, "a is true; a is false"}, {4, Never, "a is true; a is false"}, {4, Zero, ""},
		{5, Errno, "EACCES instead of EPERM"}, {6, One, "the result of g is 1"}, {1, Always, ""},
	} {
		if got := strings.Join(inSource(tree, fmt.Sprintf("%s:%d", name, tt.line), tt.o), "; "); got != tt.want {
			t.Errorf("line %d, %s: %q, want %q", tt.line, tt.o, got, tt.want)
		}
	}
	if got := inSource("", name+":4", Always); got != nil {
		t.Errorf("without a tree: %q", got)
	}
}
