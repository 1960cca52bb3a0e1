// Package labtest replaces the programs that a lab starts, so that tests need no machine: a
// QEMU whose guest answers as the oracle says or as a test needs, and a Go toolchain that
// compiles nothing. The test binary runs as these programs, under their names.
//
// It is for tests only; no other package imports it.
//
// Start with QEMU in qemu.go and the acts that it knows.
package labtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tokentest/cases/step"
	"tokentest/harness/wire"
)

// Release is the release of the fake kernel.
const Release = "6.12.1-fake"

// Tree writes the files of a test into a directory: the kernel, as bzImage, and the smallest
// source tree of an image. The image cache keeps those of all tests apart by digest.
func Tree(dir string) error {
	for name, text := range map[string]string{
		"bzImage":               string(Kernel(Release)),
		"go.mod":                "module tokentest\n",
		"go.sum":                "",
		"images/init/main.go":   "package main\n\nfunc main() {}\n",
		"images/sh/main.go":     "package main\n\nfunc main() {}\n",
		"images/init32/main.go": "package main\n\nfunc main() {}\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(os.CopyFS(filepath.Join(dir, "cases/step"), step.Sources),
		os.CopyFS(filepath.Join(dir, "harness/wire"), wire.Sources), writeBTF(dir))
}

// idMark precedes the build id in an init that Go made.
const idMark = "main.buildID="

// Go is the go command as far as package images uses it: it knows its version, and the
// program that it builds contains only the build id of the linker flags.
func Go() int {
	args := strings.Join(os.Args[1:], " ")
	switch args {
	case "env GOVERSION":
		fmt.Println("go1.26.0")
		return 0
	case "version":
		fmt.Println("go version go1.26.0 fake")
		return 0
	case "tool -n makebb":
		fmt.Println(os.Args[0])
		return 0
	}
	_, rest, _ := strings.Cut(args, " -o ")
	out, _, _ := strings.Cut(rest, " ")
	_, id, ok := strings.Cut(args, idMark)
	if strings.HasSuffix(args, " ./harness/cmd/tokentest") || strings.HasSuffix(args, " ./images/pack") ||
		args == "list -m" {
		return 0 // the test binary is the command
	}
	switch {
	case strings.HasPrefix(args, "-g -gen-dir "): // its sources are not needed
		return 0
	case strings.HasPrefix(args, "build -C "):
		id, ok = "shell", true
	}
	if !ok {
		fmt.Fprintln(os.Stderr, "go: unknown command:", args)
		return 2
	}
	id, _, _ = strings.Cut(id, " ")
	if err := os.WriteFile(out, []byte(idMark+id+"\n"), 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "go:", err)
		return 1
	}
	return 0
}
