// Package cachedir keeps what takes long to make. An entry is a directory with files and a manifest, which holds the
// digests of the files. An entry appears as a whole, by a rename, so a reader without a lock sees all of it or nothing.
// A damaged entry counts as missing. The locks for making an entry and the names of entries are the caller's.
//
// To make an entry: Temp, write the files, Seal, Install. To use one: Open. An entry that a process uses is not removed
// under it: Open holds it until the process ends, and Remove leaves it alone. Start with Open; hold.go has the locks.
package cachedir

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// ManifestFile is the name of the manifest in an entry.
const ManifestFile = "manifest.json"

// Sums is the part of a manifest that this package writes. A caller's manifest embeds it.
type Sums struct {
	Files map[string]string // the SHA-256 of each file, in hex
}

func (s *Sums) sums() *Sums { return s }

// Manifest is a pointer to a struct that embeds Sums.
type Manifest interface{ sums() *Sums }

// Read reads the manifest of an entry, and no other file.
func Read(entry string, m Manifest) error {
	path := filepath.Join(entry, ManifestFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, m); err != nil {
		return fmt.Errorf("parse %s: %w", path, err)
	}
	return nil
}

// Open holds an entry, reads its manifest and verifies every file. The error is fs.ErrNotExist if there is no entry;
// any other error means that the entry is damaged.
func Open(entry string, m Manifest) error {
	if err := Hold(entry); err != nil {
		return err
	}
	if err := Read(entry, m); err != nil {
		return err
	}
	return Verify(entry, m)
}

// Verify compares the files of an entry with its manifest.
func Verify(entry string, m Manifest) error {
	for name, want := range m.sums().Files {
		got, err := Digest(filepath.Join(entry, name))
		switch {
		case os.IsNotExist(err):
			return fmt.Errorf("%s is missing", name) // not fs.ErrNotExist, which means no entry
		case err != nil:
			return err
		case got != want:
			return fmt.Errorf("%s has changed", name)
		}
	}
	return nil
}

// tempPrefix begins the names of entries that are not complete.
const tempPrefix = ".fill-"

// Unfinished reports whether a name in a cache is that of a directory from Temp.
func Unfinished(name string) bool { return strings.HasPrefix(name, tempPrefix) }

// Temp makes an empty directory, in which the caller makes the files of an entry of the cache dir. The caller holds a
// lock for name: what a killed process left under that name is removed. remove removes the directory unless Install
// has renamed it.
func Temp(dir, name string) (temp string, remove func(), err error) {
	temp = filepath.Join(dir, tempPrefix+name)
	if err := os.RemoveAll(temp); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(temp, 0o755); err != nil {
		return "", nil, err
	}
	if err := Hold(temp); err != nil {
		return "", nil, err
	}
	return temp, func() {
		release(temp)
		os.RemoveAll(temp)
	}, nil
}

// Seal computes the digests of the files in a temporary directory and puts them into the manifest, for callers that
// name an entry by one of them.
func Seal(temp string, m Manifest) error {
	files, err := os.ReadDir(temp)
	if err != nil {
		return err
	}
	sums := map[string]string{}
	for _, f := range files {
		if sums[f.Name()], err = Digest(filepath.Join(temp, f.Name())); err != nil {
			return err
		}
	}
	m.sums().Files = sums
	return nil
}

// Install writes the sealed manifest and makes the temporary directory an entry. It replaces a damaged entry.
func Install(temp, entry string, m Manifest) error {
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(temp, ManifestFile), text, 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(entry); err != nil {
		return err
	}
	if err := os.Rename(temp, entry); err != nil {
		return err
	}
	return Hold(entry)
}

// Digest returns the SHA-256 of a file, in hex.
func Digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
