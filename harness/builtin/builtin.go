// Package builtin says what is built into the program: its version, its agent, and the files
// that it can print.
//
// It reads no checkout; package images chooses between the built-in agent and one from there.
//
// Start with Of and Files.
package builtin

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"tokentest/cases"
	"tokentest/images"
	"tokentest/kconfig"
	"tokentest/results"
	"tokentest/scripts"
)

// What the Makefile links in: the tag or commit that git describe names, and the day of the commit.
var version, day string

// Version says which program this is.
type Version struct {
	Version  string `json:"version"`         // a tag, or the commit with -dirty if files were changed; or "unknown"
	Go       string `json:"go"`              // the toolchain
	Platform string `json:"platform"`        // GOOS/GOARCH
	Agent    string `json:"agent,omitempty"` // the build ID of the built-in agent, as in a run's run.json
}

// Of returns the version of this program.
func Of() Version {
	return Version{
		Version: cmp.Or(version, stamped(), "unknown"), Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Agent: images.BuiltinAgent(),
	}
}

// String is one line.
func (v Version) String() string {
	agent := "no built-in agent"
	if v.Agent != "" {
		agent = "agent " + v.Agent
	}
	return fmt.Sprintf("tokentest %s, %s %s, %s", v.Version, v.Go, v.Platform, agent)
}

// stamped is the commit that the go command has recorded.
func stamped() string {
	commit := setting("vcs.revision")
	if len(commit) > 12 {
		commit = commit[:12]
	}
	if commit != "" && setting("vcs.modified") == "true" {
		commit += "-dirty"
	}
	return commit
}

// setting is what the go command has recorded under a key, or "".
func setting(key string) string {
	info, ok := debug.ReadBuildInfo()
	for i := 0; ok && i < len(info.Settings); i++ {
		if s := info.Settings[i]; s.Key == key {
			return s.Value
		}
	}
	return ""
}

// Day is the day of the commit that the program is built from, so that the same program writes the same pages; a fixed
// one if the build does not know it.
func Day() time.Time {
	if t, err := time.Parse(time.DateOnly, day); err == nil {
		return t
	}
	if t, err := time.Parse(time.RFC3339, setting("vcs.time")); err == nil {
		return t
	}
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
}

// dirs are the folders of the checkout with files that are built in.
var dirs = []struct {
	name  string
	files fs.FS
}{
	{"cases", cases.Files()}, {"kconfig", kconfig.Files()}, {"results", results.Files}, {"scripts", scripts.Files},
}

// ErrNoFile says that no built-in file has the name.
var ErrNoFile = errors.New("no such built-in file")

// Files returns the names of the files that are built in, as in a checkout, sorted.
func Files() ([]string, error) {
	var out []string
	for _, d := range dirs {
		err := fs.WalkDir(d.files, ".", func(name string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				out = append(out, path.Join(d.name, name))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return out, nil
}

// Read returns the content of a built-in file. Its name may leave out the folders.
func Read(name string) ([]byte, error) {
	all, err := Files()
	if err != nil {
		return nil, err
	}
	for _, full := range all {
		if full != name && path.Base(full) != name {
			continue
		}
		dir, rest, _ := strings.Cut(full, "/")
		for _, d := range dirs {
			if d.name == dir {
				return fs.ReadFile(d.files, rest)
			}
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNoFile, name)
}
