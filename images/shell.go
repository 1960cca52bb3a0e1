package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/u-root/u-root/pkg/cpio"

	"tokentest/harness/arch"
)

// Shell is the path of the shell in an image from WithShell.
const Shell = "/bin/gosh"

const shellName = "shell"

// commands are u-root's commands for looking around in a machine.
var commands = []string{
	"basename", "cat", "chmod", "cp", "date", "df", "dirname", "dmesg", "du", "echo", "false", "find", "gosh",
	"grep", "head", "hexdump", "id", "insmod", "kill", "ln", "ls", "lsmod", "mkdir", "mktemp", "mount", "mv", "printenv",
	"ps", "pwd", "readlink", "realpath", "rm", "rmmod", "seq", "sleep", "sort", "strace", "strings", "sync", "tail", "tar",
	"tee", "timeout", "touch", "tr", "true", "umount", "uname", "uniq", "unshare", "wc", "which", "xargs",
}

const commandRoot = "github.com/u-root/u-root/cmds/core/"

// ownCommands are the folders of this module's own commands.
var ownCommands = []string{"images/sh"}

// Command returns the path of the command of a name in an image from WithShell; "" if there is none.
func Command(name string) string {
	own := func(dir string) bool { return path.Base(dir) == name }
	if slices.Contains(commands, name) || slices.ContainsFunc(ownCommands, own) {
		return path.Join(path.Dir(Shell), name)
	}
	return ""
}

// busybox is the one program that all commands are links to.
const busybox = "bb"

// WithShell returns img with u-root's shell and commands in /bin.
func WithShell(ctx context.Context, img *Image, o Options) (*Image, error) {
	with, err := o.withShell(ctx, img)
	if err != nil {
		return nil, fmt.Errorf("build shell: %w", err)
	}
	return with, nil
}

func (o Options) withShell(ctx context.Context, img *Image) (*Image, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	from, err := o.find()
	if err != nil {
		return nil, err
	}
	o.Source = from.source
	if b, ok := from.has(nameFor(shellName, o.Arch), func() (string, error) { return shellID(o.Source, o.Arch) }); ok {
		return o.extend(ctx, img, shellName, []byte(b.ID), func(w io.Writer) error {
			text, err := unpackBuiltin(Builtin, nameFor(shellName, o.Arch), b)
			if err == nil {
				_, err = w.Write(text)
			}
			return err
		})
	}
	version, err := goVersion(ctx, o)
	if err != nil {
		return nil, err
	}
	id, err := shellID(o.Source, o.Arch)
	if err != nil {
		return nil, err
	}
	id = withVersion(id, version)
	return o.extend(ctx, img, shellName, []byte(id), func(w io.Writer) error {
		o.Log("compiling u-root's shell and commands, which takes half a minute")
		work, err := os.MkdirTemp("", "tokentest-shell-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(work)
		return o.shellArchive(ctx, id, work, w)
	})
}

// shellID is the digest of what the shell's archive is made from.
func shellID(root string, of *arch.Arch) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s %q %q %q\n", busybox, fullPart("", of).pinned(), commands, busyboxArgs("", ""))
	files := []string{"go.mod", "go.sum"} // they contain the version of u-root
	for _, c := range ownCommands {
		files = append(files, c+"/main.go")
	}
	for _, name := range files {
		if err := hashFile(h, root, name); err != nil {
			return "", fmt.Errorf("read sources: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// busyboxArgs are the go command's arguments that build the busybox in the GOPATH gopath as the file out.
func busyboxArgs(out, gopath string) []string {
	return []string{
		"build", "-C", filepath.Join(gopath, "src/bb.u-root.com/bb"), "-o", out, "-trimpath", "-buildvcs=false", "-pgo=off",
		"-ldflags", "-s -w -buildid=", ".",
	}
}

// shellArchive compiles the commands into one program, with gobusybox, and writes its archive.
func (o Options) shellArchive(ctx context.Context, _, work string, to io.Writer) error {
	gopath, program := filepath.Join(work, "gopath"), filepath.Join(work, busybox)
	if err := os.Mkdir(gopath, 0o755); err != nil {
		return err
	}
	tmp := "GOTMPDIR=" + work
	// Left to build by itself, gobusybox compiles everything anew, the standard library too.
	args := []string{"-g", "-gen-dir", gopath}
	for _, c := range commands {
		args = append(args, commandRoot+c)
	}
	for _, c := range ownCommands {
		args = append(args, "./"+c)
	}
	makebb, err := hostTool(ctx, o, "makebb")
	if err != nil {
		return err
	}
	if _, err := run(ctx, o, makebb, []string{tmp}, args...); err != nil {
		return err
	}
	env := []string{tmp, "GO111MODULE=off", "GOPATH=" + gopath}
	if _, err := runGo(ctx, o, env, busyboxArgs(program, gopath)...); err != nil {
		return err
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return writeArchive(to, shellRecords(string(text)))
}

// shellRecords are the files of the shell: one program, and a link to it for each command.
func shellRecords(program string) []cpio.Record {
	records := []cpio.Record{cpio.Directory("bin", 0o755), cpio.StaticFile("bin/"+busybox, program, 0o755)}
	for _, c := range slices.Sorted(slices.Values(commands)) {
		records = append(records, cpio.Symlink("bin/"+c, busybox))
	}
	for _, c := range ownCommands {
		records = append(records, cpio.Symlink("bin/"+path.Base(c), busybox))
	}
	return records
}

// Packages are the packages of the programs in the images: the init, and the shell's commands.
func Packages() []string {
	out := []string{module + "/" + agentPkg}
	for _, c := range commands {
		out = append(out, commandRoot+c)
	}
	for _, c := range ownCommands {
		out = append(out, module+"/"+c)
	}
	return out
}
