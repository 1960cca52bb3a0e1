package main

import (
	"github.com/spf13/cobra"

	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/scan"
	"tokentest/harness/splat"
)

func (a *app) scanCmd() *cobra.Command {
	var allow []string
	c := &cobra.Command{
		Use:   "scan [LOG|RUN...]",
		Short: "find the faults that a kernel's log reports",
		Long: `Read kernel logs (a console, dmesg, or a system log), or the consoles of a stored RUN,
and list each panic, oops, warning, sanitizer report and stall with its fingerprint.
Without LOG it reads the standard input, or the newest run (latest) if that is a
terminal or /dev/null.
It says what it took the lines of each log for: those that printk, dmesg, journalctl, a log
daemon or netconsole stamped are the kernel's. The exit code is 1 if a fault counts, and 3
if no line of a log is recognised as the kernel's.`,
		Example: "  tokentest scan latest\n  dmesg | tokentest scan --allow reports.txt",
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := scan.ReadAllow(allow)
			if err != nil {
				return err
			}
			logs, err := scan.Logs(args, a.stdin)
			if err != nil {
				return err
			}
			return a.scan(logs, list)
		},
	}
	c.Flags().StringArrayVar(&allow, "allow", nil, "do not count what `FILE` lists; may be repeated")
	return c
}

// scan scans each log, also after one that cannot be scanned.
func (a *app) scan(logs []string, allow *splat.Allow) error {
	found, counts, errs := scan.Each(a.stdout, a.stdin, logs, allow, a.note)
	switch {
	case counts && errs != nil:
		return codedError{errs, result.ExitDiffers}
	case counts:
		a.code = result.ExitDiffers
	case !found && errs == nil:
		a.note("no fault in %s", report.Count(len(logs), "log"))
	}
	return errs
}
