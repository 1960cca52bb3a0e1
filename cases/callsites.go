package cases

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// CallSite is a place of the kernel's source that asks for a privilege: a
// capability, an LSM, a file's permission, or what the verifier allows its caller.
type CallSite struct {
	File, Func string
	Call       string // as in the source, spaces made one
	Line       int
}

// scanned are the source files with call sites, as patterns below the root of a kernel tree.
var scanned = []string{
	"kernel/bpf/*.c", "kernel/trace/bpf_trace.c", "net/core/filter.c", "net/core/bpf_sk_storage.c",
	"net/core/sysctl_net_core.c", "drivers/media/rc/bpf-lirc.c", "include/linux/bpf.h", "include/linux/filter.h",
	"include/linux/bpf_mprog.h", "security/selinux/hooks.c",
}

var (
	// asks matches the names of a call, and what bpf_check has found out about its caller.
	asks = regexp.MustCompile(`\b(?:` +
		`(?:ns_|file_ns_|bpf_token_|bpf_ns_|bpf_net_|bpf_|perfmon_|sk_ns_)?capable(?:_noaudit)?\(|` +
		`security_bpf\w*\(|security_locked_down\(|security_path_\w+\(|security_inode_\w+\(|` +
		`path_permission\(|inode_permission\(|kallsyms_show_value\(|` +
		`bpf_(?:allow_ptr_leaks|allow_uninit_stack|bypass_spec_v1|bypass_spec_v4|dump_raw_ok)\(|` +
		`env->(?:allow_ptr_leaks|allow_uninit_stack|bypass_spec_v1|bypass_spec_v4|bpf_capable)\b)`)
	// asksPolicy matches what SELinux asks its policy in the hooks of bpf(2).
	asksPolicy = regexp.MustCompile(`\bavc_has_perm\(`)
	// begins matches the first line of a function's definition.
	begins = regexp.MustCompile(`^(?:[A-Za-z_][\w\s*]*[\s*])?(\w+)\(`)
	// macro matches the first line of a function that a macro defines.
	macro  = regexp.MustCompile(`^(?:BPF_CALL_\d|SYSCALL_DEFINE\d|__bpf_kfunc|DEFINE_\w+)\((\w+)`)
	never  = regexp.MustCompile(`[^\s\S]`)
	spaces = regexp.MustCompile(`\s+`)
)

// ScanCallSites lists the call sites of a kernel tree, by file and line.
func ScanCallSites(tree fs.FS) ([]CallSite, error) {
	var out []CallSite
	for _, pattern := range scanned {
		names, err := fs.Glob(tree, pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := fs.ReadFile(tree, name)
			if err != nil {
				return nil, err
			}
			out = append(out, callSites(name, string(text))...)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no source file of the kernel is there (%s): name the root of a kernel tree", scanned[0])
	}
	return out, nil
}

// callSites lists those of one file.
func callSites(file, text string) []CallSite {
	var out []CallSite
	text = withoutComments(text)
	fn, at := "", 0
	for i, line := range strings.Split(text, "\n") {
		if m := definition(line); m != "" {
			fn = m
		}
		pattern := asks
		if strings.HasPrefix(file, "security/") {
			if pattern = asksPolicy; !strings.Contains(fn, "bpf") {
				pattern = never
			}
		}
		for _, m := range pattern.FindAllStringIndex(line, -1) {
			start := at + m[0]
			call := text[start : at+m[1]]
			if strings.HasSuffix(call, "(") {
				call = text[start:closing(text, at+m[1])]
			}
			if declares(line, call) || assigned(text, start, call) {
				continue
			}
			out = append(out, CallSite{file, fn, spaces.ReplaceAllString(call, " "), i + 1})
		}
		at += len(line) + 1
	}
	return out
}

// definition returns the name of the function that a line begins to define, or "".
func definition(line string) string {
	if m := macro.FindStringSubmatch(line); m != nil {
		return m[1]
	}
	if m := begins.FindStringSubmatch(line); m != nil && !strings.HasSuffix(strings.TrimSpace(line), ";") {
		return m[1]
	}
	return ""
}

// declares reports whether a line declares or defines the function that it seems to call.
func declares(line, call string) bool {
	m := begins.FindStringSubmatch(line)
	return m != nil && strings.HasPrefix(call, m[1]+"(")
}

// assigned reports whether a member of the verifier's environment is only written.
func assigned(text string, at int, call string) bool {
	rest := strings.TrimSpace(text[at+len(call):])
	return strings.HasPrefix(call, "env->") && strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "==")
}

// closing returns the end of the argument list that begins at i.
func closing(text string, i int) int {
	for depth := 1; i < len(text); i++ {
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return i
}

var comments = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`)

// withoutComments replaces comments by their newlines.
func withoutComments(text string) string {
	return comments.ReplaceAllStringFunc(text, func(s string) string {
		return strings.Repeat("\n", strings.Count(s, "\n"))
	})
}

// WithoutRow returns the call sites that no decision point stands for.
func WithoutRow(sites []CallSite, points []Decision) []CallSite {
	left := map[[3]string]int{}
	for _, p := range points {
		left[[3]string{p.File, p.Func, p.Check}]++
	}
	return slices.DeleteFunc(slices.Clone(sites), func(s CallSite) bool {
		key := [3]string{s.File, s.Func, s.Call}
		left[key]--
		return left[key] >= 0
	})
}
