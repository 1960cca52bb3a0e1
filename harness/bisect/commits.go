package bisect

import (
	"context"
	"fmt"
	"strings"
)

// Commits is a history. Git runs git in a repository that has it.
type Commits struct {
	Git func(ctx context.Context, args ...string) (string, error)
	// FirstParent follows only the first parent of a merge.
	FirstParent bool
}

// Check refuses ends between which there is nothing to search.
func (c *Commits) Check(ctx context.Context, good, bad string) error {
	if good == bad {
		return fmt.Errorf("good and bad are the same commit %.12s", good)
	}
	base, err := c.Git(ctx, "merge-base", good, bad)
	switch {
	case err != nil:
		return fmt.Errorf("%.12s and %.12s have no history in common", good, bad)
	case base == bad:
		return fmt.Errorf("the bad commit %.12s is older than the good one %.12s: exchange them", bad, good)
	case base != good:
		return fmt.Errorf("the good commit %.12s is no ancestor of the bad one: begin with --good "+
			"at their merge base %.12s", good, base)
	}
	return nil
}

// Suspects asks git, which knows about merges, for the commits that halve the
// rest best.
func (c *Commits) Suspects(ctx context.Context, good []string, bad string) ([]string, error) {
	args := []string{"rev-list", "--bisect-all"}
	if c.FirstParent {
		args = append(args, "--first-parent")
	}
	args = append(args, bad)
	for _, g := range good {
		args = append(args, "^"+g)
	}
	out, err := c.Git(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("list the suspects: %w", err)
	}
	var list []string
	for line := range strings.Lines(out) {
		if commit, _, _ := strings.Cut(strings.TrimSpace(line), " "); commit != "" {
			list = append(list, commit)
		}
	}
	return list, nil
}
