package lab

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tokentest/harness/wire"
)

// File is a file of the host that a program needs, and where it is to be.
type File struct {
	From, To string
	size     int64
	info     fs.FileInfo
	data     []byte // instead of what From holds
	link     string // it is a link to there
}

// Gather lists a file, or a directory with all that is in it, for the place to.
// What is neither a file, a directory nor a symlink is left out.
func Gather(from, to string) ([]File, error) {
	var out []File
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(name)
		if name == from {
			info, err = os.Stat(name)
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		if t := info.Mode().Type(); t == 0 || t == fs.ModeDir || t == fs.ModeSymlink {
			out = append(out, File{From: name, To: filepath.Join(to, rel), size: info.Size(), info: info})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("collect what the program needs: %w", err)
	}
	return out, nil
}

// Size is how many bytes the files hold.
func Size(files []File) int64 {
	var sum int64
	for i := range files {
		sum += files[i].size
	}
	return sum
}

// send writes the file's records.
func (f *File) send(write func(wire.Kind, []byte) error) error {
	switch {
	case f.link != "":
		return write(wire.KindFile, wire.EncodeFile(&wire.File{Path: f.To, Kind: wire.Symlink, Data: []byte(f.link)}))
	case f.data != nil:
		return write(wire.KindFile, wire.EncodeFile(&wire.File{Path: f.To, Mode: 0o644, Data: f.data}))
	}
	w := &wire.File{Path: f.To, Mode: uint32(f.info.Mode().Perm())}
	switch {
	case f.info.IsDir():
		w.Kind = wire.Directory
		return write(wire.KindFile, wire.EncodeFile(w))
	case f.info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(f.From)
		if err != nil {
			return fmt.Errorf("send %s: %w", f.From, err)
		}
		w.Kind, w.Data = wire.Symlink, []byte(target)
		return write(wire.KindFile, wire.EncodeFile(w))
	}
	return f.sendData(w, write)
}

func (f *File) sendData(w *wire.File, write func(wire.Kind, []byte) error) error {
	in, err := os.Open(f.From)
	if err != nil {
		return fmt.Errorf("send a file: %w", err)
	}
	defer in.Close()
	buf := make([]byte, wire.MaxFileData)
	for {
		n, err := io.ReadFull(in, buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return fmt.Errorf("send a file: %w", err)
		}
		if n > 0 || !w.More {
			w.Data = buf[:n]
			if err := write(wire.KindFile, wire.EncodeFile(w)); err != nil {
				return err
			}
		}
		if w.More = true; err != nil {
			return nil
		}
	}
}

// libraryDirs are where a dynamic loader looks by default.
var libraryDirs = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// Libraries lists what a dynamically linked program loads: its loader and its
// libraries, with theirs; and for a script, its interpreter, likewise.
func Libraries(program string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	todo := []string{program}
	for ; len(todo) > 0; todo = todo[1:] {
		loader, names, dirs, err := needs(todo[0])
		if err != nil {
			return nil, err
		}
		for _, i := range interpreters(todo[0]) {
			if !seen[i] {
				seen[i] = true
				out, todo = append(out, i), append(todo, i)
			}
		}
		if loader != "" && !seen[loader] {
			seen[loader] = true
			out = append(out, loader)
		}
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			path := find(name, append(dirs, libraryDirs...))
			if path == "" {
				return nil, fmt.Errorf("%s needs the library %s, which is not found: link it statically (CGO_ENABLED=0 for Go), or give it with --with", program, name)
			}
			out, todo = append(out, path), append(todo, path)
		}
	}
	return out, nil
}

// needs reads what an ELF file asks for.
func needs(path string) (loader string, libraries, dirs []string, err error) {
	f, err := elf.Open(path)
	var format *elf.FormatError
	if errors.As(err, &format) || errors.Is(err, io.EOF) {
		return "", nil, nil, nil // a script, say
	}
	if err != nil {
		return "", nil, nil, fmt.Errorf("read the program: %w", err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 {
		return "", nil, nil, fmt.Errorf("%s is for %s, the machines are x86-64", path, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			text, err := io.ReadAll(p.Open())
			if err != nil {
				return "", nil, nil, fmt.Errorf("read %s: %w", path, err)
			}
			loader = strings.TrimRight(string(text), "\x00")
		}
	}
	libraries, _ = f.ImportedLibraries() // a static program has none
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		list, _ := f.DynString(tag)
		for _, l := range list {
			dirs = append(dirs, strings.Split(strings.ReplaceAll(l, "$ORIGIN", filepath.Dir(path)), ":")...)
		}
	}
	return loader, libraries, dirs, nil
}

// interpreters are the programs that a script's first line names.
func interpreters(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := io.ReadFull(f, head)
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	line, ok := strings.CutPrefix(line, "#!")
	words := strings.Fields(line)
	if !ok || len(words) == 0 {
		return nil
	}
	out := words[:1:1]
	if filepath.Base(words[0]) == "env" && len(words) > 1 {
		if p, err := exec.LookPath(words[len(words)-1]); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func find(name string, dirs []string) string {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}
