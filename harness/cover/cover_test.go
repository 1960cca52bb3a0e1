package cover

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The code is read from the debug information that a compiler wrote: here Go's.
func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-o", file, ".")
	cmd.Dir = "testdata/program"
	cmd.Env = append(os.Environ(), "GOARCH=amd64", "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c, err := Load(file, []string{"main"})
	if err != nil {
		t.Fatal(err)
	}
	var asked *Func
	for i, f := range c.Units[0].Funcs {
		if f.Name == "main.asked" {
			asked = &c.Units[0].Funcs[i]
		}
	}
	if asked == nil {
		t.Fatalf("no function asked in %+v", c.Units[0].Name)
	}
	lines, inlined, jumps := map[int]bool{}, false, 0
	for _, i := range asked.Insns {
		if strings.HasSuffix(i.File, "main.go") {
			lines[i.Line] = true
		}
		inlined = inlined || i.In == "main.half" && i.CallLine == 19
		if i.Conditional() {
			jumps++
		}
	}
	if !lines[18] || !lines[21] || !inlined || jumps == 0 {
		t.Errorf("lines %v, inlined %v, %d jumps", lines, inlined, jumps)
	}
	last := asked.Insns[len(asked.Insns)-1]
	if last.Next() != asked.To {
		t.Errorf("the last instruction ends at %#x, the function at %#x", last.Next(), asked.To)
	}
	_, err = Load(file, []string{"no/*.c"})
	if err == nil || !strings.Contains(err.Error(), "no source file like no/*.c") {
		t.Errorf("got %v", err)
	}
	stripped := exec.Command("go", "build", "-ldflags=-w", "-o", file, ".")
	stripped.Dir, stripped.Env = cmd.Dir, cmd.Env
	if out, err := stripped.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := Load(file, Chosen); !errors.Is(err, ErrNoLines) {
		t.Errorf("got %v", err)
	}
}

// What the cache keeps is what was read.
func TestKeep(t *testing.T) {
	k := asking()
	path := filepath.Join(t.TempDir(), "symbols", "x")
	if err := keep(path, k); err != nil {
		t.Fatal(err)
	}
	got := recall[kept](path)
	if got == nil || got.BuildID != k.BuildID || len(got.code().gates()) != len(k.code().gates()) {
		t.Errorf("got %+v", got)
	}
	if got.only([]string{"kernel/bpf/token.c"}) || !k.only([]string{"kernel/bpf/syscall.c"}) {
		t.Error("a unit that is not kept was found, or one that is was not")
	}
	if err := os.WriteFile(path, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if recall[kept](path) != nil || recall[kept](path+"no") != nil {
		t.Error("a damaged entry was taken")
	}
}

// asking is the code of a function __sys_bpf with three questions:
//
//	1000  mov $39,%edi     line 1
//	1005  call 2000        capable
//	100a  test %al,%al
//	100c  je 101a
//	100e  call 3000        line 2, security_bpf
//	1013  test %eax,%eax
//	1015  js 101a
//	1017  xor %eax,%eax    line 3
//	1019  ret
//	101a  cmpb $0,0x65f(%rdi)   line 4, env->bpf_capable
//	1021  jne 1017
//	1023  ret
func asking() *kept {
	text := []byte{
		0xbf, 39, 0, 0, 0, 0xe8, 0xf6, 0x0f, 0, 0, 0x84, 0xc0, 0x74, 0x0c,
		0xe8, 0xed, 0x1f, 0, 0, 0x85, 0xc0, 0x78, 0x03, 0x31, 0xc0, 0xc3,
		0x80, 0xbf, 0x5f, 0x06, 0, 0, 0, 0x75, 0xf4, 0xc3,
	}
	return &kept{
		BuildID: "id",
		Names:   map[uint64]string{0x2000: "capable", 0x3000: "security_bpf"},
		Fields:  map[int64]string{0x65f: "bpf_capable"},
		Units: []keptUnit{{
			Name:  "kernel/bpf/syscall.c",
			Funcs: []keptFunc{{"__sys_bpf", 0x1000, text}},
			Rows: []row{{0x1000, "a.c", 1}, {0x100e, "a.c", 2}, {0x1017, "a.c", 3}, {0x101a, "a.c", 4},
				{Addr: 0x1024}},
			Inlined: []inline{{0x101a, 0x1024, "outer", "b.c", 9}, {0x101a, 0x1021, "inner", "c.c", 8}},
		}},
	}
}

// A question is found with its capability, its line and both sides of its branch.
func TestGates(t *testing.T) {
	var got []Gate
	for _, g := range asking().code().gates() {
		got = append(got, *g)
	}
	want := []Gate{
		{Func: "__sys_bpf", File: "a.c", Line: 1, Asks: "capable(CAP_BPF)", Branches: true, addr: 0x1005, allow: 0x100e,
			refuse: 0x101a},
		{Func: "__sys_bpf", File: "a.c", Line: 2, Asks: "security_bpf()", Branches: true, addr: 0x100e, allow: 0x1017,
			refuse: 0x101a},
		{Func: "__sys_bpf", In: "inner", File: "b.c", Line: 9, Asks: "env->bpf_capable", Branches: true, addr: 0x101a,
			allow: 0x1017, refuse: 0x1023},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	numbers := asking()
	numbers.Units[0].Inlined[1].Name = precision[0]
	if got := numbers.code().gates(); len(got) != len(want)-1 {
		t.Errorf("%d checks, want %d: %s permits nothing", len(got), len(want)-1, precision[0])
	}
}

// A jump belongs to a question only if it looks at the answer.
func TestBranch(t *testing.T) {
	for _, tt := range []struct {
		name string
		text []byte
		want bool
	}{
		{"test al", []byte{0xe8, 0, 0, 0, 0, 0x84, 0xc0, 0x74, 0}, true},
		{"copied", []byte{0xe8, 0, 0, 0, 0, 0x89, 0xc3, 0x85, 0xdb, 0x74, 0}, true},       // mov eax,ebx; test ebx,ebx
		{"overwritten", []byte{0xe8, 0, 0, 0, 0, 0x89, 0xd8, 0x85, 0xc0, 0x74, 0}, false}, // mov ebx,eax; test eax,eax
		{"another", []byte{0xe8, 0, 0, 0, 0, 0x83, 0xfb, 1, 0x74, 0}, false},              // cmp $1,ebx
		{"after another", []byte{0xe8, 0, 0, 0, 0, 0x84, 0xc0, 0x83, 0xfb, 1, 0x74, 0}, false},
		{"in memory", []byte{0x80, 0xbf, 0x5f, 6, 0, 0, 0, 0x74, 0}, true},
		{"in memory, another", []byte{0x80, 0xbf, 0x5f, 6, 0, 0, 0, 0x83, 0xfb, 1, 0x74, 0}, false},
		{"load", []byte{0x0f, 0xb6, 0x87, 0x5f, 6, 0, 0, 0x84, 0xc0, 0x74, 0}, true}, // movzbl; test al,al
		{"load of another", []byte{0x0f, 0xb6, 0x8f, 0x5f, 6, 0, 0, 0x84, 0xc0, 0x74, 0}, false},
	} {
		k := asking()
		k.Units[0].Funcs[0].Text = tt.text
		f := k.code().Units[0].Funcs[0]
		if got := f.branch(0) != nil; got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// executed is a log of QEMU with blocks, as -d in_asm writes it.
func executed(t *testing.T, addresses ...string) Executed {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("----------------\nIN: __sys_bpf\n")
	for _, a := range addresses {
		b.WriteString("0x" + a + ":  c3                       retq     \n")
	}
	x := Executed{}
	if err := x.Read(&b); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestMeasure(t *testing.T) {
	c := asking().code()
	x := executed(t, "1000", "1005", "100a", "100c", "100e", "1013", "1015", "1017", "1019")
	if err := c.Check(x); err != nil {
		t.Error(err)
	}
	r := c.Measure(x)
	var how []string
	for _, g := range r.Gates {
		how = append(how, g.How())
	}
	if want := []string{onlyAllowed, onlyAllowed, neverRun}; !slices.Equal(how, want) {
		t.Errorf("got %q, want %q", how, want)
	}
	u := r.Units[0]
	if u.Functions != (Count{1, 1}) || u.Lines != (Count{3, 5}) || u.Sides != (Count{2, 6}) {
		t.Errorf("got %+v", u)
	}
	if f := u.Funcs[0]; !slices.Equal(f.Missed, []string{"a.c:4", "b.c:9"}) {
		t.Errorf("missed %q", f.Missed)
	}
	for _, at := range []uint64{0x101a, 0x1021, 0x1023} {
		x[at] = struct{}{}
	}
	r = c.Measure(x)
	for _, g := range r.Gates {
		if !g.Both() {
			t.Errorf("%s at %#x: %s", g.Asks, g.addr, g.How())
		}
	}
}

// A log of another kernel is refused.
func TestCheck(t *testing.T) {
	if err := asking().code().Check(executed(t, "ffff1000")); !errors.Is(err, ErrTrace) {
		t.Errorf("got %v", err)
	}
	other := asking()
	other.Units[0].Funcs[0].Name = "bpf_token_create"
	if err := other.code().Check(executed(t, "ffff1000")); !errors.Is(err, ErrTrace) {
		t.Errorf("got %v", err)
	}
	if err := other.code().Check(executed(t, "1000")); err != nil {
		t.Errorf("got %v", err)
	}
	if err := (Executed{}).Read(strings.NewReader("0xzz: c3\n")); err == nil {
		t.Error("a damaged line was taken")
	}
}

// Ranges that are close to each other are joined.
func TestRanges(t *testing.T) {
	c := &Code{Units: []Unit{{Funcs: []Func{{From: 0x9000, To: 0x9100}, {From: 0x1000, To: 0x1100}}},
		{Funcs: []Func{{From: 0x1200, To: 0x1300}}}}}
	got := c.Ranges()
	if len(got) != 2 || got[0].From != 0x1000 || got[0].To != 0x1300 || got[1].From != 0x9000 {
		t.Errorf("got %x", got)
	}
}

func TestWrite(t *testing.T) {
	r := asking().code().Measure(executed(t, "1000", "1005", "100a", "100c", "100e", "1013", "1015", "1017", "1019"))
	r.Kernel, r.Release, r.Cases = "deb:6.12", "6.12.1", 7
	var out bytes.Buffer
	if err := r.Write(&out, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"deb:6.12 (6.12.1): what 7 cases execute\n", "kernel/bpf/syscall.c  1 of 1 (100 %)  3 of 5 (60 %)  2 of 6 (33 %)\n",
		"permission checks executed both ways: 0 of 3 (0 %)\n", "never          b.c:9  __sys_bpf (inner)  env->bpf_capable\n",
		"never refused  a.c:1  __sys_bpf          capable(CAP_BPF)\n", "  __sys_bpf: a.c:4; b.c:9\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}

// A jump to the stack protector's report is one, whatever comes before the call; another jump is none.
func TestToBroken(t *testing.T) {
	for _, tt := range []struct {
		name string
		want bool
	}{{"__stack_chk_fail", true}, {"__ubsan_handle_out_of_bounds", true}, {"capable", false}, {"", false}} {
		k := &kept{Names: map[uint64]string{0x2000: tt.name}, Units: []keptUnit{
			{Name: "a.c", Funcs: []keptFunc{{"f", 0x1000, []byte{0x75, 0x0e, 0xc3}}}},
			{Name: "b.c", Funcs: []keptFunc{{"f.cold", 0x1010, []byte{0xbf, 1, 0, 0, 0, 0xe8, 0xe6, 0x0f, 0, 0}}}},
		}}
		f := &k.code().Units[0].Funcs[0]
		if got := f.ToBroken(&f.Insns[0]); got != tt.want {
			t.Errorf("%q: got %v", tt.name, got)
		}
	}
}

func TestByLine(t *testing.T) {
	list := []string{"b.c:2", "a.c:100", "a.c:20", "a.c:3", "a.c:21"}
	slices.SortFunc(list, byLine)
	if want := []string{"a.c:3", "a.c:20", "a.c:21", "a.c:100", "b.c:2"}; !slices.Equal(list, want) {
		t.Errorf("got %q", list)
	}
}

// The page shows each permission check and, with a tree, each line as it was executed.
func TestHTML(t *testing.T) {
	tree := t.TempDir()
	if err := os.MkdirAll(filepath.Join(tree, "kernel/bpf"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "int f(void)\n{\n\tif (a < b)\n\t\tg();\n\th();\n}\n"
	if err := os.WriteFile(filepath.Join(tree, "kernel/bpf/a.c"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	u := &UnitReport{Unit: "kernel/bpf/a.c", Lines: Count{2, 3}, Funcs: []*FuncReport{{Func: "f", Executed: true,
		Missed: []string{"kernel/bpf/a.c:5"}}}, at: map[string]*lineReport{
		"kernel/bpf/a.c:3": {executed: true, sides: Count{1, 2}}, "kernel/bpf/a.c:4": {executed: true},
		"kernel/bpf/a.c:5": {}}}
	r := &Report{Kernel: "deb:6.12", Release: "6.12.1", Cases: 7, Units: []*UnitReport{u}, Gates: []*Gate{
		{Func: "f", File: "kernel/bpf/a.c", Line: 3, Asks: "capable(CAP_BPF)", Executed: true, Branches: true, Allowed: true},
		{Func: "g", File: "kernel/bpf/a.c", Line: 9, Asks: "capable(CAP_PERFMON)", Reason: "it is <old>"}}}
	var out bytes.Buffer
	if err := r.Print(&out, HTML, false, tree); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<span id="kernel/bpf/a.c:3" data-n="3" class="part">	if (a &lt; b)</span>`,
		`<span id="kernel/bpf/a.c:4" data-n="4" class="hit">		g();</span>`,
		`<span id="kernel/bpf/a.c:5" data-n="5" class="miss">	h();</span>`, `<span data-n="2">{</span>`,
		`<tr class="part"><td>never refused<td><code>capable(CAP_BPF)</code>`, "it is &lt;old&gt;", "<td>2 of 3 (66 %)",
		`">kernel/bpf/a.c:3</a>`, "0 of 2 (0 %) executed both ways",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, &out)
		}
	}
	err := r.Print(&out, HTML, false, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "it has no kernel/bpf/a.c") {
		t.Errorf("a tree without the file: %v", err)
	}
	if err := r.Print(&out, Pretty, false, tree); err == nil {
		t.Error("--source was ignored")
	}
}
