package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
)

// A mount that came before the one that it lies in would be hidden by it.
func TestMountsAreInOrder(t *testing.T) {
	for i, outer := range step.Mounts {
		for _, before := range step.Mounts[:i] {
			if strings.HasPrefix(before.Dir+"/", outer.Dir+"/") {
				t.Errorf("%s would hide %s", outer.Dir, before.Dir)
			}
		}
	}
}

func TestLoadModulesNamesEachFailure(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"001-b.ko.bad", "000-a.ko.bad"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := loadModules(dir)
	if len(got) != 2 {
		t.Fatalf("got %v, want two modules", got)
	}
	for i, name := range []string{"000-a.ko.bad", "001-b.ko.bad"} {
		if c := got[i]; c.Kind != step.ChangeModule || c.Name != name || c.Errno == 0 {
			t.Errorf("got %+v, want %s refused", c, name)
		}
	}
	if got := loadModules(filepath.Join(dir, "none")); got != nil {
		t.Errorf("without modules: got %v, want none", got)
	}
}

// A mount without devices and programs has the flags that forbid them.
func TestFlags(t *testing.T) {
	const all = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, tt := range []struct {
		m    step.Mount
		want uintptr
	}{
		{step.Mount{}, all},
		{step.Mount{Programs: true}, unix.MS_NOSUID | unix.MS_NODEV},
		{step.Mount{Programs: true, Devices: true}, unix.MS_NOSUID},
	} {
		if got := flags(tt.m); got != tt.want {
			t.Errorf("%+v: flags %#x, want %#x", tt.m, got, tt.want)
		}
	}
}
