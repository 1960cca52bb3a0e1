// Package guestprog runs a program of this host in a machine: it gathers the program, its
// libraries and its files, passes signals on to it, and turns how it ended into an exit code or
// into test results.
//
// It boots nothing: lab.Exec runs what New makes. It is not about BPF programs.
//
// Start with New; ending.go has what comes after the run.
package guestprog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tokentest/harness/lab"
	"tokentest/harness/usage"
	"tokentest/images"
)

// Options say what runs, and what comes with it.
type Options struct {
	Args []string // the program, as a shell finds it, and its arguments
	Env  []string
	Here string // the absolute working directory, to which names are relative
	User string // UID[:GID], root or nobody; "" is root
	// Root is a directory that becomes the program's root; then the program is in it, and
	// brings no libraries. "" is the guest's own root.
	Root string
	Dir  string // the working directory in the guest; "" is Here, or / with Root
	// With holds FILE[:PLACE], files or directories to bring; Get holds files to fetch.
	With, Get []string
	// NoTestdata leaves the directory of a Go test out.
	NoTestdata bool
}

// For returns the options for a program that is run as from here.
func (o Options) For(args []string) (Options, error) {
	var err error
	o.Args, o.Env = args, os.Environ()
	if o.Here, err = os.Getwd(); err != nil {
		err = fmt.Errorf("find the working directory: %w", err)
	}
	return o, err
}

// ProgramError is a program that is not there or cannot be run.
type ProgramError struct {
	Err  error
	Code int // the exit code: ExitNotFound or ExitCannotRun
}

func (e *ProgramError) Error() string { return "find the program: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ProgramError) Unwrap() error { return e.Err }

// programError says why exec.LookPath did not find a program.
func programError(err error) *ProgramError {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return &ProgramError{err, ExitNotFound}
	}
	return &ProgramError{err, ExitCannotRun} // a directory, or a file without permission
}

// guestRoot is where a directory that becomes a root is put.
const guestRoot = "/root.d"

// New gathers a program. The error is a *ProgramError, or a *usage.Error for a mistake in
// the options.
func New(o Options) (*lab.Program, error) {
	p := &lab.Program{}
	p.Args, p.Env, p.Dir = slices.Clone(o.Args), o.Env, o.Here
	var err error
	if o.Root == "" {
		p.Extras, p.Env = true, withExtras(o.Env)
		err = bringProgram(p, &o)
	} else {
		p.Root, p.Dir = guestRoot, "/"
		err = bring(p, o.Root, guestRoot)
	}
	if err != nil {
		return nil, err
	}
	return p, Add(p, o)
}

// withExtras returns the environment with the directory of u-root's commands last in PATH, where it is not there yet.
func withExtras(env []string) []string {
	dir := filepath.Dir(images.Shell)
	out := slices.Clone(env)
	for i, e := range out {
		path, ok := strings.CutPrefix(e, "PATH=")
		if ok && !slices.Contains(filepath.SplitList(path), dir) {
			out[i] = "PATH=" + strings.TrimPrefix(path+":"+dir, ":")
		}
	}
	return out
}

// Add adds to a program its user and the files that the options name. The error is a
// *usage.Error.
func Add(p *lab.Program, o Options) (err error) {
	if p.UID, p.GID, err = parseUser(o.User); err != nil {
		return err
	}
	for _, w := range o.With {
		from, to, given := strings.Cut(w, ":")
		if !given {
			to = absolute(o.Here, from)
		}
		place := filepath.Join(p.Root, absolute("/", to))
		if err := errors.Join(bring(p, from, place), bringLibraries(p, from)); err != nil {
			return err
		}
	}
	if o.Dir != "" {
		p.Dir = absolute("/", o.Dir)
	}
	for _, g := range o.Get {
		p.Get = append(p.Get, absolute(o.Here, g))
	}
	return checkPlaces(p)
}

// bring adds a file or directory.
func bring(p *lab.Program, from, to string) error {
	files, err := lab.Gather(from, to)
	if err != nil {
		return usage.Of(err)
	}
	p.Files = append(p.Files, files...)
	return nil
}

// checkPlaces refuses files where the machine has file systems of its own.
func checkPlaces(p *lab.Program) error {
	for _, f := range p.Files {
		for _, own := range []string{"/proc", "/sys", "/dev"} {
			if f.To == own || strings.HasPrefix(f.To, own+"/") {
				return usage.Errorf("%s: nothing can be brought to %s of a machine; name another place with --with %s:PLACE",
					f.From, own, f.From)
			}
		}
	}
	return nil
}

func absolute(base, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(base, name)
}

// bringProgram adds the program, with what it loads and, for a Go test, the directory that it
// expects to be in.
func bringProgram(p *lab.Program, o *Options) error {
	path, err := exec.LookPath(p.Args[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return programError(err)
	}
	if !strings.ContainsRune(p.Args[0], filepath.Separator) {
		p.Name = p.Args[0]
	}
	path = absolute(o.Here, path)
	p.Args[0] = path
	if err := errors.Join(bring(p, path, path), bringLibraries(p, path)); err != nil {
		return err
	}
	p.Own = len(p.Files)
	if !isGoTest(p.Args) {
		return nil
	}
	wantFiles(p, o.Here)
	if o.NoTestdata {
		return nil
	}
	return bringPackage(p, o.Here)
}

// bringLibraries adds what a file loads, if it is a program.
func bringLibraries(p *lab.Program, path string) error {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || p.Root != "" {
		return nil
	}
	libraries, err := lab.Libraries(path)
	if err != nil {
		return usage.Of(err)
	}
	for _, name := range libraries {
		if err := bring(p, name, name); err != nil {
			return err
		}
	}
	return nil
}

// isGoTest reports whether the program is what go test builds and runs.
func isGoTest(args []string) bool {
	return strings.HasSuffix(args[0], ".test") &&
		slices.ContainsFunc(args[1:], func(s string) bool { return strings.HasPrefix(s, "-test.") })
}

// maxPackage bounds what comes along by itself.
const maxPackage = 256 << 20

// bringPackage adds the files of the directory, and testdata as a whole.
func bringPackage(p *lab.Program, here string) error {
	entries, err := os.ReadDir(here)
	if err != nil {
		return fmt.Errorf("read the test's directory: %w", err)
	}
	before := lab.Size(p.Files)
	for _, e := range entries {
		name := filepath.Join(here, e.Name())
		if e.Type().IsRegular() && name != p.Args[0] || e.IsDir() && e.Name() == "testdata" {
			if err := bring(p, name, name); err != nil {
				return err
			}
		}
	}
	if size := lab.Size(p.Files) - before; size > maxPackage {
		return usage.Errorf("the test's directory %s has %d MiB: use --no-testdata, and --with for the files that the "+
			"test needs",
			here, size>>20)
	}
	return nil
}

// wantFiles asks for the files that the flags of a Go test name as its output.
func wantFiles(p *lab.Program, here string) {
	base := here
	for _, a := range p.Args[1:] {
		if dir, ok := strings.CutPrefix(a, "-test.outputdir="); ok {
			base = absolute(here, dir)
		}
	}
	for _, a := range p.Args[1:] {
		name, value, ok := strings.Cut(a, "=")
		if !ok || value == "" {
			continue
		}
		switch name {
		case "-test.coverprofile", "-test.cpuprofile", "-test.memprofile", "-test.blockprofile", "-test.mutexprofile",
			"-test.trace", "-test.testlogfile":
			file := absolute(base, value)
			p.Get = append(p.Get, file)
			p.Make = append(p.Make, filepath.Dir(file))
		case "-test.gocoverdir", "-test.fuzzcachedir":
			p.Make = append(p.Make, absolute(here, value))
		}
	}
}

const nobody = 65534

// parseUser reads UID[:GID].
func parseUser(s string) (uid, gid uint32, err error) {
	switch s {
	case "", "root":
		return 0, 0, nil
	case "nobody":
		return nobody, nobody, nil
	}
	u, g, both := strings.Cut(s, ":")
	if !both {
		g = u
	}
	uid64, err1 := strconv.ParseUint(u, 10, 32)
	gid64, err2 := strconv.ParseUint(g, 10, 32)
	if err1 != nil || err2 != nil {
		return 0, 0, usage.Errorf("--user %q: must be UID, UID:GID, root or nobody: the machine knows no other names", s)
	}
	return uint32(uid64), uint32(gid64), nil
}
