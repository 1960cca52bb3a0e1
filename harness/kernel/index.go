package kernel

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"tokentest/harness/arch"
)

// pkg is a package as the mirror's lists describe it (deb-control(5)).
type pkg struct {
	Name, Version, Suite string

	File    string   // below the archive's root
	SHA256  string   // of the package, from a list whose signature was verified
	Size    int64    // of the package
	Depends []string // the kernel packages among them, without versions
	Gone    bool     // still in the list, no longer on the mirror
}

// index is the small part of the package lists that is about kernels. It is cached for a day, so
// that not every run needs apt and the network.
type index struct {
	Version  int // indexVersion
	Time     time.Time
	Suites   map[string]string // to the role: trixie is stable
	Packages []pkg

	arch *arch.Arch // of the kernels
}

// maxAge is how long an index counts as recent. Debian's archive changes four
// times a day, its kernels far less often.
const maxAge = 24 * time.Hour

// loadIndex reads an index that save wrote.
func loadIndex(path string) (*index, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	x := new(index)
	if err := json.Unmarshal(b, x); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	if x.Version != indexVersion {
		return nil, fmt.Errorf("%s was written by another version of tokentest: %w", path, fs.ErrNotExist)
	}
	return x, nil
}

// indexVersion changes whenever kernelPackage selects other packages.
const indexVersion = 2

func (x *index) save(path string) error {
	x.Version = indexVersion
	b, err := json.MarshalIndent(x, "", "\t")
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, b, 0o644)
}

// kernelPackage matches the packages of a kernel: one up to 6.18, four since then. It matches
// neither debug symbols nor unsigned images. The common headers of a release contain the uapi
// enumerations; linux-source has the sources with the distribution's patches.
func kernelPackage(of *arch.Arch) *regexp.Regexp {
	flavours := `[0-9]\S*(` + strings.Join(of.Suffix, "|") + `)`
	return regexp.MustCompile(`^linux-(` + strings.Join([]string{
		`(image|base|binary|modules)-` + flavours, `image-` + flavours + `-dbg`,
		`headers-[0-9]\S*-common`, `source-[0-9][0-9.]*`,
	}, "|") + `)$`)
}

// readPackages reads the kernel packages of a Packages file.
func readPackages(r io.Reader, suite string, of *arch.Arch) ([]pkg, error) {
	var all []pkg
	var p *pkg
	wanted := kernelPackage(of)
	lines := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := lines.ReadSlice('\n')
		if name, ok := bytes.CutPrefix(line, []byte("Package: ")); ok {
			p = nil
			if name = bytes.TrimSpace(name); wanted.Match(name) {
				all = append(all, pkg{Name: string(name), Suite: suite})
				p = &all[len(all)-1]
			}
		} else if p != nil {
			p.set(string(line), wanted)
		}
		switch {
		case err == io.EOF:
			return all, nil
		case err != nil && err != bufio.ErrBufferFull: // the rest of a long line, which is no field
			return nil, err
		}
	}
}

// set sets one field from a line. The lists name no field twice.
func (p *pkg) set(line string, wanted *regexp.Regexp) {
	field, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
	switch field {
	case "Version":
		p.Version = value
	case "Filename":
		p.File = value
	case "SHA256":
		p.SHA256 = value
	case "Size":
		p.Size, _ = strconv.ParseInt(value, 10, 64)
	case "Depends":
		for d := range strings.SplitSeq(value, ", ") {
			if name, _, _ := strings.Cut(d, " "); wanted.MatchString(name) {
				p.Depends = append(p.Depends, name)
			}
		}
	}
}

// parts returns the packages that hold the files of a kernel: the image
// package and those of the same version that it depends on. The modules come
// last because they are large and often not needed. Lost are the names of those
// that are in no list: backports keep signed images (linux-image and
// linux-binary) of versions whose other packages are gone.
func (x *index) parts(p image) (parts []pkg, lost []string) {
	parts = []pkg{p.pkg}
	for _, name := range p.Depends {
		if q, ok := x.lookup(name, p); ok {
			parts = append(parts, q)
		} else {
			lost = append(lost, name)
		}
	}
	slices.SortStableFunc(parts, func(a, b pkg) int { return late(a) - late(b) })
	return parts, lost
}

// lookup finds a package of p's version, preferably in p's suite.
func (x *index) lookup(name string, p image) (found pkg, ok bool) {
	for _, q := range x.Packages {
		if q.Name == name && q.Version == p.Version && (!ok || q.Suite == p.Suite) {
			found, ok = q, true
		}
	}
	return found, ok
}

// late is 1 for packages that are fetched only if they are needed.
func late(p pkg) int {
	if strings.HasPrefix(p.Name, "linux-modules-") {
		return 1
	}
	return 0
}
