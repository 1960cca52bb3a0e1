package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// finding is one thing that the host has or lacks.
type finding struct {
	what, state string
	needed      bool   // without it nothing runs
	mend        string // the command that mends it
}

func (a *app) doctorCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "say what this host has and lacks, with the command that mends it",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			list := a.examine()
			for _, f := range list {
				mark := "ok     "
				switch {
				case f.mend != "" && f.needed:
					mark, a.code = "MISSING", result.ExitNoVerdict
				case f.mend != "":
					mark = "absent "
				}
				fmt.Fprintf(a.stdout, "%s  %s: %s\n", mark, f.what, f.state)
				if f.mend != "" {
					fmt.Fprintf(a.stdout, "         mend: %s\n", f.mend)
				}
			}
			if line := installs(list, distribution()); line != "" {
				fmt.Fprintf(a.stdout, "\nTo install what is missing, as root:\n  %s\n", line)
			}
			return nil
		},
	}
}

func (a *app) examine() []finding {
	out := []finding{
		tool("qemu-system-x86_64", "--version", true, "scripts/setup.sh, or: apt-get install qemu-system-x86"),
		tool("go", "version", true, "install the Go that go.mod asks for, from your distribution or its site"),
		tool("apt-get", "--version", false, "only deb: references want apt; give the path to a bzImage instead"),
		tool("dpkg-deb", "--version", false, "only deb: references want dpkg; give the path to a bzImage instead"),
	}
	return append(out, a.kvm(), a.cache())
}

func tool(name, arg string, needed bool, mend string) finding {
	f := finding{what: name, needed: needed}
	out, err := exec.Command(name, arg).Output()
	if err != nil {
		f.state, f.mend = "not found or not working: "+err.Error(), mend
		return f
	}
	f.state, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	return f
}

func (a *app) kvm() finding {
	f := finding{what: "kvm"}
	dir, err := a.cachePath()
	if err != nil {
		f.state = err.Error()
		return f
	}
	file, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case err != nil:
		f.state = err.Error() + "; guests are emulated, which takes some 8 times as long"
		f.mend = "join the group that owns /dev/kvm, or load the kvm module"
		return f
	default:
		file.Close()
	}
	accel, why, ok := vm.Lookup(vm.ProbeOptions{Format: "bzImage", CacheDir: dir})
	switch {
	case !ok:
		f.state = "/dev/kvm opens; the first run tries whether a guest runs on it"
	case accel == vm.KVM:
		f.state = strings.TrimPrefix(why, "kvm: ")
	default:
		f.state = strings.TrimPrefix(why, "tcg: ") + "; guests are emulated, which takes some 8 times as long"
	}
	return f
}

func (a *app) cachePath() (string, error) {
	if a.cacheDir != "" {
		return a.cacheDir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w; name one with --cache", err)
	}
	return filepath.Join(dir, "tokentest"), nil
}

// makeCache makes the cache directory when it is not there.
func (a *app) makeCache() (string, error) {
	dir, err := a.cachePath()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w; name another with --cache", err)
	}
	return dir, nil
}

func (a *app) cache() finding {
	f := finding{what: "cache", needed: true}
	dir, err := a.makeCache()
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, "doctor-*"); err == nil {
			probe.Close()
			err = os.Remove(probe.Name())
		}
	}
	f.state = dir
	if err != nil {
		f.state, f.mend = err.Error(), "name a directory that can be written with --cache"
	}
	return f
}
