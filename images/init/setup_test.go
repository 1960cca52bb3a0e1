package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mount that came before the one that it lies in would be hidden by it.
func TestMountsAreInOrder(t *testing.T) {
	for i, outer := range mounts {
		for _, before := range mounts[:i] {
			if strings.HasPrefix(before.dir+"/", outer.dir+"/") {
				t.Errorf("%s would hide %s", outer.dir, before.dir)
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
	failed := loadModules(dir)
	if len(failed) != 2 {
		t.Fatalf("got %v, want two errors", failed)
	}
	for i, want := range []string{"load module 000-a.ko.bad: ", "load module 001-b.ko.bad: "} {
		if !strings.HasPrefix(failed[i].Error(), want) {
			t.Errorf("got %v, want %q", failed[i], want)
		}
	}
	if failed := loadModules(filepath.Join(dir, "none")); failed != nil {
		t.Errorf("without modules: got %v, want none", failed)
	}
}
