package images

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/u-root/u-root/pkg/cpio"
)

// Shell is the path of the shell in an image from WithShell.
const Shell = "/bin/gosh"

// commands are u-root's commands for looking around in a machine.
var commands = []string{
	"cat", "chmod", "cp", "date", "dmesg", "echo", "find", "gosh", "grep", "head", "id", "insmod", "kill", "ln", "ls",
	"lsmod", "mkdir", "mount", "mv", "ps", "pwd", "rm", "sleep", "strace", "sync", "tail", "umount", "uname",
}

const commandRoot = "github.com/u-root/u-root/cmds/core/"

// WithShell returns img with u-root's shell and commands in /bin.
func WithShell(ctx context.Context, img *Image, o Options) (*Image, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if o.Source, err = findSource(o.Source); err != nil {
		return nil, fmt.Errorf("build shell: %w", err)
	}
	version, err := goVersion(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("build shell: %w", err)
	}
	key := sha256.New()
	fmt.Fprintf(key, "%q %q %q\n", version, pinned, commands)
	for _, name := range []string{"go.mod", "go.sum"} { // they contain the version of u-root
		if err := hashFile(key, o.Source, name); err != nil {
			return nil, fmt.Errorf("build shell: %w", err)
		}
	}
	with, err := o.extend(ctx, img, "shell", key.Sum(nil), func() ([]cpio.Record, error) { return o.shellRecords(ctx) })
	if err != nil {
		return nil, fmt.Errorf("build shell: %w", err)
	}
	return with, nil
}

// shellRecords compiles the commands.
func (o Options) shellRecords(ctx context.Context) ([]cpio.Record, error) {
	tmp, err := os.MkdirTemp("", "tokentest-shell-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	o.Log("compiling u-root's shell and commands, which takes a minute")
	args := []string{"build", "-o", tmp + "/", "-trimpath", "-buildvcs=false", "-pgo=off", "-ldflags", "-s -w -buildid="}
	for _, c := range commands {
		args = append(args, commandRoot+c)
	}
	if _, err := runGo(ctx, o, nil, args...); err != nil {
		return nil, err
	}
	records := []cpio.Record{cpio.Directory("bin", 0o755)}
	for _, c := range slices.Sorted(slices.Values(commands)) {
		text, err := os.ReadFile(filepath.Join(tmp, c))
		if err != nil {
			return nil, err
		}
		records = append(records, cpio.StaticFile("bin/"+c, string(text), 0o755))
	}
	return append(records, cpio.Symlink("bin/sh", "gosh")), nil
}
