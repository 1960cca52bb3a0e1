package repro

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/count"
	"tokentest/harness/usage"
)

// kselftest is what a program in the form of the kernel's selftests has beyond the steps: tests with
// kselftest_harness.h. Cells of a matrix that differ in nothing but what is delegated, the capabilities of the call
// and its errno are variants of one test.
type kselftest struct {
	fixture string
	test    string
	facts   []fact // of the variant, in their order
	program string // with the marks for what the variants fill in
}

// fact is a member of a variant.
type fact struct{ member, c string }

// The marks of a program for its title, and for the variants.
const (
	titleMark    = "\x00title\x00"
	variantsMark = "\x00variants\x00"
)

func (k *kselftest) set(member, c string) {
	k.facts = append(k.facts, fact{member, c})
}

// Selftest is a file of tests, with all that the kernel's tree needs for it.
type Selftest struct {
	Name    string   // of the file, without .c
	Text    string   // of the C file
	Configs []string // options of the kernel's configuration
}

// Selftests writes cases as tests with kselftest_harness.h. The error lists the cases that cannot be written.
func Selftests(list []*cases.Case, facts *step.Facts) ([]Selftest, error) {
	var errs *multierror.Error
	var out []Selftest
	groups := map[string][]*writer{}
	var order []string
	for _, c := range list {
		w, err := written(c, facts, 0, true)
		if err != nil {
			errs = multierror.Append(errs, usage.Of(err))
			continue
		}
		w.kselftest.program = w.program()
		key := w.kselftest.program
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], w)
	}
	names := map[string]int{}
	for _, key := range order {
		t := selftest(groups[key])
		if names[t.Name]++; names[t.Name] > 1 {
			t.Name = fmt.Sprintf("%s_%d", t.Name, names[t.Name])
		}
		out = append(out, t)
	}
	return out, errs.ErrorOrNil()
}

// beSelftest has the program be a test.
func (w *writer) beSelftest() {
	w.kselftest = &kselftest{fixture: identifier(w.c.Group.Name), test: "steps"}
	if !w.c.Scenario() {
		w.kselftest.test = w.cell[len(w.cell)-1].Op.String()
		w.useAllCaps()
	}
}

// selftest is the file of writers that have the same program.
func selftest(same []*writer) Selftest {
	var ids [][]string
	for _, w := range same {
		ids = append(ids, strings.Split(w.c.ID, "/"))
	}
	var common []string
	for i, part := range ids[0] {
		if i == 0 || len(same) == 1 || !slices.ContainsFunc(ids, func(id []string) bool { return id[i] != part }) {
			common = append(common, part)
		}
	}
	var variants strings.Builder
	for i, w := range same {
		if len(w.kselftest.facts) > 0 {
			variants.WriteString(w.variant(ids[i], common))
		}
	}
	first := same[0]
	text := strings.Replace(first.kselftest.program, titleMark, strings.Join(common, "/"), 1)
	return Selftest{Name: strings.ToLower(identifier(strings.Join(common, "_"))), Configs: first.configs(),
		Text: failing(strings.Replace(text, variantsMark, variants.String(), 1))}
}

// variant is FIXTURE_VARIANT_ADD of a case. Its name has the parts of the case's in which it differs from the others.
func (w *writer) variant(id, common []string) string {
	var name []string
	for i, part := range id {
		if len(common) == len(id) && i > 0 || len(common) < len(id) && !slices.Contains(common, part) {
			name = append(name, part)
		}
	}
	out := fmt.Sprintf("\nFIXTURE_VARIANT_ADD(%s, %s) {\n", w.kselftest.fixture,
		strings.ToLower(identifier(strings.Join(name, "_"))))
	for _, f := range w.kselftest.facts {
		if f.c != "NULL" {
			out += fmt.Sprintf("\t.%s = %s,\n", f.member, f.c)
		}
	}
	return out + "};\n"
}

// configs are the options that the steps need.
func (w *writer) configs() []string {
	out := []string{"BPF_SYSCALL"}
	for _, n := range w.c.Needs() {
		if n.Kind == cases.NeedConfig {
			out = append(out, n.Name)
		}
	}
	actor := func(is func(*step.Actor) bool) bool {
		for i := range w.actors {
			if w.acts[i] && is(&w.actors[i]) {
				return true
			}
		}
		return false
	}
	for name, needed := range map[string]bool{
		"USER_NS":        actor(func(a *step.Actor) bool { return a.Kind == step.Userns }),
		"NET_NS":         actor(func(a *step.Actor) bool { return a.Apart&step.ApartNet != 0 }),
		"DEBUG_INFO_BTF": w.uses["btf_type"],
		"CGROUP_BPF":     slices.ContainsFunc(w.fixed, func(f fixture) bool { return f.name == cgroupFD }),
	} {
		if needed && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out[1:])
	return out
}

// isCell reports whether the step that is being written is the one that a cell of a matrix is about.
func (w *writer) isCell() bool {
	return w.kselftest != nil && !w.c.Scenario() && w.st == &w.cell[len(w.cell)-1]
}

// useAllCaps declares what any variant may name.
func (w *writer) useAllCaps() {
	w.use("ALL_CAPS", "CAP")
	for _, c := range newCaps {
		w.define(c.String(), fmt.Sprint(uint(c)))
	}
}

// variantOptions are the mount options of the bpffs that a matrix makes: a variant has its own.
func (w *writer) variantOptions() string {
	given := map[step.Key]string{}
	for _, a := range w.st.Args {
		given[a.Key] = a.Str
	}
	var out []string
	for _, k := range []step.Key{step.KeyCmds, step.KeyMaps, step.KeyProgs, step.KeyAttachs} {
		member, value := strings.TrimPrefix(k.MountOption(), "delegate_"), "NULL"
		if v, ok := given[k]; ok {
			value = fmt.Sprintf("%q", v)
		}
		w.kselftest.set(member, value)
		out = append(out, fmt.Sprintf("%q,"+glue+"variant->%s", k.MountOption(), member))
	}
	return strings.Join(out, ", ")
}

// variantErrno is the errno that the step must give, and what a test says of it.
func (w *writer) variantErrno() (want, text string) {
	if w.isCell() {
		w.kselftest.set("err", w.want)
		return "variant->err", w.st.Op.String()
	} else if w.st.Op == step.OpBPFFS {
		return w.want, w.st.Op.String()
	}
	return w.want, w.info.Text
}

// expected is a call with the errno that it must give, as EXPECT_EQ.
func (w *writer) expected(in, call string) string {
	if w.want == "-1" {
		return fill(in, call+";")
	}
	want, text := w.variantErrno()
	w.use("errno_of")
	return fill(in, fmt.Sprintf("EXPECT_EQ(%s,\nerrno_of(%s))", want, call)) + fmt.Sprintf("\n%s\tTH_LOG(%q);", in, text)
}

// selftest writes what main is of a plain program.
func (w *writer) selftest() string {
	k := w.kselftest
	body := w.prologue() + w.rootSteps.String() + w.epilogue()
	locals := w.locals
	w.locals = nil
	setup := ""
	for _, c := range w.conditions() {
		setup += fmt.Sprintf("\tif (%s)\n\t\tSKIP(return, %q);\n", c.unless, c.why)
	}
	var b strings.Builder
	self, teardown := "", ""
	if w.writesSysctl {
		self, teardown = "\tchar sysctl;\n", "\tdprintf(open(SYSCTL, O_WRONLY), \"%c\", self->sysctl);\n"
		setup += "\tASSERT_LE(0, dprintf(open(SYSCTL, O_WRONLY), \"2\"));\n"
	}
	fmt.Fprintf(&b, "\nFIXTURE(%s) {\n%s};\n", k.fixture, self)
	if len(k.facts) > 0 {
		fmt.Fprintf(&b, "\nFIXTURE_VARIANT(%s) {\n%s};\n%s", k.fixture, k.members(), variantsMark)
	}
	fmt.Fprintf(&b, "\nFIXTURE_SETUP(%s)\n{\n%s%s}\n", k.fixture, declarations(w.locals), setup)
	fmt.Fprintf(&b, "\nFIXTURE_TEARDOWN(%s)\n{\n%s}\n", k.fixture, teardown)
	if w.frame == pair {
		head := "static void as_" + identifier(w.child().Name) + "("
		fmt.Fprintf(&b, "\n%s%s)\n{\n%s%s}\n", head, k.parameters(len(head)), declarations(w.childLocals),
			w.childSteps.String())
	}
	fmt.Fprintf(&b, "\nTEST_F(%s, %s)\n{\n%s%s}\n\nTEST_HARNESS_MAIN\n", k.fixture, k.test, declarations(locals),
		strings.TrimPrefix(body, "\n"))
	return b.String()
}

// members declares the members of a variant.
func (k *kselftest) members() string {
	var out, options string
	for _, f := range k.facts {
		switch f.member {
		case "err":
			out += "\tint err;\n"
		case "caps":
			out += "\t__u64 caps;\n"
		default:
			options += ", *" + f.member
		}
	}
	if options != "" {
		out = "\tconst char " + options[2:] + ";\n" + out
	}
	return out
}

// parameters are those of a function with expectations, from a column on.
func (k *kselftest) parameters(column int) string {
	out := "struct __test_metadata *_metadata"
	if len(k.facts) > 0 {
		out += ",\n" + strings.Repeat("\t", column/8) + strings.Repeat(" ", column%8) +
			"FIXTURE_VARIANT(" + k.fixture + ") const *variant"
	}
	return out
}

// failing is a program's text in which a mistake of the set-up fails the test.
func failing(text string) string {
	return regexp.MustCompile(`\b(errx?|exit)\(4`).ReplaceAllString(text, "$1(KSFT_FAIL")
}

// fragment is the Makefile of files.
func fragment(list []Selftest) string {
	var names []string
	for i := range list {
		names = append(names, list[i].Name)
	}
	return "# SPDX-License-Identifier: GPL-2.0\nCFLAGS += -Wall -O2 $(KHDR_INCLUDES)\n\nTEST_GEN_PROGS := " +
		strings.Join(names, " \\\n\t") + "\n\ninclude ../lib.mk\n"
}

// config is the file config of files.
func config(list []Selftest) string {
	var lines []string
	for i := range list {
		for _, c := range list[i].Configs {
			lines = append(lines, "CONFIG_"+c+"=y\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "")
}

// writeSelftests writes cases in the kernel's form, the only file to out, or all into a directory.
func (c Chosen) writeSelftests(out io.Writer, list []*cases.Case) error {
	tests, errs := Selftests(list, c.Facts)
	if c.Dir == "" {
		var all *multierror.Error
		if errors.As(errs, &all) {
			return all.Errors[0]
		}
		if len(tests) != 1 {
			return usage.Errorf("write %d files: --out DIR takes them", len(tests))
		}
		_, err := io.WriteString(out, tests[0].Text)
		return err
	}
	files := map[string]string{"Makefile": fragment(tests), "config": config(tests)}
	for i := range tests {
		files[tests[i].Name+".c"] = tests[i].Text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write a selftest: %w", err)
		}
	}
	fmt.Fprintf(out, "wrote %s, a Makefile and a config to %s\n", count.Of(len(tests), "program"), c.Dir)
	return errs
}
