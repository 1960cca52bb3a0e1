package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokentest/harness/cache"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

// runsKind is the kind of stored runs, which are not in the cache directory and are never made again.
const runsKind = "runs"

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
		l, err := a.cached(kinds)
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
	jsonFlag(c.Flags(), &asJSON)
	return c
}

func kindFlag(c *cobra.Command, to *[]string) {
	names, _ := cache.KindNames()
	c.Flags().StringArrayVar(to, "kind", nil,
		"only `KIND`: "+strings.Join(names, ", ")+", or "+runsKind+"; may be repeated (default all but "+runsKind+")")
	values := cobra.FixedCompletions(append(names, runsKind), cobra.ShellCompDirectiveNoFileComp)
	c.RegisterFlagCompletionFunc("kind", values) // the flag has just been made
}

// checkKinds refuses unknown kinds, and tells whether runs are among them.
func checkKinds(kinds []string) (cached []string, withRuns bool, err error) {
	for _, k := range kinds {
		switch near := cache.Near(k); {
		case k == runsKind:
			withRuns = true
		case cache.IsKind(k):
			cached = append(cached, k)
		case near != "":
			return nil, false, usage.Errorf("--kind %s: no such kind (near: %s)", k, near)
		default:
			names, _ := cache.KindNames()
			return nil, false, usage.Errorf("--kind %s: no such kind; there are %s and %s", k,
				strings.Join(names, ", "), runsKind)
		}
	}
	return cached, withRuns, nil
}

// cached lists the entries of some kinds.
func (a *app) cached(kinds []string) (*cache.Listing, error) {
	named, withRuns, err := checkKinds(kinds)
	if err != nil {
		return nil, err
	}
	l := &cache.Listing{Entries: []cache.Entry{}}
	if l.Dir, err = a.cachePath(); err != nil {
		return nil, err
	}
	if len(named) > 0 || !withRuns {
		list, err := cache.List(l.Dir, named...)
		if err != nil {
			return nil, err
		}
		l.Entries = append(l.Entries, list...)
	}
	if withRuns {
		if l.Runs, err = runs.Base(); err != nil {
			return nil, err
		}
		stored, err := runs.Prune(l.Runs, time.Now(), runs.PruneOptions{DryRun: true})
		if err != nil {
			return nil, err
		}
		l.Entries = append(l.Entries, runEntries(stored)...)
	}
	names, about := cache.KindNames()
	l.Kinds = cache.Sum(l.Entries, func(kind string) string {
		if i := slices.Index(names, kind); i >= 0 {
			return about[i]
		}
		return "stored runs in " + l.Runs
	})
	l.Bytes = cache.Total(l.Entries)
	return l, nil
}

// runEntries makes entries of runs, which were last used when they began.
func runEntries(list []runs.Pruned) (out []cache.Entry) {
	for _, r := range list {
		out = append(out, cache.Entry{Kind: runsKind, Name: r.Dir, Path: r.Dir, Bytes: r.Bytes, Used: r.Start})
	}
	return out
}

// pruneFlags are those of cache prune.
type pruneFlags struct {
	kinds               []string
	age                 cache.Age
	size                cache.Size
	keep                int
	all, dryRun, asJSON bool
}

func (a *app) cachePruneCmd() *cobra.Command {
	f := pruneFlags{size: -1}
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
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			a.keep(c.Context())
			return a.prune(f)
		},
	}
	kindFlag(c, &f.kinds)
	fl := c.Flags()
	fl.Var(&f.age, "older-than", "remove what was not used for `AGE`, such as 30d, 2w or 12h")
	fl.Var(&f.size, "max-size", "remove what was not used for longest until `SIZE` is left, such as 500M or 5G")
	fl.BoolVar(&f.all, "all", false, "remove everything of the kinds")
	fl.IntVar(&f.keep, "keep", 0, "with --kind runs, keep the newest `N`")
	fl.BoolVarP(&f.dryRun, "dry-run", "n", false, "remove nothing, and print what would be removed")
	jsonFlag(fl, &f.asJSON)
	return c
}

func (f *pruneFlags) check(named []string, withRuns bool) error {
	switch by := f.age > 0 || f.size >= 0; {
	case f.keep < 0:
		return usage.Errorf("--keep %d: must not be negative", f.keep)
	case f.keep > 0 && (!withRuns || len(named) > 0 || f.all):
		return usage.Errorf("--keep: only with --kind runs alone, and not with --all")
	case withRuns && f.size >= 0:
		return usage.Errorf("--max-size: not with --kind runs; use --older-than or --keep")
	case f.all && by:
		return usage.Errorf("--all: not with --older-than or --max-size")
	case !f.all && !by && f.keep == 0:
		return usage.Errorf("nothing says what to remove: use --older-than, --max-size or --all")
	}
	return nil
}

func (a *app) prune(f pruneFlags) error {
	named, withRuns, err := checkKinds(f.kinds)
	if err == nil {
		err = f.check(named, withRuns)
	}
	if err != nil {
		return err
	}
	now := time.Now()
	p := &cache.Pruned{DryRun: f.dryRun, Removed: []cache.Entry{}, InUse: []cache.Entry{}}
	if p.Dir, err = a.cachePath(); err != nil {
		return err
	}
	if len(named) > 0 || !withRuns {
		s := cache.Selection{Kinds: named, OlderThan: time.Duration(f.age), MaxBytes: int64(f.size), DryRun: f.dryRun}
		if f.all {
			s.MaxBytes = 0
		}
		removed, left, pruneErr := cache.Prune(p.Dir, now, s)
		p.Removed, p.InUse, err = append(p.Removed, removed...), append(p.InUse, left...), pruneErr
	}
	if withRuns && err == nil {
		err = f.pruneRuns(p, now)
	}
	p.Bytes = cache.Total(p.Removed)
	if f.asJSON {
		return cmp.Or(err, cache.WriteJSON(a.stdout, p))
	}
	return cmp.Or(err, p.Write(a.stdout, now))
}

// pruneRuns removes stored runs.
func (f *pruneFlags) pruneRuns(p *cache.Pruned, now time.Time) error {
	dir, err := runs.Base()
	if err != nil {
		return err
	}
	list, err := runs.Prune(dir, now, runs.PruneOptions{OlderThan: time.Duration(f.age), Keep: f.keep, DryRun: f.dryRun})
	p.Removed = append(p.Removed, runEntries(list)...)
	if err != nil {
		return fmt.Errorf("remove runs: %w", err)
	}
	return nil
}
