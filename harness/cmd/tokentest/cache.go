package main

import (
	"cmp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokentest/harness/cache"
)

func (a *app) cacheCmd() *cobra.Command {
	var kinds []string
	var every, asJSON bool
	c := group(&cobra.Command{
		Use:   "cache",
		Short: "list what is in the cache, how large it is and when it was used; remove it",
		Long: `List what the cache directory holds: kernels, builds, sources, images and saved
machines. It is that of --cache, or of TOKENTEST_CACHE, or tokentest in the user's
cache directory.`,
		Example: "  tokentest cache\n  tokentest cache --all --kind kernels\n" +
			"  tokentest cache prune --older-than 30d --dry-run",
	}, a.cachePruneCmd())
	c.RunE = func(*cobra.Command, []string) error {
		dir, err := a.cachePath()
		if err != nil {
			return err
		}
		l, err := cache.Show(dir, kinds)
		switch {
		case err != nil:
			return err
		case asJSON:
			return cache.WriteJSON(a.stdout, l)
		}
		return l.Write(a.stdout, time.Now(), every)
	}
	kindFlag(c, &kinds)
	c.Flags().BoolVar(&every, "all", false, "list each entry")
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return c
}

func kindFlag(c *cobra.Command, to *[]string) {
	names, _ := cache.KindNames()
	c.Flags().StringArrayVar(to, "kind", nil, "only `KIND`, one of "+strings.Join(names, ", ")+" and "+cache.Runs+
		"; may be repeated (default all but "+cache.Runs+")")
	values := cobra.FixedCompletions(append(names, cache.Runs), cobra.ShellCompDirectiveNoFileComp)
	c.RegisterFlagCompletionFunc("kind", values) // the flag has just been made
}

func (a *app) cachePruneCmd() *cobra.Command {
	r, asJSON := cache.Request{MaxBytes: -1}, false
	c := &cobra.Command{
		Use:   "prune",
		Short: "remove what was not used for a time, or until the cache is small enough",
		Long: `Remove entries of the cache by their age, or those that were not used for longest
until the rest is small enough, or all. What a running tokentest uses stays. What is
removed is fetched or made again when it is needed.

Stored runs are removed only with --kind runs: by age, or all but the newest with
--keep, or by both.`,
		Example: `  tokentest cache prune --older-than 30d
  tokentest cache prune --max-size 5G --dry-run
  tokentest cache prune --kind snapshots --all
  tokentest cache prune --kind runs --older-than 4w --keep 20`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a.keep(c.Context())
			dir, err := a.cachePath()
			if err != nil {
				return err
			}
			now := time.Now()
			p, err := r.Prune(dir, now)
			switch {
			case p == nil:
				return err
			case asJSON:
				return cmp.Or(err, cache.WriteJSON(a.stdout, p))
			}
			return cmp.Or(err, p.Write(a.stdout, now))
		},
	}
	kindFlag(c, &r.Kinds)
	fl := c.Flags()
	fl.Var(&r.Age, "older-than", "remove what was not used for `AGE`, such as 30d, 2w or 12h")
	fl.Var(&r.MaxBytes, "max-size", "remove what was not used for longest until `SIZE` is left, such as 500M or 5G")
	fl.BoolVar(&r.All, "all", false, "remove everything of the kinds")
	fl.IntVar(&r.Keep, "keep", 0, "with --kind runs, keep the newest `N`")
	fl.BoolVarP(&r.DryRun, "dry-run", "n", false, "remove nothing, and print what would be removed")
	fl.BoolVar(&asJSON, "json", false, "print what is removed as JSON")
	return c
}
