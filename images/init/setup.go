package main

import (
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/harness/guest"
)

// moduleDir is where package images puts modules, named so that their lexical order is the order to load them in.
const moduleDir = "/modules"

// setUp mounts and loads everything. It returns what it changed, with what the kernel refused; a small kernel lacks
// some of it, which is for the host to judge.
func setUp() []step.Change {
	os.Chmod("/", 0o755) // the kernel makes it with 1777
	var done []step.Change
	for _, m := range step.Mounts {
		err := unix.Mount(m.FS, m.Dir, m.FS, flags(m), "")
		done = append(done, step.Change{Kind: step.ChangeMount, Name: m.Dir, To: m.FS, Errno: guest.ErrnoOf(err)})
	}
	return append(done, loadModules(moduleDir)...)
}

func flags(m step.Mount) uintptr {
	flags := uintptr(unix.MS_NOSUID)
	if !m.Devices {
		flags |= unix.MS_NODEV
	}
	if !m.Programs {
		flags |= unix.MS_NOEXEC
	}
	return flags
}

func loadModules(dir string) []step.Change {
	names, _ := filepath.Glob(dir + "/*") // the pattern is well formed
	slices.Sort(names)
	var done []step.Change
	for _, name := range names {
		done = append(
			done,
			step.Change{Kind: step.ChangeModule, Name: filepath.Base(name), Errno: guest.ErrnoOf(loadModule(name))},
		)
	}
	return done
}

func loadModule(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}
