package kconfig

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tokentest/harness/arch"
)

// Unmet is an option whose value differs from a fragment's.
type Unmet struct {
	Fragment string // its path
	Option
	Got string // "n", "m" or another value; "" if the configuration does not name it
}

// String names the fragment's line, the wanted value and the actual one.
func (u *Unmet) String() string {
	return fmt.Sprintf("%s:%d: want %s, %s", u.Fragment, u.Line, u.Option.String(), u.got())
}

func (u *Unmet) got() string {
	switch u.Got {
	case "":
		return "it is not there"
	case "n":
		return "it is not set"
	case "m":
		return "it is a module, which nothing loads"
	}
	return "it is " + u.Got
}

// Check returns the options that a whole configuration of a release does not have. It ignores options
// that a fragment only sets for kernels that are built here.
func Check(c Config, rel string, fragments ...*Fragment) []Unmet {
	return unmet(c, rel, fragments, func(o *Option) bool { return !o.Build })
}

// Lost returns the options of fragments that olddefconfig changed. If several fragments name an
// option, the last one counts. If one of them is from Without, only its own options count, because
// others depend on them.
func Lost(c Config, rel string, fragments ...*Fragment) (lost, gone []Unmet) {
	last := map[string]string{}
	switches := map[string]bool{}
	for _, f := range fragments {
		for _, o := range f.Options {
			last[o.Name] = f.Path
		}
		switches[f.Path] = f.off
	}
	off := slices.ContainsFunc(fragments, func(f *Fragment) bool { return f.off })
	for _, u := range unmet(c, rel, fragments, func(*Option) bool { return true }) {
		switch {
		case last[u.Name] != u.Fragment:
		case off && !switches[u.Fragment]:
			gone = append(gone, u)
		default:
			lost = append(lost, u)
		}
	}
	return lost, gone
}

func unmet(c Config, rel string, fragments []*Fragment, want func(*Option) bool) []Unmet {
	var out []Unmet
	for _, f := range fragments {
		for _, o := range f.Options {
			got, named := c[o.Name]
			off := o.Value == "n" && (!named || got == "n")
			if !want(&o) || !o.in(rel) || off || named && got == o.Value {
				continue
			}
			out = append(out, Unmet{Fragment: f.Path, Option: o, Got: got})
		}
	}
	return out
}

// Contradicts returns the lines in which one fragment sets another value than the others. It also
// returns lines that a later line of the same fragment overrides.
func Contradicts(f *Fragment, rel string, others ...*Fragment) (unmet []Unmet, twice []string) {
	c := Config{}
	at := map[string]int{}
	for _, o := range f.Options {
		if old, named := c[o.Name]; named && old != o.Value {
			twice = append(twice, fmt.Sprintf("%s:%d: CONFIG_%s=%s is overridden by line %d, which has %s", f.Path, at[o.Name],
				o.Name, old, o.Line, o.Value))
		}
		c[o.Name], at[o.Name] = o.Value, o.Line
	}
	for _, u := range Check(c, rel, others...) {
		if _, named := c[u.Name]; named {
			unmet = append(unmet, u)
		}
	}
	return unmet, twice
}

var banner = regexp.MustCompile(`(?m)^# Linux/(\S+) (\S+) Kernel Configuration\r?$`)

// compiler matches an option that every configuration has since 4.18, and that nobody writes: kconfig asks the
// compiler.
var compiler = regexp.MustCompile(`(?m)^CONFIG_CC_(?:VERSION_TEXT="|IS_(?:GCC|CLANG)=y)`)

// Whole reports whether a text without a head is a whole configuration, of which the head was cut off.
func Whole(text []byte) bool { return compiler.Match(text) }

// Banner reads the architecture and the release in the head of a .config; both are "" for a
// fragment, which has no head.
func Banner(text []byte) (name, rel string) {
	if m := banner.FindSubmatch(text[:min(len(text), 4096)]); m != nil {
		name, rel = string(m[1]), string(m[2])
		if a := arch.Find(name); a != nil { // ARCH= of a make, where that is not the name
			name = a.Config
		}
		return name, rel
	}
	return "", ""
}

// Why returns why an option is not set in a source tree for an architecture: no Kconfig file defines it, only
// another architecture does, or it depends on other options. It names the Kconfig line.
func Why(tree string, target *arch.Arch, name string) string {
	var found, foreign []string
	own := target.Dir + "/"
	filepath.WalkDir(tree, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil || len(found) > 2:
			return nil
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "Documentation" || d.Name() == "tools"):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasPrefix(d.Name(), "Kconfig"):
			if s := definition(path, name); s != "" {
				rel, _ := filepath.Rel(tree, path)
				if of, ok := strings.CutPrefix(rel, "arch/"); ok && strings.Contains(of, "/") && !strings.HasPrefix(of, own) {
					of, _, _ = strings.Cut(of, "/")
					foreign = append(foreign, of)
				} else {
					found = append(found, rel+s)
				}
			}
		}
		return nil
	})
	switch {
	case len(found) == 0 && len(foreign) > 0:
		return fmt.Sprintf("this is a kernel for %s, and only arch/%s has it", target.Dir,
			strings.Join(slices.Compact(foreign), ", arch/"))
	case len(found) == 0:
		return "no Kconfig file of this tree defines it"
	}
	return strings.Join(found, "; ")
}

// definition returns the line of "config name" in a file, its dependencies, and whether it has a
// prompt.
func definition(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "config "+name+"\n") {
		return ""
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if line != "config "+name && line != "menuconfig "+name {
			continue
		}
		var depends []string
		prompt := false
		for _, l := range lines[i+1:] {
			word, rest, _ := strings.Cut(strings.TrimSpace(l), " ")
			if word == "help" || word == "config" || word == "menuconfig" || word == "choice" || word == "endif" ||
				word == "menu" {
				break
			}
			if d, ok := strings.CutPrefix(rest, "on "); ok && word == "depends" {
				if strings.Contains(d, "||") && !strings.HasPrefix(d, "(") {
					d = "(" + d + ")"
				}
				depends = append(depends, d)
			}
			prompt = prompt || strings.Contains(rest, `"`) && (word == "bool" || word == "tristate" || word == "prompt" ||
				word == "int" || word == "string" || word == "hex" || word == "def_bool")
		}
		return fmt.Sprintf(":%d: %s", i+1, reasons(depends, prompt))
	}
	return ""
}

func reasons(depends []string, prompt bool) string {
	switch {
	case !prompt && len(depends) > 0:
		return "other options decide it, and it depends on " + strings.Join(depends, " && ")
	case !prompt:
		return "other options decide it"
	case len(depends) > 0:
		return "it depends on " + strings.Join(depends, " && ")
	}
	return "it depends on the menu that it is in"
}
