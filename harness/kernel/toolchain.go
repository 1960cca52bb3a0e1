package kernel

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"tokentest/harness/arch"
)

// toolchain is the tools that build a kernel.
type toolchain struct {
	id   string   // changes when a tool does
	vars []string // for make
}

// tools are the programs that a build runs, with their Debian packages.
var tools = []struct{ program, pkg string }{
	{"make", "make"}, {"gcc", "gcc"}, {"ld", "binutils"}, {"flex", "flex"}, {"bison", "bison"}, {"bc", "bc"},
	{"perl", "perl"}, {"git", "git"}, {"pahole", "pahole"}, {"lz4", "lz4"}, {"cpio", "cpio"},
}

// headers are those that the kernel's host programs include.
var headers = []struct{ header, pkg string }{
	{"gelf.h", "libelf-dev"}, {"openssl/opensslv.h", "libssl-dev"},
}

// Missing lists the programs and headers that this host lacks to build a kernel, with their Debian
// packages.
func Missing(ctx context.Context) (lost, pkgs []string) {
	for _, t := range tools {
		if _, err := exec.LookPath(t.program); err != nil {
			lost, pkgs = append(lost, t.program), append(pkgs, t.pkg)
		}
	}
	compiles := !slices.Contains(lost, "gcc") // without gcc, headers cannot be tried
	for _, h := range headers {
		cmd := command(ctx, "gcc", "-fsyntax-only", "-x", "c", "-")
		cmd.Stdin = strings.NewReader("#include <" + h.header + ">\n")
		if !compiles || cmd.Run() != nil && ctx.Err() == nil {
			lost, pkgs = append(lost, h.header), append(pkgs, h.pkg)
		}
	}
	return lost, pkgs
}

// findToolchain finds the tools; its error lists everything that is missing. It uses ccache if it
// is installed. The compiler in vars is part of the id.
func findToolchain(ctx context.Context, target *arch.Arch, vars []string) (*toolchain, error) {
	lost, pkgs := Missing(ctx)
	vars = append(cross(target, vars), vars...)
	if prefix := target.Image.Cross; variable(vars, "CROSS_COMPILE") == prefix && variable(vars, "CC") == "" {
		if _, err := exec.LookPath(prefix + "gcc"); err != nil {
			pkg := "gcc-" + strings.ReplaceAll(strings.TrimSuffix(prefix, "-"), "_", "-")
			lost, pkgs = append(lost, prefix+"gcc"), append(pkgs, pkg)
		}
	}
	if len(lost) > 0 {
		return nil, fmt.Errorf("build a kernel: this host has no %s; run as root: apt-get install -y %s",
			strings.Join(lost, ", "), strings.Join(pkgs, " "))
	}
	t := &toolchain{vars: append(ccache(vars), vars...)}
	id, err := t.versions(ctx, vars)
	t.id = id
	return t, errors.Join(err, ctx.Err())
}

// cross returns the variable with which make finds GCC for another architecture than the host's. Clang compiles for
// all.
func cross(target *arch.Arch, vars []string) []string {
	if target == host || variable(vars, "LLVM") != "" || variable(vars, "CROSS_COMPILE") != "" {
		return nil
	}
	return []string{"CROSS_COMPILE=" + target.Image.Cross}
}

// variable is the value of a variable for make, "" if it is not given.
func variable(vars []string, name string) (value string) {
	for _, v := range vars {
		if rest, ok := strings.CutPrefix(v, name+"="); ok {
			value = rest
		}
	}
	return value
}

func ccache(vars []string) []string {
	if variable(vars, "CC") != "" || variable(vars, "LLVM") != "" {
		return nil
	}
	if _, err := exec.LookPath("ccache"); err != nil {
		return nil
	}
	return []string{"CC=ccache " + variable(vars, "CROSS_COMPILE") + "gcc", "HOSTCC=ccache gcc"}
}

func (t *toolchain) versions(ctx context.Context, vars []string) (string, error) {
	prefix := variable(vars, "CROSS_COMPILE")
	programs := []string{prefix + "gcc", prefix + "ld", "pahole"}
	for _, v := range vars {
		switch name, value, _ := strings.Cut(v, "="); name {
		case "CC":
			programs[0] = value
		case "LLVM":
			programs[0], programs[1] = llvm(value, "clang"), llvm(value, "ld.lld")
		}
	}
	lines := []string{runtime.GOARCH, strings.Join(vars, " ")}
	for _, p := range programs {
		words := strings.Fields(p)
		out, err := output(command(ctx, words[0], append(words[1:], "--version")...))
		if err != nil {
			return "", fmt.Errorf("ask %s for its version: %w", p, err)
		}
		first, _, _ := strings.Cut(out, "\n")
		lines = append(lines, first)
	}
	return strings.Join(lines, "\n"), nil
}

// llvm returns the name of one of LLVM's programs as the kernel's Makefile makes it from LLVM: a directory
// that ends in a slash, a suffix that begins with a hyphen, or nothing.
func llvm(value, program string) string {
	switch {
	case strings.HasSuffix(value, "/"):
		return value + program
	case strings.HasPrefix(value, "-"):
		return program + value
	}
	return program
}

// kept are the variables of the environment that a build may see. The kernel's Makefile takes many others
// (LLVM, KCFLAGS, LOCALVERSION), which would change an image without changing its key.
var kept = []string{"PATH", "HOME", "USER", "TMPDIR", "LC_ALL", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}

// compilers are the variables that people set for a kernel's build.
var compilers = []string{"LLVM", "LLVM_IAS", "CC", "LD", "HOSTCC", "KCFLAGS", "KAFLAGS", "KCPPFLAGS"}

func buildEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return !slices.Contains(kept, name) && !strings.HasPrefix(name, "CCACHE_")
	})
}

// ignored returns the variables of env that would choose another compiler, as NAME=VALUE.
func ignored(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, value, _ := strings.Cut(v, "=")
		return value == "" || !slices.Contains(compilers, name)
	})
}
