package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
)

// noLicence are modules without a licence file.
var noLicence = []string{"github.com/mattn/go-localereader"}

// The bill names the modules of the command, of the agent and of the shell, each with a digest and a licence, and is
// the same each time.
func TestBill(t *testing.T) {
	t.Chdir("../..")
	var first, second bytes.Buffer
	for _, to := range []*bytes.Buffer{&first, &second} {
		if err := run([]string{"v1"}, to); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != second.String() {
		t.Error("two bills differ")
	}
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(&first, cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if c := bom.Metadata.Component; c.Name != "tokentest" || c.Version != "v1" || c.Licenses == nil {
		t.Errorf("it is of %+v", c)
	}
	found := map[string]bool{}
	for _, c := range *bom.Components {
		found[c.Name] = true
		if c.Name != "std" && c.Hashes == nil || c.Version == "" {
			t.Errorf("%s %s: hashes %v", c.Name, c.Version, c.Hashes)
		}
		if c.Licenses == nil && !slices.Contains(noLicence, c.Name) {
			t.Errorf("%s %s: no licence", c.Name, c.Version)
		}
	}
	// The command's, the agent's and the shell's.
	for _, want := range []string{"github.com/spf13/cobra", "golang.org/x/sys", "mvdan.cc/sh/v3", "std"} {
		if !found[want] {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestLicence(t *testing.T) {
	dir := t.TempDir()
	if id, err := licenceIn(dir); id != "" || err != nil {
		t.Errorf("no file: %q, %v", id, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("Do as you please.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if id, err := licenceIn(dir); id != "" || err != nil {
		t.Errorf("an unknown one: %q, %v", id, err)
	}
	if id, err := licenceIn("../.."); id != "Apache-2.0" || err != nil {
		t.Errorf("ours: %q, %v", id, err)
	}
	if err := run(nil, os.Stdout); err == nil {
		t.Error("no error without a version")
	}
}
