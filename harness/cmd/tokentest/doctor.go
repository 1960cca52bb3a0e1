package main

import (
	"context"
	"fmt"
	"go/version"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/harness/child"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/vm"
	"tokentest/images"
)

// finding is one thing that the host has or lacks.
type finding struct {
	what, state string
	needed      bool   // without it nothing runs
	mend        string // the command that mends it
	// packages are Debian's that hold what is missing, where it is several things.
	packages []string
}

func (a *app) doctorCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "say what this host has and lacks, with the command that mends it",
		Args:  args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			list := a.examine(c.Context())
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

func (a *app) examine(ctx context.Context) []finding {
	out := []finding{
		tool(ctx, "qemu-system-x86_64", "--version", true, "scripts/setup.sh, or: apt-get install qemu-system-x86"),
		a.sources(),
		goTool(ctx),
		tool(ctx, "apt-get", "--version", false, "only deb: references want apt; give the path to a bzImage instead"),
		tool(ctx, "dpkg-deb", "--version", false, "only deb: references want dpkg; give the path to a bzImage instead"),
	}
	return append(out, a.kvm(), a.cache(), compilers(ctx))
}

// sources are what the agent is built from.
func (a *app) sources() finding {
	f := finding{what: "sources", needed: true}
	root, _, err := images.Options{}.Needs()
	if f.state = root; err == nil {
		err = (&lab.Lab{CacheDir: a.cacheDir}).CheckSources()
	}
	if err != nil {
		f.state, f.mend = err.Error(), "call tokentest from a checkout of its sources, after make build there"
	}
	return f
}

// goTool compiles the agent. From 1.21 on it fetches a newer one by itself.
func goTool(ctx context.Context) finding {
	_, want, err := images.Options{}.Needs()
	if err != nil || want == "" {
		want = strings.TrimPrefix(runtime.Version(), "go")
	}
	return newEnough(tool(ctx, "go", "version", true, "install Go "+want+" or newer; from Go's own site where the distribution's is older than 1.21"), want)
}

// newEnough looks at the version of a Go that was found.
func newEnough(f finding, want string) finding {
	has := goVersion.FindStringSubmatch(f.state)
	if has == nil || f.mend != "" {
		return f
	}
	switch major, minor := number(has[1]), number(has[2]); {
	case major == 1 && minor < 21:
		f.state, f.mend = f.state+", which is too old", "install Go "+want+" or newer from Go's own site"
	case version.Compare(has[0], "go"+want) < 0:
		f.state += "; it fetches " + want + " once, which takes a network"
	}
	return f
}

var goVersion = regexp.MustCompile(`go(\d+)\.(\d+)(\.\d+)?`)

func number(digits string) int {
	n, _ := strconv.Atoi(digits) // they are digits
	return n
}

// compilers build kernels, for src: and git: references.
func compilers(ctx context.Context) finding {
	f := finding{what: "kernel build", state: "all that building a kernel takes is there"}
	if lost, pkgs := kernel.Missing(ctx); len(lost) > 0 {
		f.state = "no " + strings.Join(lost, ", ") + "; only git: and src: references want it"
		f.mend, f.packages = "scripts/setup-build.sh, or: apt-get install -y "+strings.Join(pkgs, " "), pkgs
	}
	return f
}

func tool(ctx context.Context, name, arg string, needed bool, mend string) finding {
	f := finding{what: name, needed: needed}
	out, err := child.Command(ctx, name, arg).Output()
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
		f.state = why
	default:
		f.state = why + "; guests are emulated, which takes some 8 times as long"
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
