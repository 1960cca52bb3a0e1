package images

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"tokentest/harness/arch"
	"tokentest/harness/child"
)

// part is a program of an image: the folder of its package, and what it is compiled for.
type part struct{ pkg, arch, level string }

// fullPart is a program of an architecture, and part32 one of 32 bits that its kernels run.
func fullPart(pkg string, of *arch.Arch) part { return part{pkg, of.GOARCH, of.GoLevel} }
func part32(pkg string, of *arch.Arch) part   { return part{pkg, of.Compat.GOARCH, of.Compat.GoLevel} }

// context chooses files as the compiler will, by the pinned environment.
func (p part) context() *build.Context {
	c := build.Default
	c.GOOS, c.GOARCH, c.CgoEnabled, c.BuildTags = "linux", p.arch, false, nil
	return &c
}

// pinned is the part of the environment that would change the compiler's output. No value is empty: an empty one lets
// the user's `go env -w` through.
func (p part) pinned() []string {
	env := []string{
		"CGO_ENABLED=0",
		"GO111MODULE=on",
		"GOARCH=" + p.arch,
		"GOEXPERIMENT=nofieldtrack", // the default, said aloud
		"GOFIPS140=off",
		"GOFLAGS=-trimpath",
		"GOOS=linux",
		"GOWORK=off",
	}
	if p.level != "" {
		env = append(env, p.level)
	}
	return env
}

// buildArgs are the go command's arguments that build the package in folder pkg, reproducibly, as the file out.
func buildArgs(out, id, pkg string) []string {
	return []string{
		"build", "-o", out, "-trimpath", "-buildvcs=false", "-pgo=off",
		"-ldflags", "-s -w -buildid= -X main.buildID=" + id, "./" + pkg,
	}
}

// compile builds a program as the static file out. The go command's temporary files stay beside it,
// where they are removed even when the command is killed.
func compile(ctx context.Context, o Options, p part, id, out string) error {
	env := append(p.pinned(), "GOTMPDIR="+filepath.Dir(out))
	_, err := runGo(ctx, o, env, buildArgs(out, id, p.pkg)...)
	return err
}

// goVersion is the version of the toolchain that the module will be compiled with.
func goVersion(ctx context.Context, o Options) (string, error) {
	out, err := runGo(ctx, o, nil, "env", "GOVERSION")
	return strings.TrimSpace(out), err
}

// said makes an error of what a program wrote: on the same line if that is one line, else below.
func said(text string) error {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return nil
	case strings.Contains(text, "\n"):
		text = "\n" + text
	}
	return errors.New(text)
}

// hostTool compiles a tool of the module for this host, whatever GOARCH the image has, and returns its path.
func hostTool(ctx context.Context, o Options, name string) (string, error) {
	path, err := runGo(ctx, o, []string{"GOARCH=" + runtime.GOARCH}, "tool", "-n", name)
	return strings.TrimSpace(path), err
}

// runGo runs the go command in the source's root and returns what it prints. When ctx is done it kills the compilers
// that the command started as well.
func runGo(ctx context.Context, o Options, env []string, args ...string) (string, error) {
	out, err := run(ctx, o, o.Go, env, args...)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("run the Go toolchain: no %s command found: install Go as go.mod asks for it", o.Go)
	}
	return out, err
}

// run runs a program as for the image's architecture.
func run(ctx context.Context, o Options, program string, env []string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := child.Command(ctx, program, args...)
	cmd.Dir = o.Source
	cmd.Env = slices.Concat(cmd.Environ(), fullPart("", arch.Or(o.Arch)).pinned(), env)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case err == nil:
		return stdout.String(), nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	}
	return "", fmt.Errorf("run %s %s: %w", filepath.Base(program), args[0], cmp.Or(said(stderr.String()), err))
}
