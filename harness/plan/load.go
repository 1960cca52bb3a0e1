package plan

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/harness/usage"
)

// Request is what a user asks for, before any case is read.
type Request struct {
	Kernels []string // references, in the order to run them
	// Args are names of cases, patterns, and case files, whose names end in .txt.
	Args  []string
	Full  bool   // with no Args: every case there is
	Batch int    // cells of a matrix that travel together; 0 means DefaultBatch
	Seed  uint64 // of worlds drawn at random, for the record
	// Extend adds groups to the corpus and returns patterns that choose them; nil adds none.
	Extend func(ctx context.Context, c *cases.Corpus) (patterns []string, err error)
}

// Load reads the cases that a request names, the built-in ones and the user's files, and
// expands them. If the arguments name groups it reads no others, unless a name is wrong and
// the error must name similar ones. The error is a *usage.Error for a mistake of the user,
// and the context's cause if ctx ends first.
func Load(ctx context.Context, r Request) (*Plan, error) {
	if groups := groupsOf(r.Args); r.Extend == nil && len(groups) > 0 {
		if corpus, err := cases.LoadGroups(ctx, groups...); err == nil {
			if p, err := r.expand(ctx, corpus); err == nil {
				return p, nil
			}
		}
	}
	corpus, err := cases.Load(ctx)
	if err == nil && (r.Full && len(r.Args) == 0 || slices.ContainsFunc(r.Args, cases.IsSweep)) {
		err = corpus.AddSweeps(ctx)
	}
	if err != nil {
		return nil, err
	}
	return r.expand(ctx, corpus)
}

// groupsOf returns the groups that the arguments can select, or none if all groups must be
// read to know. A user's file can have the name of a built-in group.
func groupsOf(args []string) []string {
	var out []string
	for _, arg := range args {
		group, _, _ := strings.Cut(arg, "/")
		if isFile(arg) {
			group = strings.TrimSuffix(filepath.Base(arg), ".txt")
		}
		if strings.Contains(group, "*") || cases.IsSweep(arg) {
			return nil
		}
		out = append(out, group)
	}
	return out
}

func isFile(arg string) bool { return strings.HasSuffix(arg, ".txt") }

// expand reads the case files among the arguments.
func (r *Request) expand(ctx context.Context, corpus *cases.Corpus) (*Plan, error) {
	var patterns, groups []string
	files := map[string]string{}
	for _, arg := range r.Args {
		if !isFile(arg) {
			patterns = append(patterns, arg)
			continue
		}
		g, err := corpus.AddFile(ctx, arg)
		if err != nil {
			return nil, usage.Of(err)
		}
		files[g.Name] = arg
		groups = append(groups, g.Name)
	}
	for _, g := range groups {
		// A pattern that names cases of the file chooses among them.
		if !slices.ContainsFunc(patterns, func(p string) bool { return strings.HasPrefix(p, g+"/") }) {
			patterns = append(patterns, g)
		}
	}
	if r.Extend != nil {
		more, err := r.Extend(ctx, corpus)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, more...)
	}
	p, err := Expand(Spec{Kernels: r.Kernels, Patterns: patterns, Full: r.Full, Batch: r.Batch,
		Files: files, Args: r.Args, Seed: r.Seed}, corpus)
	return p, usage.Of(err)
}

// The memory that a run may use before it collects garbage more often, so that a hundred and
// fifty thousand cases stay below a hundred megabytes: a base, and more for each case of each
// kernel. A case with many steps counts more, because with a limit below the size of the cases
// the collector would run all the time.
const (
	memoryBase    = 40 << 20
	memoryPerCase = 240
	memoryPerStep = 4 << 10
	ordinarySteps = 64 // that memoryPerCase covers
)

// Memory is a soft limit in bytes for a process that runs the plan, for debug.SetMemoryLimit.
func (p *Plan) Memory() int64 {
	n := memoryBase + memoryPerCase*len(p.Kernels)*len(p.Cases)
	for _, c := range p.Cases {
		n += memoryPerStep * max(0, c.Len()-ordinarySteps)
	}
	return int64(n)
}
