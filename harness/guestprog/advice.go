package guestprog

import (
	"bufio"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tokentest/harness/lab"
	"tokentest/harness/shell"
)

// Tail passes on what is written to it, and keeps the end.
type Tail struct {
	To   io.Writer
	last []byte
}

// tailSize is how much of a program's stderr is searched for what it misses.
const tailSize = 8 << 10

func (t *Tail) Write(p []byte) (int, error) {
	t.last = append(t.last, p...)
	t.last = slices.Clone(t.last[max(0, len(t.last)-tailSize):])
	return t.To.Write(p)
}

// complaints are the messages of shells and loaders about a file that the machine does not have; the group is its name.
var complaints = []*regexp.Regexp{
	regexp.MustCompile(`(?m): error while loading shared libraries: ([^\s:]+): cannot open`), // glibc
	regexp.MustCompile(`(?m)^Error loading shared library ([^\s:]+): No such file`),          // musl
	regexp.MustCompile(`(?m): command not found: (\S+)$`),                                    // zsh
	regexp.MustCompile(`(?m): ([^\s:]+): (?:command )?not found$`),                           // dash, bash, busybox
	regexp.MustCompile(`(?m)"([^"\s]+)": executable file not found in \$PATH`),               // gosh, Go
	regexp.MustCompile(`(?m): ['‘]?([^\s:'’]+)['’]?: No such file or directory$`),            // env, bash
}

// Advice returns lines that say how to bring what a program missed in the machine and has on this host. code is its
// exit code, stderr the end of what it wrote there.
func (o *Options) Advice(e *lab.Ended, code int, stderr *Tail) []string {
	if e.Exit != nil && code != 0 && code != ExitNotFound {
		return o.leftBehind()
	}
	if code != ExitNotFound || e.Exit == nil {
		return nil
	}
	if e.Exit.Missing {
		return o.interpreter()
	}
	for _, c := range complaints {
		all := c.FindAllSubmatch(stderr.last, -1)
		if all == nil {
			continue
		}
		name := string(all[len(all)-1][1])
		if path := o.onHost(name); path != "" {
			return []string{fmt.Sprintf("the machine has no %s; bring it with --with %s", name, shell.Quote(path))}
		}
		return nil // as on this host
	}
	return []string{"127 often means that the machine lacks a program; bring it with --with FILE"}
}

// above matches a string of a test's source that names a file in a directory above.
var above = regexp.MustCompile(`"((?:\.\./)+[^"\s*]+)"`)

// leftBehind says which files above its directory a Go test names, as these did not come along.
func (o *Options) leftBehind() []string {
	if o.Root != "" || o.NoTestdata || !isGoTest(o.Args) {
		return nil
	}
	sources, _ := filepath.Glob(filepath.Join(o.Here, "*_test.go")) // the pattern is well formed
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for _, m := range above.FindAllSubmatch(text, -1) {
			path := filepath.Join(o.Here, string(m[1]))
			if _, err := os.Stat(path); err == nil && !o.brought(path) {
				return []string{fmt.Sprintf("the test names %s, which did not come along; bring it with --with %s", m[1],
					shell.Quote(path))}
			}
		}
	}
	return nil
}

// brought reports whether --with names a file, or a directory that it is in.
func (o *Options) brought(path string) bool {
	return slices.ContainsFunc(o.With, func(w string) bool {
		from, _, _ := strings.Cut(w, ":")
		from = absolute(o.Here, from)
		return path == from || strings.HasPrefix(path, from+"/")
	})
}

// onHost is the path of a program or a library on this host, "" if there is none.
func (o *Options) onHost(name string) string {
	if strings.Contains(name, "/") {
		path := absolute(o.Here, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
		return ""
	}
	if strings.Contains(name, ".so") {
		for _, dir := range libraryDirs() {
			path := filepath.Join(dir, name)
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return absolute(o.Here, path)
	}
	return ""
}

// libraryDirs are the directories of libraries, as ld.so(8) and ld.so.conf name them.
func libraryDirs() []string {
	dirs := filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))
	files, _ := filepath.Glob("/etc/ld.so.conf.d/*.conf") // the pattern is well formed
	for _, name := range append(files, "/etc/ld.so.conf") {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") {
				dirs = append(dirs, line)
			}
		}
	}
	return append(dirs, "/lib", "/usr/lib", "/lib64", "/usr/lib64")
}

// interpreter explains a program that is there and could not be started: its interpreter is not. That happens below
// --root only, because a program brings its interpreter.
func (o *Options) interpreter() []string {
	if o.Root == "" {
		return nil
	}
	path := filepath.Join(o.Root, o.Args[0])
	name := interpreterOf(path)
	if name == "" {
		return []string{fmt.Sprintf("the program is looked for in --root: there is no %s", path)}
	}
	says := fmt.Sprintf("%s needs %s, which %s does not have", o.Args[0], name, o.Root)
	if _, err := os.Stat(name); err == nil {
		says += "; bring it with --with " + shell.Quote(name)
	}
	return []string{says}
}

// interpreterOf is the interpreter that a script's first line or an ELF file names, "" if there is none.
func interpreterOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if e, err := elf.NewFile(f); err == nil {
		for _, p := range e.Progs {
			if p.Type == elf.PT_INTERP {
				text, _ := io.ReadAll(io.LimitReader(p.Open(), 4096)) // an unreadable one has no name
				return strings.TrimRight(string(text), "\x00")
			}
		}
		return ""
	}
	line, _ := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n') // a file may be one line
	words := strings.Fields(strings.TrimPrefix(line, "#!"))
	if !strings.HasPrefix(line, "#!") || len(words) == 0 {
		return ""
	}
	return words[0]
}
