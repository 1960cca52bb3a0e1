package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokentest/harness/result"
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
		Use:   "scan [LOG...]",
		Short: "find the faults that a kernel's log reports",
		Long: `Read kernel logs (a console, dmesg, or a system log; without LOG the standard
input) and list each panic, oops, warning, sanitizer report and stall with its
fingerprint. The exit code is 1 if one of them counts.`,
		Example: "  tokentest scan results/runs/RUN/kernel0/boot0/console.log\n  dmesg | tokentest scan --allow reports.txt",
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := readAllow(allow)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{"-"}
			}
			for _, name := range args {
				if err := a.scan(name, list); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&allow, "allow", nil, "do not count what `FILE` lists; may be repeated")
	return c
}

func (a *app) scan(name string, allow *splat.Allow) error {
	var text []byte
	var err error
	if name == "-" {
		text, err = io.ReadAll(a.stdin)
	} else {
		text, err = os.ReadFile(name)
	}
	switch {
	case err != nil:
		return usage.Errorf("read the log: %w", err)
	case len(strings.TrimSpace(string(text))) == 0:
		return usage.Errorf("%s: the log is empty: nothing was scanned", name)
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
	return nil
}
