package plan

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/harness/textfile"
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
	// Matching are regular expressions: only those of the named cases that one of them matches;
	// without Args, of all cases but the sweeps. None means all.
	Matching []string
	// Stdin is the text of the case file - among Args.
	Stdin string
	// Texts, if not nil, are the texts of the case files among Args, by their names. Then no file is read.
	Texts map[string]string
	// Extend adds groups to the corpus and returns patterns that choose them; nil adds none.
	Extend func(ctx context.Context, c *cases.Corpus) (patterns []string, err error)
}

// Load reads the cases that a request names, the built-in ones and the user's files, and
// expands them. If the arguments name groups it reads no others, unless a name is wrong and
// the error must name similar ones. The error is a *usage.Error for a mistake of the user,
// and the context's cause if ctx ends first.
func Load(ctx context.Context, r Request) (*Plan, error) {
	if groups := r.groups(); r.Extend == nil && len(groups) > 0 {
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

// groups returns the groups that the arguments can select, or none if all groups must be
// read to know. A user's file can have the name of a built-in group.
func (r *Request) groups() []string {
	var out []string
	for _, arg := range r.Args {
		group, _, _ := strings.Cut(arg, "/")
		if r.isFile(arg) {
			group = cases.GroupOf(arg)
		}
		if strings.Contains(group, "*") || cases.IsSweep(arg) {
			return nil
		}
		out = append(out, group)
	}
	return out
}

// Stdin is the argument that stands for a case file on the standard input, and StdinFile what
// that file is called.
const (
	Stdin     = "-"
	StdinFile = "stdin.txt"
)

// IsFile reports whether an argument is a case file: Stdin, a name that ends in .txt, or the
// name of a file that exists and is not the name of a built-in group.
func IsFile(arg string) bool {
	if arg == Stdin || strings.HasSuffix(arg, ".txt") {
		return true
	}
	group, _, _ := strings.Cut(arg, "/")
	if cases.IsBuiltin(group) {
		return false
	}
	info, err := os.Stat(arg)
	return err == nil && !info.IsDir()
}

// isFile reports whether an argument is a case file of the request.
func (r *Request) isFile(arg string) bool {
	if r.Texts != nil {
		_, ok := r.Texts[arg]
		return ok
	}
	return IsFile(arg)
}

// addFile reads a case file into the corpus, in place of a built-in group with its name.
func (r *Request) addFile(ctx context.Context, corpus *cases.Corpus, arg string) (*cases.Group, error) {
	name, text := StdinFile, r.Stdin
	switch given, ok := r.Texts[arg]; {
	case ok && arg != Stdin:
		name, text = arg, given
	case ok:
		text = given
	case arg != Stdin:
		return corpus.AddFile(ctx, arg)
	}
	if err := textfile.Check(name, []byte(text)); err != nil {
		return nil, err
	}
	if err := corpus.Add(ctx, name, text); err != nil {
		return nil, err
	}
	return corpus.Groups[len(corpus.Groups)-1], nil
}

// expand reads the case files among the arguments.
func (r *Request) expand(ctx context.Context, corpus *cases.Corpus) (*Plan, error) {
	var patterns, groups []string
	files := map[string]string{}
	for _, arg := range r.Args {
		if !r.isFile(arg) {
			patterns = append(patterns, arg)
			continue
		}
		g, err := r.addFile(ctx, corpus, arg)
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
	full := r.Full || len(r.Matching) > 0 && len(r.Args) == 0
	p, err := Expand(Spec{Kernels: r.Kernels, Patterns: patterns, Full: full, Batch: r.Batch,
		Files: files, Args: r.Args, Seed: r.Seed}, corpus)
	if err == nil {
		err = p.match(r.Matching)
	}
	return p, usage.Of(err)
}

// match leaves those cases in the plan that one of the regular expressions matches, and their
// controls.
func (p *Plan) match(texts []string) error {
	var list []*regexp.Regexp
	for _, text := range texts {
		re, err := regexp.Compile(text)
		if err != nil {
			return usage.Errorf("--regexp: %w", err)
		}
		list = append(list, re)
	}
	if list == nil {
		return nil
	}
	var chosen []*cases.Case
	for _, c := range p.Cases {
		if slices.ContainsFunc(list, func(re *regexp.Regexp) bool { return re.MatchString(c.ID) }) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return usage.Advisef("--regexp %s: no case matches; tokentest list cases shows the names", strings.Join(texts, ", "))
	}
	p.Cases, p.Matching = WithGuards(p.Cases, chosen), texts
	return nil
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
