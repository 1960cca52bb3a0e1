package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tokentest/harness/cachedir"
	"tokentest/harness/doctor"
	"tokentest/harness/result"
)

func (a *app) doctorCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "list what this host has and what is missing, and how to fix it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cache, err := a.makeCache()
			list := doctor.Examine(c.Context(), cache, a.agent, err)
			for _, f := range list {
				mark := "ok     "
				switch {
				case f.Fix != "" && f.Needed:
					mark, a.code = "MISSING", result.ExitNoVerdict
				case f.Fix != "":
					mark = "absent "
				case f.Untried:
					mark = "untried"
				}
				fmt.Fprintf(a.stdout, "%s  %s: %s\n", mark, f.What, f.State)
				if f.Fix != "" {
					fmt.Fprintf(a.stdout, "         fix: %s\n", f.Fix)
				}
			}
			if line := doctor.Install(list); line != "" {
				fmt.Fprintf(a.stdout, "\nTo install what is missing, as root:\n  %s\n", line)
			}
			return nil
		},
	}
}

func (a *app) cachePath() (string, error) {
	if a.cacheDir != "" {
		return filepath.Abs(a.cacheDir)
	}
	dir, err := cachedir.Default()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w; name one with --cache or %s", err, cachedir.Variable)
	}
	return dir, nil
}

// makeCache makes the cache directory if it does not exist.
func (a *app) makeCache() (string, error) {
	dir, err := a.cachePath()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w; name another with --cache or %s", err, cachedir.Variable)
	}
	return dir, nil
}
