// Package cases is the case language and the corpus: it reads case files, expands
// matrices into cases, selects them, and says which of them a kernel cannot run.
//
// It decides nothing: package oracle holds the kernel's rules, sim plays a case's
// steps on facts, draw makes random scenarios, and step is the part of a case that
// reaches the guest.
//
// Start with Load and Corpus.Select in this file; parse.go reads a file, expand.go
// makes its cases. README.md is for people who write cases.
package cases

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"

	"tokentest/harness/glob"
	"tokentest/harness/textfile"
)

//go:embed matrix/*.txt scenario/*.txt known/*.txt sweep/*.txt
var files embed.FS

// Corpus is the groups that a run can choose from.
type Corpus struct{ Groups []*Group }

// Load reads the built-in case files but for the sweeps. The error is the
// context's cause if ctx ends first.
func Load(ctx context.Context) (*Corpus, error) {
	c, err := read(ctx, func(string) bool { return true })
	if err != nil {
		return c, err
	}
	return c, c.pick(suiteText)
}

// LoadGroups reads those of the built-in case files that make the named
// groups, which takes a small part of the time of all. A group that none makes
// is left out.
func LoadGroups(ctx context.Context, names ...string) (*Corpus, error) {
	c, err := read(ctx, func(group string) bool { return slices.Contains(names, group) })
	if err != nil {
		return c, err
	}
	var mine []string
	for line := range strings.Lines(suiteText) {
		if group, _, _ := strings.Cut(line, "/"); c.Group(group) != nil {
			mine = append(mine, line)
		}
	}
	return c, c.pick(strings.Join(mine, ""))
}

func read(ctx context.Context, group func(string) bool) (*Corpus, error) {
	c := &Corpus{}
	var errs *multierror.Error
	for _, dir := range []string{"matrix", "scenario", "known"} {
		errs = multierror.Append(errs, c.addDir(ctx, dir, group))
		if ctx.Err() != nil {
			return c, context.Cause(ctx)
		}
	}
	return c, errs.ErrorOrNil()
}

// AddSweeps adds the matrices of tens of thousands of cases, which take
// seconds to expand and so are read only when they are asked for.
func (c *Corpus) AddSweeps(ctx context.Context) error {
	return c.addDir(ctx, "sweep", func(string) bool { return true })
}

// Sweeps returns the sweeps' files, read and not expanded.
func Sweeps(ctx context.Context) ([]*File, error) {
	names, err := fs.Glob(files, "sweep/*.txt")
	if err != nil {
		return nil, err
	}
	var out []*File
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		f, err := Parse(ctx, "cases/"+name, strings.TrimSuffix(path.Base(name), ".txt"), string(text))
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// IsSweep reports whether a pattern names a sweep or cases of one.
func IsSweep(pattern string) bool {
	group, _, _ := strings.Cut(pattern, "/")
	_, err := fs.Stat(files, "sweep/"+group+".txt")
	return err == nil
}

// IsBuiltin reports whether a group is built in, and is no sweep.
func IsBuiltin(group string) bool {
	return slices.ContainsFunc([]string{"matrix", "scenario", "known"}, func(dir string) bool {
		_, err := fs.Stat(files, dir+"/"+group+".txt")
		return err == nil
	})
}

func (c *Corpus) addDir(ctx context.Context, dir string, group func(string) bool) error {
	names, err := fs.Glob(files, dir+"/*.txt")
	if err != nil {
		return err
	}
	for _, name := range names {
		if g := c.Group(GroupOf(name)); !group(GroupOf(name)) || g != nil && !g.Builtin {
			continue // it is not wanted, or a file of the user replaces it
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		if err := c.Add(ctx, "cases/"+name, string(text)); err != nil {
			return err
		}
		c.Groups[len(c.Groups)-1].Builtin = true
	}
	return nil
}

// Group returns the group of a name, or nil.
func (c *Corpus) Group(name string) *Group {
	for _, g := range c.Groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// Case returns the case of a name, or nil.
func (c *Corpus) Case(id string) *Case {
	name, _, _ := strings.Cut(id, "/")
	g := c.Group(name)
	if g == nil {
		return nil
	}
	if g.byID == nil {
		g.byID = map[string]*Case{}
		for _, k := range g.Cases {
			g.byID[k.ID] = k
		}
	}
	return g.byID[id]
}

// AddFile reads a user's case file into the corpus; its group is called by
// the file's base name, and replaces a built-in group of that name.
func (c *Corpus) AddFile(ctx context.Context, name string) (*Group, error) {
	text, err := readFile(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read case file: %w", err)
	}
	if err := textfile.Check(name, text); err != nil {
		return nil, err
	}
	if err := c.Add(ctx, name, string(text)); err != nil {
		return nil, err
	}
	return c.Groups[len(c.Groups)-1], nil
}

// readFile reads a file. The file may be a pipe without a writer, so ctx can end the read.
func readFile(ctx context.Context, name string) ([]byte, error) {
	type read struct {
		text []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		text, err := os.ReadFile(name)
		done <- read{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// GroupOf returns what the group of a case file is called.
func GroupOf(name string) string { return strings.TrimSuffix(path.Base(name), path.Ext(name)) }

// Add reads the text of a case file into the corpus; the group is called by the
// base name of name, which errors have, too.
func (c *Corpus) Add(ctx context.Context, name, text string) error {
	group := GroupOf(name)
	if g := c.Group(group); g != nil && !g.Builtin {
		return fmt.Errorf("%s:1: group %s already exists (from %s); rename this file", name, group, g.Path)
	}
	f, err := Parse(ctx, name, group, text)
	if err != nil {
		return err
	}
	g, err := f.Expand(ctx)
	if err != nil {
		return err
	}
	c.Groups = append(slices.DeleteFunc(c.Groups, func(old *Group) bool { return old.Name == group }), g)
	return nil
}

// ErrUnknownCase is what Select returns for a pattern that matches nothing.
var ErrUnknownCase = errors.New("unknown case")

// Select returns the cases that match any of the patterns, in the corpus's
// order, with the controls that guard them; no pattern means the default
// suite, or everything with full. A pattern is a case's name, the beginning of
// one up to a /, or a glob in which * stands for anything.
func (c *Corpus) Select(patterns []string, full bool) ([]*Case, error) {
	chosen := map[*Case]bool{}
	var errs *multierror.Error
	for _, p := range patterns {
		if !c.choose(p, chosen) {
			errs = multierror.Append(errs, fmt.Errorf("%w %q%s", ErrUnknownCase, p, suggest(p, c.names(p))))
		}
	}
	var out []*Case
	for _, g := range c.Groups {
		for _, k := range g.Cases {
			if len(patterns) == 0 && !full && !k.Full {
				choose(k, chosen) // a control that guards it may run with --full alone
			}
		}
		for _, k := range g.Cases {
			if len(patterns) == 0 && full || chosen[k] {
				out = append(out, k)
			}
		}
	}
	if errs != nil {
		errs.ErrorFormat = oneEach
	}
	return out, errs.ErrorOrNil()
}

// oneEach lists errors without a heading: most often there is one.
func oneEach(errs []error) string {
	lines := make([]string, len(errs))
	for i, err := range errs {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (c *Corpus) choose(pattern string, chosen map[*Case]bool) bool {
	found := false
	for _, g := range c.Groups {
		for _, k := range g.Cases {
			if Match(pattern, k.ID) {
				found = true
				choose(k, chosen)
			}
		}
	}
	return found
}

// Covers reports whether a pattern covers a case. Where it does not, near names
// what looks most like it, as " (near: a, b)", or nothing.
func (c *Corpus) Covers(pattern string) (ok bool, near string) {
	for _, g := range c.Groups {
		if slices.ContainsFunc(g.Cases, func(k *Case) bool { return Match(pattern, k.ID) }) {
			return true, ""
		}
	}
	return false, suggest(pattern, c.names(pattern))
}

// choose adds a case, its controls and theirs.
func choose(k *Case, chosen map[*Case]bool) {
	if chosen[k] {
		return
	}
	chosen[k] = true
	for _, guard := range k.Guards() {
		choose(guard, chosen)
	}
}

// names lists what a misspelt pattern could have meant: groups, or the cases
// of the group that it begins with.
func (c *Corpus) names(pattern string) []string {
	var out []string
	for _, g := range c.Groups {
		out = append(out, g.Name)
		if strings.HasPrefix(pattern, g.Name+"/") {
			for _, k := range g.Cases {
				out = append(out, k.ID)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Match reports whether a pattern covers a case's name.
func Match(pattern, id string) bool {
	if !strings.Contains(pattern, "*") {
		return id == pattern || strings.HasPrefix(id, strings.TrimSuffix(pattern, "/")+"/")
	}
	return glob.Match(pattern, id)
}
