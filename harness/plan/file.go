package plan

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/hashicorp/go-multierror"

	"tokentest/harness/textfile"
	"tokentest/harness/usage"
)

// FileName is the plan file that is read if no other is named.
const FileName = "tokentest.toml"

// File is a plan file: what a project runs when the command line names nothing.
type File struct {
	Name     string
	Kernels  []string
	Cases    []string
	Settings []Setting // in the order of the keys' table
	Configs  []Config
}

// Setting is a key of a plan file in place of a flag of run.
type Setting struct {
	Key, Flag string
	Values    []string // as the flag takes them, one for each time that it is given
	Line      int
}

// Config is one configuration of kernels that are built from source.
type Config struct {
	Name      string
	Config    string
	Fragments []string
	Make      []string
}

// ReadFile reads a plan file; "" is FileName, which need not exist: then it returns nil.
func ReadFile(name string) (*File, error) {
	path := cmp.Or(name, FileName)
	text, err := os.ReadFile(path)
	switch {
	case name == "" && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, usage.Errorf("read the plan: %w", err)
	}
	return ParseFile(path, string(text))
}

// ParseFile reads the text of a plan file. An unknown key and a value of the wrong type are errors.
// Relative paths in it are made relative to the file's directory.
func ParseFile(name, text string) (*File, error) {
	if err := textfile.Check(name, []byte(text)); err != nil {
		return nil, usage.Of(err)
	}
	all := map[string]any{}
	_, err := toml.Decode(text, &all)
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		return nil, usage.Errorf("%s:%d: %s", name, syntax.Position.Line, syntax.Message)
	}
	if err != nil {
		return nil, usage.Errorf("%s: %w", name, err)
	}
	r := &fileReader{name: name, dir: filepath.Dir(name), text: text}
	f := r.read(all)
	if err := r.errs.ErrorOrNil(); err != nil {
		return nil, err
	}
	return f, f.check(name)
}

// fileReader turns the decoded text into a File and keeps the mistakes.
type fileReader struct {
	name, dir, text string
	errs            *multierror.Error
}

func (r *fileReader) wrong(line int, format string, args ...any) {
	r.errs = multierror.Append(r.errs, usage.Errorf("%s:%d: %s", r.name, line, fmt.Sprintf(format, args...)))
}

func (r *fileReader) read(all map[string]any) *File {
	f := &File{Name: r.name}
	tables, _ := all["config"].([]map[string]any)
	if _, given := all["config"]; given && tables == nil {
		r.wrong(r.line("config", 0), "config: must be a table: write [[config]]")
	}
	delete(all, "config")
	given := r.values(keys, all, 0)
	for _, k := range keys {
		v, ok := given[k.name]
		switch {
		case !ok:
		case k.name == "kernels":
			for _, ref := range v {
				f.Kernels = append(f.Kernels, below(r.dir, ref))
			}
		case k.name == "cases":
			for _, c := range v {
				if IsFile(filepath.Join(r.dir, c)) && c != Stdin || strings.HasSuffix(c, ".txt") {
					c = join(r.dir, c)
				}
				f.Cases = append(f.Cases, c)
			}
		default:
			f.Settings = append(f.Settings, Setting{k.name, k.flag, v, r.line(k.name, 0)})
		}
	}
	for i, t := range tables {
		v := r.values(configKeys, t, i+1)
		one := func(name string) string { return strings.Join(v[name], "") }
		c := Config{Name: one("name"), Config: one("config"), Fragments: v["fragments"], Make: v["make"]}
		for i, name := range c.Fragments { // a name without . and / is a built-in fragment
			if strings.ContainsAny(name, "./") {
				c.Fragments[i] = join(r.dir, name)
			}
		}
		f.Configs = append(f.Configs, c)
	}
	return f
}

// values returns the values of a table's keys, as words. table is the number of a [[config]], 0 for
// none.
func (r *fileReader) values(list []key, table map[string]any, number int) map[string][]string {
	out := map[string][]string{}
	var unknown []string
	for name, v := range table {
		k := find(list, name)
		if k == nil {
			unknown = append(unknown, name)
			continue
		}
		got, ok := asWords(k.kind, v)
		if !ok {
			must := takes[k.kind]
			if strings.Contains(must, "%s") {
				must = fmt.Sprintf(must, name)
			}
			r.wrong(r.line(name, number), "%s = %v: must be %s", name, toTOML(v), must)
			continue
		}
		for i := range got {
			if k.path && got[i] != "" && got[i][0] != ':' { // : is a path in the source
				got[i] = join(r.dir, got[i])
			}
		}
		out[k.name] = got
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		table := ""
		if number > 0 {
			table = "config."
		}
		r.wrong(r.line(name, number), "unknown key %s%s%s; tokentest plan --write-config prints all keys", table, name,
			nearKey(list, name))
	}
	return out
}

// asWords returns a value as a command line has it, if it is of the kind.
func asWords(k kind, v any) ([]string, bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, k == word
	case bool:
		return []string{fmt.Sprint(v)}, k == yes
	case int64:
		return []string{fmt.Sprint(v)}, k == count && v >= 1
	case []any:
		out := []string{}
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			out = append(out, s)
		}
		return out, k == words
	}
	return nil, false
}

// toTOML is a value for an error, as the file has it if it is short.
func toTOML(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case []any, map[string]any, []map[string]any:
		return "..."
	default:
		return fmt.Sprint(v)
	}
}

// line finds the line of a key, or of a table; number is that of the [[config]] that has it.
func (r *fileReader) line(name string, number int) int {
	config := 0
	for i, line := range strings.Split(r.text, "\n") {
		line = strings.TrimSpace(line)
		head := strings.TrimSpace(strings.Trim(strings.TrimSpace(strings.SplitN(line, "#", 2)[0]), "[]"))
		if strings.HasPrefix(line, "[[") && head == "config" {
			config++
		}
		word, _, ok := strings.Cut(line, "=")
		if other, has := aliases[strings.TrimSpace(word)]; has && number == 0 && other == name {
			word = name
		}
		table := strings.HasPrefix(line, "[") && head == name
		if config == number && (table || ok && strings.Trim(strings.TrimSpace(word), `"`) == name) || table {
			return i + 1
		}
	}
	return 0
}

// join makes a path relative to a directory, unless it is absolute or of the home directory.
func join(dir, path string) string {
	if filepath.IsAbs(path) || strings.HasPrefix(path, "~") || dir == "." {
		return path
	}
	return filepath.Join(dir, path)
}

// below makes the paths of a kernel's reference relative to a directory: the image, the tree or the
// repository, and the patches.
func below(dir, ref string) string {
	scheme, rest, ok := strings.Cut(ref, ":")
	switch {
	case !ok && ref != "host":
		scheme, rest = "", ref
	case scheme == "tree" || scheme == "git" || scheme == "src":
		scheme += ":"
	default:
		return ref
	}
	parts := strings.Split(rest, "+")
	for i, part := range parts {
		name, rev, _ := strings.Cut(part, "#")
		switch {
		case i > 0 && !isPatch(part), i == 0 && scheme == "src:": // a version or a directory may have a + in it
			continue
		case strings.HasSuffix(part, "/"):
			parts[i] = strings.TrimSuffix(join(dir, name), "/") + "/"
		case rev != "":
			parts[i] = join(dir, name) + "#" + rev
		default:
			parts[i] = join(dir, name)
		}
	}
	return scheme + strings.Join(parts, "+")
}

// isPatch reports whether what follows a plus sign is a file or a directory of patches.
func isPatch(name string) bool {
	return strings.HasSuffix(name, "/") ||
		slices.Contains([]string{".mbox", ".mbx", ".patch", ".diff", ".eml"}, filepath.Ext(name))
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
	return nil
}

// Variant is a kernel of a plan: a reference, and the configuration to build it with.
type Variant struct {
	Label  string  // what a report calls it
	Ref    string  // REF, or REF@CONFIG
	Config *Config // nil for the default one
}

// Variants combines each reference that is built from source with each configuration. A reference
// that is the label of such a combination is only that one.
func (f *File) Variants(refs []string) []Variant {
	var out []Variant
	for _, ref := range refs {
		if len(f.Configs) == 0 || !strings.HasPrefix(ref, "src:") && !strings.HasPrefix(ref, "git:") {
			out = append(out, Variant{Label: ref, Ref: ref})
			continue
		}
		plain, only, _ := strings.Cut(ref, "@")
		if !slices.ContainsFunc(f.Configs, func(c Config) bool { return c.Name == only }) {
			plain, only = ref, ""
		}
		for i := range f.Configs {
			if name := f.Configs[i].Name; only == "" || name == only {
				out = append(out, Variant{plain + "@" + name, plain, &f.Configs[i]})
			}
		}
	}
	return out
}
