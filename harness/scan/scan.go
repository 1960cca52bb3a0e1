// Package scan finds the faults that kernel logs report, in files and in the consoles of stored runs.
//
// What a fault is, package splat says.
//
// Start with Log.
package scan

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"tokentest/harness/runs"
	"tokentest/harness/splat"
	"tokentest/harness/usage"
)

// Stdin is the name of the standard input.
const Stdin = "-"

// ReadAllow reads lists of findings that do not fail a run. A mistake in one is a *usage.Error.
func ReadAllow(files []string) (*splat.Allow, error) {
	var out *splat.Allow
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, usage.Errorf("--allow: %w", err)
		}
		if out, err = splat.ParseAllow(out, name, string(text), time.Now()); err != nil {
			return nil, usage.Errorf("--allow %w", err)
		}
	}
	return out, nil
}

// Logs returns the files to scan: those that are named, and the consoles of the runs that are. Without any, that is
// the standard input, or the newest run if that is a terminal or /dev/null.
func Logs(names []string, stdin io.Reader) ([]string, error) {
	var out []string
	if len(names) == 0 {
		names = []string{Stdin}
		if in, isFile := stdin.(*os.File); isFile {
			if info, err := in.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
				names = []string{runs.Latest}
			}
		}
	}
	for _, name := range names {
		dir, err := runs.Find(name)
		if err != nil {
			return nil, err
		}
		list := []string{name}
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			if list, err = runs.Logs(dir); err != nil {
				return nil, err
			}
		}
		out = append(out, list...)
	}
	return out, nil
}

// Result is what Log found in a log.
type Result struct {
	Found  bool       // there is a fault
	Counts bool       // one is not on the list, or the kernel died
	Read   splat.Read // what the lines were taken for
}

// Each scans each log with Log, also after one that cannot be scanned, and notes what its lines were taken for. err
// lists the logs that could not be scanned.
func Each(w io.Writer, stdin io.Reader, names []string, allow *splat.Allow, note runs.Note) (
	found, counts bool, err error,
) {
	var errs *multierror.Error
	for _, name := range names {
		r, err := Log(w, stdin, name, allow)
		if err != nil {
			errs = multierror.Append(errs, err)
			continue
		}
		note("%s: %s", name, r.Read)
		found, counts = found || r.Found, counts || r.Counts
	}
	return found, counts, errs.ErrorOrNil()
}

// Log writes a line to w for each fault in a log; Stdin is read from stdin. A log that cannot be read is a usage error.
// A log without a line of the kernel is another error, as nothing was decided.
func Log(w io.Writer, stdin io.Reader, name string, allow *splat.Allow) (Result, error) {
	var text []byte
	var err error
	if name == Stdin {
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(name)
	}
	switch {
	case err != nil:
		return Result{}, usage.Errorf("read the log: %w", err)
	case len(strings.TrimSpace(string(text))) == 0:
		return Result{}, fmt.Errorf("scan %s: the log is empty", name)
	}
	r := splat.Scan(text)
	res := Result{Read: splat.Survey(text)}
	if r.Init != nil {
		r.Findings = append(r.Findings, *r.Init)
	}
	if len(r.Findings) == 0 && res.Read.Kernel == 0 {
		return res, fmt.Errorf("scan %s: %s; scan the console, or the output of dmesg or journalctl -k", name, res.Read)
	}
	allow.Apply(r.Findings)
	for _, f := range r.Findings {
		line := fmt.Sprintf("%s:%d: %s: %s [%s]", name, 1+strings.Count(string(text[:f.Offset]), "\n"), f.Kind, f.Title,
			f.Fingerprint)
		if f.Allowed != "" {
			line += " allowed: " + f.Allowed
		} else {
			res.Counts = true
		}
		fmt.Fprintln(w, line)
	}
	res.Found = len(r.Findings) > 0
	res.Counts = res.Counts || r.Fatal != nil || r.Init != nil // no entry allows a dead kernel
	return res, nil
}
