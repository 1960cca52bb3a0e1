// Command sbom writes the bill of materials of a release, in CycloneDX's JSON, to standard output: every module that is
// compiled into the command, into the agent or into the shell, with its version, digest and licence. The same checkout
// gives the same bytes.
//
// It builds nothing. Usage: sbom VERSION; start with main.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/licensecheck"

	"tokentest/images"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// module is what go list prints about a module that is used.
type module struct {
	Path, Version, Dir, Sum, GoVersion string
	Main                               bool
}

func run(args []string, to io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: sbom VERSION")
	}
	mods, err := modules(slices.Concat([]string{"./harness/cmd/tokentest"}, images.Packages()))
	if err != nil {
		return err
	}
	bom, err := bill(args[0], mods)
	if err != nil {
		return err
	}
	return cyclonedx.NewBOMEncoder(to, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom,
		cyclonedx.SpecVersion1_6)
}

// modules lists the modules that packages are compiled from, sorted by path.
func modules(packages []string) ([]module, error) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=Module"}, packages...)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the modules: %w", err)
	}
	seen := map[string]module{}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var p struct{ Module *module }
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list the modules: %w", err)
		}
		if p.Module != nil { // the standard library has none
			seen[p.Module.Path] = *p.Module
		}
	}
	var out []module
	for _, m := range seen {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// bill is the bill of materials of a version that is compiled from modules.
func bill(version string, mods []module) (*cyclonedx.BOM, error) {
	bom := cyclonedx.NewBOM()
	var parts []cyclonedx.Component
	var refs []string
	for _, m := range mods {
		c, err := component(m)
		if err != nil {
			return nil, err
		}
		if m.Main {
			c.Type, c.Version = cyclonedx.ComponentTypeApplication, version
			c.PackageURL = "pkg:golang/" + m.Path + "@" + version
			bom.Metadata = &cyclonedx.Metadata{Component: c}
			continue
		}
		parts, refs = append(parts, *c), append(refs, c.BOMRef)
	}
	if bom.Metadata == nil {
		return nil, errors.New("list the modules: the main module is not among them")
	}
	goVersion, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return nil, fmt.Errorf("find the version of Go: %w", err)
	}
	std := strings.TrimPrefix(strings.TrimSpace(string(goVersion)), "go")
	parts = append(parts, cyclonedx.Component{
		BOMRef: "pkg:golang/std@" + std, Type: cyclonedx.ComponentTypeLibrary, Name: "std", Version: std,
		PackageURL: "pkg:golang/std@" + std, Licenses: licence("BSD-3-Clause"),
	})
	refs = append(refs, "pkg:golang/std@"+std)
	bom.Components = &parts
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: bom.Metadata.Component.BOMRef, Dependencies: &refs}}
	return bom, nil
}

// component describes a module.
func component(m module) (*cyclonedx.Component, error) {
	url := "pkg:golang/" + m.Path
	if m.Version != "" {
		url += "@" + m.Version
	}
	c := &cyclonedx.Component{BOMRef: url, Type: cyclonedx.ComponentTypeLibrary, Name: m.Path, Version: m.Version,
		PackageURL: url}
	if sum, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
		digest, err := base64.StdEncoding.DecodeString(sum)
		if err != nil {
			return nil, fmt.Errorf("read the digest of %s: %w", m.Path, err)
		}
		c.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(digest)}}
	}
	id, err := licenceIn(m.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the licence of %s: %w", m.Path, err)
	}
	if id != "" {
		c.Licenses = licence(id)
	}
	return c, nil
}

func licence(id string) *cyclonedx.Licenses {
	return &cyclonedx.Licenses{{License: &cyclonedx.License{ID: id}}}
}

// minCover is how much of a licence file must be a known licence.
const minCover = 75

// licenceIn returns the SPDX identifier of the licence file in a module's directory; "" if there is none that is known.
func licenceIn(dir string) (string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return "", err
	}
	for _, name := range names {
		upper := strings.ToUpper(filepath.Base(name))
		if !strings.HasPrefix(strings.TrimPrefix(upper, "UN"), "LICEN") && !strings.HasPrefix(upper, "COPYING") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if cover := licensecheck.Scan(text); cover.Percent >= minCover && len(cover.Match) > 0 {
			return cover.Match[0].ID, nil
		}
	}
	return "", nil
}
