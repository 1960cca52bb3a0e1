package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/splat"
	"tokentest/harness/usage"
)

// readAllow reads lists of findings that do not fail a run.
func readAllow(files []string) (*splat.Allow, error) {
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

func (a *app) scanCmd() *cobra.Command {
	var allow []string
	c := &cobra.Command{
		Use:   "scan [LOG|RUN...]",
		Short: "find the faults that a kernel's log reports",
		Long: `Read kernel logs (a console, dmesg, or a system log), or the consoles of a stored RUN,
and list each panic, oops, warning, sanitizer report and stall with its fingerprint.
Without LOG it reads the standard input, or on a terminal the newest run (latest).
The exit code is 1 if one of them counts.`,
		Example: "  tokentest scan latest\n  dmesg | tokentest scan --allow reports.txt",
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := readAllow(allow)
			if err != nil {
				return err
			}
			logs, err := a.logs(args)
			if err != nil {
				return err
			}
			found := false
			for _, name := range logs {
				any, err := a.scan(name, list)
				if err != nil {
					return err
				}
				found = found || any
			}
			if !found {
				a.note("no fault in %s", report.Count(len(logs), "log"))
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&allow, "allow", nil, "do not count what `FILE` lists; may be repeated")
	return c
}

// logs are the files to scan: those that are named, and the consoles of the runs that are.
func (a *app) logs(args []string) ([]string, error) {
	in, isFile := a.stdin.(*os.File)
	switch {
	case len(args) == 0 && isFile && term.IsTerminal(int(in.Fd())):
		args = []string{runs.Latest}
	case len(args) == 0:
		args = []string{"-"}
	}
	var out []string
	for _, name := range args {
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

// scan lists the faults in a log, and reports whether there are any.
func (a *app) scan(name string, allow *splat.Allow) (bool, error) {
	var text []byte
	var err error
	if name == "-" {
		text, err = io.ReadAll(a.stdin)
	} else {
		text, err = os.ReadFile(name)
	}
	switch {
	case err != nil:
		return false, usage.Errorf("read the log: %w", err)
	case len(strings.TrimSpace(string(text))) == 0:
		return false, usage.Errorf("%s: the log is empty: nothing was scanned", name)
	}
	found := splat.Scan(text)
	list := found.Findings
	allow.Apply(list)
	for _, f := range list {
		line := fmt.Sprintf("%s:%d: %s: %s [%s]", name, 1+strings.Count(string(text[:f.Offset]), "\n"), f.Kind, f.Title,
			f.Fingerprint)
		if f.Allowed != "" {
			line += " allowed: " + f.Allowed
		} else {
			a.code = result.ExitDiffers
		}
		fmt.Fprintln(a.stdout, line)
	}
	if found.InitExit != "" {
		fmt.Fprintf(a.stdout, "%s: panic: PID 1 exited (%s)\n", name, found.InitExit)
	}
	if found.Fatal != nil || found.InitExit != "" { // no entry allows a dead kernel
		a.code = result.ExitDiffers
	}
	return len(list) > 0 || found.InitExit != "", nil
}
