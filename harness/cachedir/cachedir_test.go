package cachedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// book is a manifest of a caller's.
type book struct {
	Title string
	Sums
}

// fill makes an entry with two files and returns its path.
func fill(t *testing.T, dir, title string) string {
	t.Helper()
	temp, remove, err := Temp(dir, "book")
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	for name, text := range map[string]string{"a": title, "b": ""} {
		if err := os.WriteFile(filepath.Join(temp, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := &book{Title: title}
	if err := Seal(temp, b); err != nil {
		t.Fatal(err)
	}
	entry := filepath.Join(dir, "entry")
	if err := Install(temp, entry, b); err != nil {
		t.Fatal(err)
	}
	return entry
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if err := Open(filepath.Join(dir, "entry"), &book{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no entry: %v", err)
	}
	entry := fill(t, dir, "one")
	var b book
	if err := Open(entry, &b); err != nil || b.Title != "one" || len(b.Files) != 2 {
		t.Errorf("got %+v, %v", b, err)
	}
	if got, err := Digest(filepath.Join(entry, "b")); err != nil || got != b.Files["b"] ||
		got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("an empty file has the digest %s, %v", got, err)
	}
	fill(t, dir, "two") // takes the place of the first
	if err := Open(entry, &b); err != nil || b.Title != "two" {
		t.Errorf("got %+v, %v", b, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Each kind of damage is an error other than that there is no entry.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(entry string) error{
		"changed file":   func(e string) error { return os.WriteFile(filepath.Join(e, "a"), []byte("One"), 0o644) },
		"cut file":       func(e string) error { return os.Truncate(filepath.Join(e, "a"), 1) },
		"missing file":   func(e string) error { return os.Remove(filepath.Join(e, "b")) },
		"cut manifest":   func(e string) error { return os.Truncate(filepath.Join(e, ManifestFile), 9) },
		"empty manifest": func(e string) error { return os.Truncate(filepath.Join(e, ManifestFile), 0) },
		"directory inside": func(e string) error {
			return errors.Join(os.Remove(filepath.Join(e, "b")), os.Mkdir(filepath.Join(e, "b"), 0o755))
		},
	} {
		entry := fill(t, t.TempDir(), "one")
		if err := damage(entry); err != nil {
			t.Fatal(err)
		}
		if err := Open(entry, &book{}); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Temp removes what a killed process left.
func TestTempIsEmpty(t *testing.T) {
	dir := t.TempDir()
	first, _, err := Temp(dir, "x")
	if err == nil {
		err = os.WriteFile(filepath.Join(first, "half"), nil, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	second, remove, err := Temp(dir, "x")
	if err != nil {
		t.Fatal(err)
	}
	if !Unfinished(filepath.Base(second)) || Unfinished("entry") {
		t.Errorf("%s and entry are not told apart", second)
	}
	if files, err := os.ReadDir(second); err != nil || len(files) > 0 {
		t.Errorf("got %v, %v", files, err)
	}
	remove()
	if _, err := os.Stat(second); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove left it: %v", err)
	}
}
