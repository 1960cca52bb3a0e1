package lab

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/ldd"

	"tokentest/harness/arch"
	"tokentest/harness/wire"
)

// File is a file to send to the guest.
type File struct {
	From string // the path on the host
	To   string // the absolute path in the guest
	size int64
	info fs.FileInfo
	data []byte // if not nil, the content, instead of From's
	link string // if not "", the file is a symlink with this target
}

// Gather lists the file from, or the directory from with everything in it, to be sent to
// the path to. It leaves out everything but files, directories and symlinks.
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
		return nil, fmt.Errorf("collect the program's files: %w", err)
	}
	return out, nil
}

// Size returns the size of the files in bytes.
func Size(files []File) int64 {
	var sum int64
	for i := range files {
		sum += files[i].size
	}
	return sum
}

// Digest names what a guest gets of the files.
func Digest(files []File) (string, error) {
	sum := sha256.New()
	for i := range files {
		err := files[i].send(func(k wire.Kind, payload []byte) error {
			fmt.Fprintf(sum, "%d %d\n%s", k, len(payload), payload)
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("name the program's files by a digest: %w", err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
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

// Libraries returns the paths of everything that a dynamically linked program loads: its
// loader and its libraries, with theirs. For a script, it returns the interpreter and what
// that loads.
func Libraries(program string) ([]string, error) {
	var out []string
	for _, name := range append(interpreters(program), program) {
		if name != program {
			out = append(out, name)
		}
		list, err := loaded(name)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// loaded lists what the host's dynamic loader loads for a program: nothing for a static one. The loader's error names a
// library that is missing.
func loaded(program string) ([]string, error) {
	dynamic, err := isDynamic(program)
	if err != nil || !dynamic {
		return nil, err
	}
	list, err := ldd.List(program)
	if err != nil {
		return nil, fmt.Errorf("find the libraries of %s: link it statically (CGO_ENABLED=0 for Go), "+
			"or give them with --with: %w", program, err)
	}
	return list, nil
}

// isDynamic reports whether a file is an ELF file that needs libraries.
func isDynamic(path string) (bool, error) {
	f, err := elf.Open(path)
	var format *elf.FormatError
	if errors.As(err, &format) || errors.Is(err, io.EOF) {
		return false, nil // a script, for example
	}
	if err != nil {
		return false, fmt.Errorf("read the program: %w", err)
	}
	defer f.Close()
	if !slices.ContainsFunc(arch.All, func(a *arch.Arch) bool { return a.Runs(uint16(f.Machine)) }) {
		return false, fmt.Errorf("%s is for %s, and there is no such machine", path, f.Machine)
	}
	names, err := f.ImportedLibraries()
	return err == nil && len(names) > 0, nil // a static program has no table of them
}

// interpreters returns the programs that a script's first line names.
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
