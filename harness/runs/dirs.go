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

	"golang.org/x/sys/unix"

	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// nameForm is the name of a run's directory: the time in UTC at which it began.
const nameForm = "20060102-150405.000"

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
		dir, err := MakeDir(filepath.Join(base, time.Now().UTC().Format(nameForm)))
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

// Base is the directory of the runs for which the user names none, wherever the tool is
// started: that of TOKENTEST_RUNS; results/runs of the checkout around the working directory,
// if this user may write there; else tokentest/runs in the user's state directory.
func Base() (string, error) {
	if dir := os.Getenv(Variable); dir != "" {
		return dir, nil
	}
	if root := checkout(); root != "" {
		dir := filepath.Join(root, "results", "runs")
		if writable(dir) {
			return dir, nil
		}
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "tokentest", "runs"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the run: %w; name one with --out or %s", err, Variable)
	}
	return filepath.Join(home, ".local", "state", "tokentest", "runs"), nil
}

// Variable is the environment variable that names the directory of the runs.
const Variable = "TOKENTEST_RUNS"

// checkout is the directory of this project's sources that holds the working directory,
// relative to it; "" if there is none.
func checkout() string {
	here, err := os.Getwd()
	if err != nil {
		return ""
	}
	for dir := "."; ; dir = filepath.Join(dir, "..") {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module tokentest\n") {
			return dir
		}
		if filepath.Join(here, dir) == "/" {
			return ""
		}
	}
}

// writable reports whether this user may make a directory in dir, which need not exist.
func writable(dir string) bool {
	for {
		err := unix.Access(dir, unix.W_OK|unix.X_OK)
		if !errors.Is(err, fs.ErrNotExist) || dir == "." {
			return err == nil
		}
		dir = filepath.Dir(dir)
	}
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

// Keep stores a run that was read, such as the merged parts of one, in a new directory, and sets the run's directory.
// What the machines printed stays where it is. A damaged run is an error: its copy would look whole.
func Keep(r *result.Run, dir string) error {
	if len(r.Damage) > 0 {
		return fmt.Errorf("keep %s in %s: its records are damaged: %s", r.Dir, dir, r.Damage[0].String())
	}
	dir, err := Make(dir)
	if err != nil {
		return err
	}
	from, err := filepath.Abs(r.Dir)
	if err != nil {
		return fmt.Errorf("keep the run: %w", err)
	}
	for _, k := range r.Kernels {
		for i := range k.Boots {
			b := &k.Boots[i]
			if b.Dir, err = filepath.Rel(dir, filepath.Join(from, b.Dir)); err != nil {
				return fmt.Errorf("keep the run: %w", err)
			}
		}
	}
	r.Dir = dir
	return Store(r)
}

// newest is advice that names the newest stored run.
func newest() string {
	dir, err := newestRun()
	if err != nil {
		return "; tokentest run makes one"
	}
	return "; the newest is in " + dir
}
