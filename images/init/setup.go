package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// moduleDir is where package images puts modules, named so that their lexical order is the order to load them in.
const moduleDir = "/modules"

type mount struct {
	fs, dir string
	flags   uintptr
}

// quiet are the flags of a file system that holds neither programs nor devices.
const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mounts are made in this order: later ones lie inside earlier ones.
var mounts = []mount{
	{"proc", "/proc", quiet},
	{"sysfs", "/sys", quiet},
	{"devtmpfs", "/dev", unix.MS_NOSUID},
	{"bpf", "/sys/fs/bpf", quiet},
	{"cgroup2", "/sys/fs/cgroup", quiet},
	{"securityfs", "/sys/kernel/security", quiet},
	{"tmpfs", "/tmp", unix.MS_NOSUID | unix.MS_NODEV},
}

// setUp mounts and loads everything and returns what failed; a small kernel lacks some of it, which is for the host to
// judge.
func setUp() []error {
	var failed []error
	for _, m := range mounts {
		if err := unix.Mount(m.fs, m.dir, m.fs, m.flags, ""); err != nil {
			failed = append(failed, fmt.Errorf("mount %s on %s: %w", m.fs, m.dir, err))
		}
	}
	return append(failed, loadModules(moduleDir)...)
}

func loadModules(dir string) []error {
	names, _ := filepath.Glob(dir + "/*") // the pattern is well formed
	slices.Sort(names)
	var failed []error
	for _, name := range names {
		if err := loadModule(name); err != nil {
			failed = append(failed, fmt.Errorf("load module %s: %w", filepath.Base(name), err))
		}
	}
	return failed
}

func loadModule(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}
