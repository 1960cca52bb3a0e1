package runs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// Latest is the name for the newest run.
const Latest = "latest"

// runFile is the file that describes a run; people name it in place of its directory.
const runFile = "run.json"

// Find returns the directory of the run that a user names: Latest, a directory or its run.json,
// or the name of a directory below Base. A name that it does not find stays as it is, so that
// an error can have it. It is a *usage.Error if there is no newest run.
func Find(name string) (string, error) {
	if name == Latest {
		return newestRun()
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && !info.IsDir() && filepath.Base(name) == runFile:
		return filepath.Dir(name), nil
	case errors.Is(err, fs.ErrNotExist) && !strings.ContainsRune(name, '/') && name != "":
		if base, err := Base(); err == nil {
			if info, err := os.Stat(filepath.Join(base, name)); err == nil && info.IsDir() {
				return filepath.Join(base, name), nil
			}
		}
	}
	return name, nil
}

// FindAll is Find for several names with commas between, as a side of a comparison has them.
func FindAll(names string) (string, error) {
	list := strings.Split(names, ",")
	for i, name := range list {
		var err error
		if list[i], err = Find(name); err != nil {
			return "", err
		}
	}
	return strings.Join(list, ","), nil
}

// newestRun returns the directory of the run in Base that began last, whether or not it has ended.
func newestRun() (string, error) {
	base, err := Base()
	if err != nil {
		return "", err
	}
	list, err := candidates(base)
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", usage.Advisef("no run is stored in %s: name the directory of one, or tokentest run makes one", base)
	}
	return list[len(list)-1].Dir, nil
}

// Before returns the directory of the newest run in Base that began before the run in dir and
// has the same kernels and cases. It is a *usage.Error if there is none.
func Before(dir string) (string, error) {
	now, err := Head(dir)
	if err != nil {
		return "", err
	}
	base, err := Base()
	if err != nil {
		return "", err
	}
	list, err := candidates(base)
	if err != nil {
		return "", err
	}
	for _, c := range slices.Backward(list) {
		then, err := result.LoadHead(c.Dir)
		if err == nil && then.Start.Before(now.Start) && sameQuestion(then, now) {
			return c.Dir, nil
		}
	}
	return "", usage.Errorf("no earlier run of the kernels and cases of %s is in %s: name both runs", dir, base)
}

// sameQuestion reports whether two runs are of the same cases on the same kernels.
func sameQuestion(a, b *result.Run) bool {
	return slices.EqualFunc(a.Kernels, b.Kernels, func(x, y *result.KernelRun) bool { return x.Ref == y.Ref }) &&
		slices.Equal(a.Selection, b.Selection)
}

// Logs returns the console logs of the machines of the run in a directory.
func Logs(dir string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "console.log" && d.Type().IsRegular() {
			out = append(out, path)
		}
		return err
	})
	if err == nil && len(out) == 0 {
		err = usage.Errorf("no machine has a console.log in %s", dir)
	}
	return out, err
}
