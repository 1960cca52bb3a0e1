package plan

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/hashicorp/go-multierror"

	"tokentest/harness/usage"
)

// FileName is the plan file that is read if no other is named.
const FileName = "tokentest.toml"

// File is a plan file: what a project runs when the command line names nothing.
type File struct {
	Kernels  []string `toml:"kernels"`
	Cases    []string `toml:"cases"`
	Full     bool     `toml:"full"`
	Accel    string   `toml:"accel"`
	Jobs     int      `toml:"jobs"`
	Deadline string   `toml:"deadline"`
	Append   []string `toml:"append"`
	Configs  []Config `toml:"config"`
}

// Config is one configuration of kernels that are built from source.
type Config struct {
	Name      string   `toml:"name"`
	Config    string   `toml:"config"`
	Fragments []string `toml:"fragments"`
	Make      []string `toml:"make"`
}

// ParseFile reads the text of a plan file. An unknown key is an error. Relative paths in it
// are made relative to the file's directory.
func ParseFile(name, text string) (*File, error) {
	f := &File{}
	meta, err := toml.Decode(text, f)
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		return nil, usage.Errorf("%s:%d: %s", name, syntax.Position.Line, syntax.Message)
	}
	if err != nil {
		return nil, usage.Errorf("%s: %w", name, err)
	}
	var errs *multierror.Error
	for _, key := range meta.Undecoded() {
		errs = multierror.Append(errs, usage.Errorf("%s:%d: unknown key %s; there are kernels, cases, full, accel, jobs, "+
			"deadline, append and [[config]] with name, config, fragments, make", name, lineOf(text, key), key))
	}
	if err := errs.ErrorOrNil(); err != nil {
		return nil, err
	}
	f.below(filepath.Dir(name))
	return f, f.check(name)
}

// lineOf finds the line of a key.
func lineOf(text string, key toml.Key) int {
	last := key[len(key)-1]
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		word, _, ok := strings.Cut(line, "=")
		table := strings.HasPrefix(line, "[") && strings.Trim(line, "[] ") == key.String()
		if table || ok && strings.TrimSpace(word) == last {
			return i + 1
		}
	}
	return 0
}

// below makes the paths of the file relative to a directory.
func (f *File) below(dir string) {
	for i, c := range f.Cases {
		if IsFile(c) && !filepath.IsAbs(c) {
			f.Cases[i] = filepath.Join(dir, c)
		}
	}
	for i := range f.Configs {
		c := &f.Configs[i]
		if c.Config != "" && c.Config[0] != ':' && !filepath.IsAbs(c.Config) { // : is a path in the source
			c.Config = filepath.Join(dir, c.Config)
		}
		for i, name := range c.Fragments { // a name without . and / is a built-in fragment
			if strings.ContainsAny(name, "./") && !filepath.IsAbs(name) {
				c.Fragments[i] = filepath.Join(dir, name)
			}
		}
	}
}

func (f *File) check(name string) error {
	var names []string
	for i, c := range f.Configs {
		switch {
		case c.Name == "" || strings.ContainsAny(c.Name, " @/"):
			return usage.Errorf("%s: config %d: name %q: must be one word", name, i+1, c.Name)
		case slices.Contains(names, c.Name):
			return usage.Errorf("%s: two configs have the name %s", name, c.Name)
		}
		names = append(names, c.Name)
	}
	if f.Jobs < 0 {
		return usage.Errorf("%s: jobs = %d: must be at least 1", name, f.Jobs)
	}
	return nil
}

// Variant is a kernel of a plan: a reference, and the configuration to build it with.
type Variant struct {
	Label  string  // what a report calls it
	Ref    string  // REF, or REF@CONFIG
	Config *Config // nil for the default one
}

// Variants combines each reference that is built from source with each configuration.
func (f *File) Variants(refs []string) []Variant {
	var out []Variant
	for _, ref := range refs {
		if len(f.Configs) == 0 || !strings.HasPrefix(ref, "src:") && !strings.HasPrefix(ref, "git:") {
			out = append(out, Variant{Label: ref, Ref: ref})
			continue
		}
		for i := range f.Configs {
			out = append(out, Variant{ref + "@" + f.Configs[i].Name, ref, &f.Configs[i]})
		}
	}
	return out
}
