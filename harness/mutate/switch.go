package mutate

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
	"github.com/google/renameio/v2"

	"tokentest/harness/usage"
)

// header is the file that the patch adds.
const header = "include/linux/bpf_mutant.h"

const headerText = `/* SPDX-License-Identifier: GPL-2.0 */
/* A kernel that decides wrongly on purpose: bpf_mutant=N on the command line
 * chooses what.
 */
#ifndef _LINUX_BPF_MUTANT_H
#define _LINUX_BPF_MUTANT_H
#include <linux/compiler.h>
extern int bpf_mutant;
#define MUT(n) unlikely(READ_ONCE(bpf_mutant) == (n))
/* n makes a condition true, n + 1 makes it false */
#define MUT_IF(n, ...) ({ bool mut_ = !!(__VA_ARGS__); MUT(n) || (mut_ && !MUT((n) + 1)); })
/* n makes the result of a call 0, n + 1 makes it 1; then it is not made */
#define MUT_CALL(n, ...) ((typeof(__VA_ARGS__))(MUT(n) ? (typeof(__VA_ARGS__))0 : \
	MUT((n) + 1) ? (typeof(__VA_ARGS__))1 : (__VA_ARGS__)))
#define MUT_NOT(n, was, is) (MUT(n) ? (is) : (was))
#endif
`

// definition follows the includes of the first file that the patch changes.
const definition = `#include <linux/moduleparam.h>
int bpf_mutant;
core_param(bpf_mutant, bpf_mutant, int, 0444);
`

// WriteSwitch writes what Switch returns to a file, and to that name with .txt the list. units are patterns of source
// files in the kernel's tree.
func WriteSwitch(tree, file string, units []string, s *Selection, note func(format string, args ...any)) error {
	if tree == "" {
		return usage.Errorf("--source-patch needs the kernel's tree: give --source DIR")
	}
	var files []string
	for _, u := range units {
		list, err := filepath.Glob(filepath.Join(tree, u))
		if err != nil || len(list) == 0 {
			return usage.Errorf("--unit %s: no source file of %s is called so", u, tree)
		}
		for _, name := range list {
			rel, err := filepath.Rel(tree, name)
			if err != nil {
				return fmt.Errorf("name a source file: %w", err)
			}
			files = append(files, rel)
		}
	}
	ms, err := SourceMutants(tree, files, s)
	if err != nil {
		return err
	}
	patch, list, err := Switch(tree, ms)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{file: patch, file + ".txt": list} {
		if err := renameio.WriteFile(name, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write the changes: %w", err)
		}
	}
	note("%d changes, which bpf_mutant=N switches on, are in %s; %s.txt lists them", len(ms), file, file)
	return nil
}

// mail begins the patch, so that git am takes it.
const mail = `From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: tokentest <tokentest@localhost>
Date: Thu, 1 Jan 1970 00:00:00 +0000
Subject: [PATCH] bpf: decide wrongly on purpose

bpf_mutant=N on the command line chooses one of %d changes; 0 is none.
---
`

// Switch returns one patch with all the changes, of which the kernel's argument bpf_mutant=N switches on number N, and
// a list for scripts/mutants.sh: a line NUMBER, tab, what changes.
func Switch(tree string, ms []*SourceMutant) (patch, list string, err error) {
	if len(ms) == 0 {
		return "", "", usage.Errorf("there is nothing to change: no function is chosen")
	}
	var out strings.Builder
	var names []string
	of := map[string][]*sourceEdit{}
	for _, m := range ms {
		if len(of[m.File]) == 0 {
			names = append(names, m.File)
		}
		if !slices.Contains(of[m.File], m.edit) {
			of[m.File] = append(of[m.File], m.edit)
		}
		list += fmt.Sprintf("%d\t%s:%d: %s\n", m.Number, m.Func, m.Line, m.Change)
	}
	fmt.Fprintf(&out, mail, len(ms))
	fmt.Fprintf(&out, "diff --git a/%s b/%s\nnew file mode 100644\n--- /dev/null\n+++ b/%s\n@@ -0,0 +1,%d @@\n", header,
		header, header, strings.Count(headerText, "\n"))
	for line := range strings.Lines(headerText) {
		out.WriteString("+" + line)
	}
	for i, name := range names {
		f, err := readC(tree, name)
		if err != nil {
			return "", "", err
		}
		more := "#include <linux/bpf_mutant.h>\n"
		if i == 0 {
			more += definition
		}
		if err := f.writeDiff(&out, of[name], more); err != nil {
			return "", "", err
		}
	}
	return out.String(), list, nil
}

// changed is the source with the switches in it: line by line, since a switch adds none.
func (f *cFile) changed(edits []*sourceEdit) []string {
	type insert struct {
		at, order int
		text      string
	}
	var all []insert
	for n, e := range edits {
		m := e.mutants[0]
		begin, end := fmt.Sprintf("MUT_IF(%d, ", m.Number), ")"
		switch m.Operator {
		case Zero:
			begin = fmt.Sprintf("MUT_CALL(%d, ", m.Number)
		case Errno, Capability:
			begin, end = fmt.Sprintf("MUT_NOT(%d, ", m.Number), ", "+m.Instead+")"
		}
		// At one place, what ends comes before what begins. What is found later is inside.
		all = append(all, insert{e.from, n, begin}, insert{e.to, -1 - n, end})
	}
	slices.SortFunc(all, func(a, b insert) int { return cmp.Or(a.at-b.at, a.order-b.order) })
	var out strings.Builder
	at := 0
	for _, i := range all {
		out.WriteString(f.text[at:i.at] + i.text)
		at = i.at
	}
	out.WriteString(f.text[at:])
	return slices.Collect(strings.Lines(out.String()))
}

// around is how many unchanged lines surround a change in a patch.
const around = 3

// writeDiff writes the file's part of the patch, with more behind its first #include.
func (f *cFile) writeDiff(out *strings.Builder, edits []*sourceEdit, more string) error {
	before, after := slices.Collect(strings.Lines(f.text)), f.changed(edits)
	if len(before) != len(after) {
		return fmt.Errorf("change %s: a line was lost", f.name)
	}
	include := f.firstInclude(before)
	if include < 0 {
		return usage.Errorf("%s has no #include before its first function", f.name)
	}
	var ops []gitdiff.Line
	for n, line := range before {
		if line == after[n] {
			ops = append(ops, gitdiff.Line{Op: gitdiff.OpContext, Line: line})
		} else {
			ops = append(ops, gitdiff.Line{Op: gitdiff.OpDelete, Line: line}, gitdiff.Line{Op: gitdiff.OpAdd, Line: after[n]})
		}
		if n == include {
			for l := range strings.Lines(more) {
				ops = append(ops, gitdiff.Line{Op: gitdiff.OpAdd, Line: l})
			}
		}
	}
	g := &gitdiff.File{OldName: f.name, NewName: f.name, TextFragments: fragments(ops)}
	out.WriteString(g.String())
	return nil
}

// firstInclude is the first #include that no #if surrounds, -1 if there is none before the first function. A later one
// can stand within a declaration, as those of bpf_types.h do.
func (f *cFile) firstInclude(lines []string) int {
	end := len(lines)
	f.functions(func(_ string, from, _ int, _ bool) { end = min(end, f.line(f.tokens[from].from)) })
	depth := 0
	for n, line := range lines[:end] {
		word := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		switch {
		case !strings.HasPrefix(strings.TrimSpace(line), "#"):
		case strings.HasPrefix(word, "if"):
			depth++
		case strings.HasPrefix(word, "endif"):
			depth--
		case strings.HasPrefix(word, "include") && depth == 0:
			return n
		}
	}
	return -1
}

// fragments are the changed lines with those around them.
func fragments(ops []gitdiff.Line) []*gitdiff.TextFragment {
	var out []*gitdiff.TextFragment
	near := func(n int) bool {
		for k := max(0, n-around); k < min(len(ops), n+around+1); k++ {
			if ops[k].Op != gitdiff.OpContext {
				return true
			}
		}
		return false
	}
	var now *gitdiff.TextFragment
	old, new := int64(1), int64(1)
	for n, o := range ops {
		if !near(n) {
			now = nil
		} else {
			if now == nil {
				now = &gitdiff.TextFragment{OldPosition: old, NewPosition: new}
				out = append(out, now)
			}
			now.Lines = append(now.Lines, o)
		}
		count := func(lines *int64, part func(*gitdiff.TextFragment) *int64) {
			*lines++
			if now != nil {
				*part(now)++
			}
		}
		if o.Op != gitdiff.OpAdd {
			count(&old, func(f *gitdiff.TextFragment) *int64 { return &f.OldLines })
		}
		if o.Op != gitdiff.OpDelete {
			count(&new, func(f *gitdiff.TextFragment) *int64 { return &f.NewLines })
		}
		if now != nil && o.Op == gitdiff.OpAdd {
			now.LinesAdded++
		} else if now != nil && o.Op == gitdiff.OpDelete {
			now.LinesDeleted++
		}
	}
	return out
}
