// Package receivers finds whom a report about a kernel goes to: what get_maintainer.pl of the kernel's own sources
// prints for the code that a run found wrong.
//
// It sends nothing. Start with Of.
package receivers

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"tokentest/harness/child"
	"tokentest/harness/kernel"
	"tokentest/harness/report"
	"tokentest/harness/result"
)

// script is the kernel's program that reads MAINTAINERS.
const script = "scripts/get_maintainer.pl"

// Of are the receivers of a report in the format mail; nil for another format and for a run without a difference. The
// sources are in tree, or, if that is "", those that the kernel was built from. What goes wrong is noted: the report is
// good without receivers.
func Of(format string, r *result.Run, tree, cacheDir string, note func(format string, args ...any)) []string {
	var out []string
	if format != "mail" || r.Lies() != "" {
		return nil
	}
	for _, k := range r.Kernels {
		places := report.Places(k)
		src := cmp.Or(tree, kernel.TreeOf(k.Ref, k.Source, cacheDir))
		if len(places) == 0 || src == "" {
			continue
		}
		names, err := receivers(src, places)
		if err != nil {
			note("the receivers of the mail are not known: run %s in %s: %v", script, src, err)
		}
		for _, n := range names {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// receivers runs the script of a tree for the files of functions, and for files.
func receivers(tree string, places []string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(tree, script)); err != nil {
		return nil, err
	}
	files := filesOf(tree, places)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args := append([]string{script, "--no-git", "--no-git-fallback", "--no-rolestats", "-f"}, files...)
	cmd := child.Command(ctx, "perl", args...)
	cmd.Dir = tree
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' }), nil
}

// searched is where the functions are that decide about BPF; usual is the file of most of them.
var searched = []string{"kernel/bpf", "kernel/trace/bpf_trace.c", "kernel/events/core.c", "net/core/filter.c",
	"net/bpf", "security/security.c", "fs/super.c", "fs/namespace.c", "fs/fsopen.c", "kernel/user_namespace.c"}

const usual = "kernel/bpf/syscall.c"

// filesOf are the files of a tree that have the functions, and those that are named. If none is found it is the usual
// one.
func filesOf(tree string, places []string) []string {
	var out, functions []string
	for _, p := range places {
		if _, err := os.Stat(filepath.Join(tree, p)); err == nil {
			out = append(out, p)
		} else if !strings.Contains(p, "/") {
			functions = append(functions, regexp.QuoteMeta(p))
		}
	}
	if len(functions) > 0 {
		defines := regexp.MustCompile(`(?m)^[A-Za-z_][\w \t*]*\b(?:` + strings.Join(functions, "|") + `)\([^;]*$`)
		for _, dir := range searched {
			filepath.WalkDir(filepath.Join(tree, dir), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() || filepath.Ext(path) != ".c" {
					return nil
				}
				if text, err := os.ReadFile(path); err == nil && defines.Match(text) {
					rel, _ := filepath.Rel(tree, path)
					out = append(out, rel)
				}
				return nil
			})
		}
	}
	if len(out) == 0 {
		out = append(out, usual)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
