package kconfig

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tokentest/harness/arch"
)

//go:embed *.config
var builtin embed.FS

// Fragment is a part of a configuration: wanted options, each with its line.
type Fragment struct {
	Path    string // for errors
	Options []Option
	text    []byte
	off     bool // it switches options off, and their dependents too
}

// Without makes a fragment that switches options off. Lost then ignores the options that depend on them.
func Without(names ...string) (*Fragment, error) {
	f := &Fragment{Path: "--without", off: true}
	for i, name := range names {
		o := Option{Name: strings.TrimPrefix(name, "CONFIG_"), Value: "n", Line: i + 1}
		if !optionName.MatchString(o.Name) {
			return nil, fmt.Errorf("%q is not an option; write it as in Kconfig, such as SECURITY_NETWORK", name)
		}
		f.Options = append(f.Options, o)
	}
	return f, nil
}

var optionName = regexp.MustCompile(`^[A-Z0-9][A-Za-z0-9_]*$`)

// Option is one wanted value.
type Option struct {
	Name, Value string // without CONFIG_; the value as Config has it
	Line        int
	Since       string   // older releases do not have it
	Until       string   // this release and newer ones do not have it
	Arch        []string // only kernels of these architectures have it; none means all
	Build       bool     // only for kernels that are built here
	Helps       string   // what a kernel loses without it, if the option is not required
	Cases       []string // patterns of the cases that need it
}

// Names lists the built-in fragments. Those of base are base.config and what
// each architecture adds.
func Names() []string { return []string{"base", "token", "debug"} }

// Builtin returns the built-in fragments of the given names.
func Builtin(names ...string) ([]*Fragment, error) {
	var out []*Fragment
	for _, name := range names {
		files := []string{name + ".config"}
		if name == "base" {
			for _, a := range arch.All {
				files = append(files, "base."+a.Linux+".config")
			}
		}
		for _, file := range files {
			text, err := builtin.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("unknown fragment %s; available: %s", name, strings.Join(Names(), ", "))
			}
			f, err := ParseFragment(path.Join("kconfig", file), text)
			if err != nil {
				return nil, err
			}
			out = append(out, f)
		}
	}
	return out, nil
}

// ReadFragment reads a fragment from a file, or a built-in one by its name.
func ReadFragment(name string) ([]*Fragment, error) {
	if slices.Contains(Names(), name) {
		return Builtin(name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read fragment: %w (built-in fragments: %s)", err, strings.Join(Names(), ", "))
	}
	f, err := ParseFragment(name, text)
	return []*Fragment{f}, err
}

// ParseFragment reads options and the comments that begin with #:.
func ParseFragment(name string, text []byte) (*Fragment, error) {
	f := &Fragment{Path: name, text: text}
	about := Option{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if note, ok := strings.CutPrefix(line, "#:"); ok {
			if err := about.annotate(strings.TrimSpace(note)); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, n, err)
			}
			continue
		}
		one := Config{}
		if err := one.set(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		for sym, value := range one {
			about.Name, about.Value, about.Line = sym, value, n
			f.Options = append(f.Options, about)
			about = Option{}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return f, nil
}

func (o *Option) annotate(note string) error {
	word, rest, _ := strings.Cut(note, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case word == "arch" && rest != "":
		for _, name := range strings.Fields(rest) {
			if arch.Name(name) != name {
				return fmt.Errorf("no architecture %s; there are %s", name, strings.Join(arch.Names(), ", "))
			}
			o.Arch = append(o.Arch, name)
		}
	case word == "build" && rest == "":
		o.Build = true
	case word == "since" && release(rest) > 0:
		o.Since = rest
	case word == "until" && release(rest) > 0:
		o.Until = rest
	case word == "helps" && rest != "":
		o.Helps = rest
	case word == "cases" && rest != "":
		o.Cases = strings.Fields(rest)
	default:
		return fmt.Errorf("want #: since RELEASE, until RELEASE, arch NAME, build, helps TEXT or cases PATTERN, got "+
			"%q", note)
	}
	return nil
}

// release maps a release to a number that can be compared, and anything else to 0.
func release(s string) int {
	major, rest, ok := strings.Cut(s, ".")
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		rest = rest[:end]
	}
	a, err := strconv.Atoi(major)
	b, err2 := strconv.Atoi(rest)
	if !ok || err != nil || err2 != nil {
		return 0
	}
	return a<<16 | b
}

// in reports whether a release has the option; an unknown release has all.
func (o Option) in(rel string) bool {
	have := release(rel)
	return have == 0 || release(o.Since) <= have && (o.Until == "" || have < release(o.Until))
}

// For returns the fragments with the options of kernels of an architecture alone, without those that have none.
func For(of *arch.Arch, fragments ...*Fragment) []*Fragment {
	var out []*Fragment
	for _, f := range fragments {
		own := *f
		own.Options = slices.DeleteFunc(slices.Clone(f.Options), func(o Option) bool {
			return len(o.Arch) > 0 && !slices.Contains(o.Arch, of.Name)
		})
		if len(own.Options) > 0 {
			out = append(out, &own)
		}
	}
	return out
}

// Text is the fragment as it was read.
func (f *Fragment) Text() []byte { return f.text }

// Merge writes a file for make's KCONFIG_ALLCONFIG: the options of all fragments that the release
// has. A later option wins; Merge also returns the lines that are overridden.
func Merge(w io.Writer, fragments []*Fragment, rel string) (overridden []string, err error) {
	type place struct {
		option Option
		path   string
	}
	last := map[string]place{}
	var order []string
	for _, f := range fragments {
		for _, o := range f.Options {
			if !o.in(rel) {
				continue
			}
			if old, twice := last[o.Name]; !twice {
				order = append(order, o.Name)
			} else if old.option.Value != o.Value && !f.off {
				overridden = append(overridden, fmt.Sprintf("%s:%d: CONFIG_%s=%s overrides %s:%d, which has %s", f.Path, o.Line,
					o.Name, o.Value, old.path, old.option.Line, old.option.Value))
			}
			last[o.Name] = place{o, f.Path}
		}
	}
	for _, name := range order {
		if _, err := fmt.Fprintln(w, last[name].option.String()); err != nil {
			return nil, err
		}
	}
	return overridden, nil
}

// String is the line of a .config.
func (o Option) String() string {
	switch {
	case o.Value == "n":
		return "# CONFIG_" + o.Name + " is not set"
	case o.plain():
		return "CONFIG_" + o.Name + "=" + o.Value
	}
	return "CONFIG_" + o.Name + "=" + strconv.Quote(o.Value)
}

// plain reports whether a value needs no quotes, like tristates and numbers.
func (o Option) plain() bool {
	if o.Value == "y" || o.Value == "m" {
		return true
	}
	_, err := strconv.ParseInt(o.Value, 0, 64)
	return err == nil
}

// carried is a fragment as another host reads it.
type carried struct {
	Path    string   `json:"path"`
	Text    string   `json:"text,omitempty"`
	Without []string `json:"without,omitempty"`
}

// MarshalJSON writes the fragment's text, or the options that it switches off.
func (f *Fragment) MarshalJSON() ([]byte, error) {
	c := carried{Path: f.Path, Text: string(f.text)}
	if f.off {
		for _, o := range f.Options {
			c.Without = append(c.Without, o.Name)
		}
	}
	return json.Marshal(c)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *Fragment) UnmarshalJSON(text []byte) error {
	c := carried{}
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	var of *Fragment
	var err error
	if c.Without != nil {
		of, err = Without(c.Without...)
	} else {
		of, err = ParseFragment(c.Path, []byte(c.Text))
	}
	if err == nil {
		*f = *of
	}
	return err
}
