package main

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/scan"
)

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
			list, err := scan.ReadAllow(allow)
			if err != nil {
				return err
			}
			logs, err := scan.Logs(a.logs(args))
			if err != nil {
				return err
			}
			found := false
			for _, name := range logs {
				any, counts, err := scan.Log(a.stdout, a.stdin, name, list)
				if err != nil {
					return err
				}
				if counts {
					a.code = result.ExitDiffers
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

// logs are the names of what to scan; without any, the standard input, or the newest run if that is a terminal.
func (a *app) logs(args []string) []string {
	in, isFile := a.stdin.(*os.File)
	switch {
	case len(args) > 0:
		return args
	case isFile && term.IsTerminal(int(in.Fd())):
		return []string{runs.Latest}
	}
	return []string{scan.Stdin}
}
