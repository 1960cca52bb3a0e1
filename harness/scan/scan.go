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
	"regexp"
	"strings"
	"time"

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

// Logs returns the files to scan: those that are named, and the consoles of the runs that are.
func Logs(names []string) ([]string, error) {
	var out []string
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

// ofKernel matches a line of a kernel log: with the kernel's time stamp or its level, as syslog writes it, or the first
// line of a log without either.
var ofKernel = regexp.MustCompile(`(?m)^(<\d+>)?\[\s*\d+\.\d+\]|^<\d+>|\bkernel: |^Linux version \d`)

// Log writes a line to w for each fault in a log; Stdin is read from stdin. found says whether there is one, counts
// whether one is not on the list, or the kernel died.
func Log(w io.Writer, stdin io.Reader, name string, allow *splat.Allow) (found, counts bool, err error) {
	var text []byte
	if name == Stdin {
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(name)
	}
	switch {
	case err != nil:
		return false, false, usage.Errorf("read the log: %w", err)
	case len(strings.TrimSpace(string(text))) == 0:
		return false, false, usage.Errorf("%s: the log is empty: nothing was scanned", name)
	}
	r := splat.Scan(text)
	if len(r.Findings) == 0 && r.InitExit == "" && !ofKernel.Match(text) {
		return false, false, usage.Errorf("%s: no line of a kernel log is in it: nothing was scanned", name)
	}
	allow.Apply(r.Findings)
	for _, f := range r.Findings {
		line := fmt.Sprintf("%s:%d: %s: %s [%s]", name, 1+strings.Count(string(text[:f.Offset]), "\n"), f.Kind, f.Title,
			f.Fingerprint)
		if f.Allowed != "" {
			line += " allowed: " + f.Allowed
		} else {
			counts = true
		}
		fmt.Fprintln(w, line)
	}
	if r.InitExit != "" {
		fmt.Fprintf(w, "%s: panic: PID 1 exited (%s)\n", name, r.InitExit)
	}
	dead := r.Fatal != nil || r.InitExit != "" // no entry allows a dead kernel
	return len(r.Findings) > 0 || r.InitExit != "", counts || dead, nil
}
