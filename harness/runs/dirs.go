// Package runs knows where runs are stored: it makes the directory of a new run, finds the
// newest one, and loads runs with errors that tell the user what to do next.
//
// The format of a stored run is package result's. It judges nothing and prints nothing.
//
// Start with Make and Load.
package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// Make makes the directory of a run: out, which must not exist, or if it is "" one named by
// the time in Base. No other run can have it.
func Make(out string) (string, error) {
	if out != "" {
		dir, err := MakeDir(out)
		if errors.Is(err, fs.ErrExist) {
			return "", usage.Errorf("--out %s: it exists; a run has a directory of its own", out)
		}
		return dir, err
	}
	base, err := Base()
	if err != nil {
		return "", err
	}
	for {
		dir, err := MakeDir(filepath.Join(base, time.Now().UTC().Format("20060102-150405.000")))
		if !errors.Is(err, fs.ErrExist) {
			return dir, err
		}
		time.Sleep(time.Millisecond) // another run started in the same moment
	}
}

// MakeDir makes a directory and those above it, and returns its absolute name. The directory
// must not exist: then the error is fs.ErrExist.
func MakeDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(dir), 0o755)
	}
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("make the run's directory: %w; name another one with --out", err)
	}
	return dir, nil
}

// Base is the directory of the runs for which the user names none: results/runs in a
// checkout, else in the user's state directory.
func Base() (string, error) {
	if text, err := os.ReadFile("go.mod"); err == nil && strings.HasPrefix(string(text), "module tokentest\n") {
		return filepath.Join("results", "runs"), nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "tokentest", "runs"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the run: %w; name one with --out", err)
	}
	return filepath.Join(home, ".local", "state", "tokentest", "runs"), nil
}

// Store writes a run that no lab made into its directory, which must exist.
func Store(r *result.Run) error {
	s, err := result.Create(r.Dir)
	if err != nil {
		return err
	}
	for i, k := range r.Kernels {
		if err := s.Append(i, k); err != nil {
			return err
		}
	}
	return s.Close(r)
}

// newest is advice that names the newest stored run.
func newest() string {
	base, err := Base()
	if err != nil {
		return ""
	}
	names, err := result.Runs(base)
	if err != nil || len(names) == 0 {
		return "; tokentest run makes one"
	}
	return "; the newest is in " + names[len(names)-1]
}
