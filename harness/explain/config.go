package explain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"tokentest/cases"
	"tokentest/cases/uapi"
	"tokentest/harness/arch"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/report"
	"tokentest/harness/usage"
	"tokentest/kconfig"
)

// Configuration is the configuration of a kernel, or a fragment of one.
type Configuration struct {
	name    string
	config  kconfig.Config
	release string
	of      *arch.Arch
	part    *kconfig.Fragment // when it is a fragment and no whole configuration
	kernel  *kernel.Kernel    // when it is one
	options kernel.Options    // with which the kernel was found
}

// ReadConfiguration reads what a name means: a file with a configuration or a fragment, else
// anything that is a kernel. The error is a *usage.Error or a *kernel.UsageError for a mistake
// in the name.
func ReadConfiguration(ctx context.Context, name string, o kernel.Options) (*Configuration, error) {
	c, err := readFile(name)
	if c != nil || err != nil {
		return c, err
	}
	k, err := kernel.Resolve(ctx, name, o)
	if err != nil {
		return nil, err
	}
	if k.Config == nil {
		return nil, usage.Errorf("kernel %q: its configuration is not known: no .config or config-%s is next to the image, "+
			"and it was built without CONFIG_IKCONFIG", name, k.Release)
	}
	of := arch.Or(k.Arch)
	return &Configuration{name: name, config: k.Config, release: k.Release, of: of, kernel: k, options: o}, nil
}

// Check writes what the configuration lacks of fragments, and which cases need it. lacks says
// that something is missing that the cases or the boot need.
func (c *Configuration) Check(w io.Writer, fragments []*kconfig.Fragment) (lacks bool, err error) {
	fragments = kconfig.For(arch.Or(c.of), fragments...)
	if c.part != nil {
		return c.contradictions(w, fragments)
	}
	return c.unmet(w, fragments)
}

// maxText is more than any .config has, and less than any kernel.
const maxText = 2 << 20

// readFile reads a text file; it returns nil if the file is none.
func readFile(name string) (*Configuration, error) {
	stat, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!stat.Mode().IsRegular() || stat.Size() > maxText) {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(text) == 0 {
		return nil, usage.Errorf("%s is empty: it must be a .config, a fragment or an image", name)
	}
	if slices.Contains(text, 0) {
		return nil, nil
	}
	part, err := kconfig.ParseFragment(name, text)
	if err != nil {
		return nil, usage.Of(err)
	}
	of, rel := kconfig.Banner(text)
	switch {
	case rel == "" && !kconfig.Whole(text):
		return &Configuration{name: name, part: part}, nil
	case rel == "":
		rel = noRelease
	case arch.OfConfig(of) == nil:
		return nil, usage.Errorf("%s is a configuration for %s, and only those of %s can be checked", name, of,
			strings.Join(arch.Names(), ", "))
	}
	config, err := kconfig.Parse(strings.NewReader(string(text)))
	return &Configuration{name: name, config: config, release: rel, of: arch.OfConfig(of)}, err
}

// noRelease stands for the release of a configuration whose head is missing.
const noRelease = "release unknown: its head is missing"

// contradictions says where a fragment asks for what others rule out.
func (c *Configuration) contradictions(w io.Writer, fragments []*kconfig.Fragment) (bool, error) {
	unmet, twice := kconfig.Contradicts(c.part, "", fragments...)
	for _, line := range twice {
		fmt.Fprintln(w, line)
	}
	at := map[string]int{}
	for _, o := range c.part.Options {
		at[o.Name] = o.Line
	}
	for _, u := range unmet {
		fmt.Fprintf(w, "%s:%d: against %s\n", c.name, at[u.Name], u.String())
		if err := writeNeeders(w, &u); err != nil {
			return false, err
		}
	}
	fmt.Fprintln(w, "note: it lacks the head of a whole configuration: options that it does not name are not looked at")
	fmt.Fprintf(w, "%s: a fragment of %s, %d against what is needed\n", c.name,
		report.Count(len(c.part.Options), "option"), len(unmet))
	return len(unmet)+len(twice) > 0, nil
}

// unmet writes the missing options, and then those that would help.
func (c *Configuration) unmet(w io.Writer, fragments []*kconfig.Fragment) (bool, error) {
	all := kconfig.Check(c.config, c.release, fragments...)
	var needed []kconfig.Unmet
	merge := map[string]bool{}
	for _, u := range all {
		if u.Helps != "" {
			continue
		}
		needed = append(needed, u)
		merge[u.Fragment] = true
		fmt.Fprintln(w, u.String())
		if err := writeNeeders(w, &u); err != nil {
			return false, err
		}
	}
	for _, u := range all {
		if u.Helps == "" {
			continue
		}
		fmt.Fprintf(w, "note: %s: %s\n", u.String(), u.Helps)
		if err := writeNeeders(w, &u); err != nil {
			return false, err
		}
	}
	refuted, err := c.writeTypes(w)
	if err != nil {
		return false, err
	}
	since := tokensSince()
	if have, err := uapi.ParseRelease(c.release); err == nil && have.Less(since) {
		fmt.Fprintf(w, "note: %s has no BPF tokens, which came in %s: every case that makes one would be skipped\n",
			c.release, since)
	}
	fmt.Fprintf(w, "%s (%s): %s missing\n", c.name, c.release, report.Count(len(needed), "option"))
	if len(needed) > 0 {
		files := slices.Sorted(maps.Keys(merge))
		fmt.Fprintf(w, "merge: scripts/kconfig/merge_config.sh .config %s\n", strings.Join(files, " "))
		fmt.Fprintln(w, "       (tokentest kernel config NAME prints a built-in fragment)")
	}
	return refuted || len(needed) > 0, nil
}

// tokensSince is the first release with BPF_TOKEN_CREATE.
func tokensSince() uapi.Release {
	i := slices.IndexFunc(uapi.Cmds.Members, func(m uapi.Member) bool {
		return m.Value == uint32(uapi.BPF_TOKEN_CREATE)
	})
	return uapi.Cmds.Members[i].Since
}

// writeTypes says what a kernel's image has no enumerator for. refuted says that its release
// should have it.
func (c *Configuration) writeTypes(w io.Writer) (refuted bool, err error) {
	if c.kernel == nil {
		return false, nil
	}
	facts, err := lab.ImageFacts(c.kernel, c.options)
	if err != nil {
		fmt.Fprintf(w, "note: what the image has of commands and types cannot be read: %v\n", err)
		return false, nil
	}
	corpus, err := builtin()
	if err != nil {
		return false, err
	}
	var all []*cases.Case
	for _, g := range corpus.Groups {
		all = append(all, g.Cases...)
	}
	return (&Forecast{Facts: facts}).Check(w, all), nil
}

// writeNeeders names the cases that need a missing option.
func writeNeeders(w io.Writer, u *kconfig.Unmet) error {
	corpus, err := builtin()
	if err != nil {
		return err
	}
	if s := needers(corpus, u); s != "" {
		fmt.Fprintf(w, "    %s\n", s)
	}
	return nil
}

// builtin reads the built-in cases once, if they are needed: most configurations lack nothing.
var builtin = sync.OnceValues(func() (*cases.Corpus, error) { return cases.Load(context.Background()) })

// needers counts the cases that are skipped without an option, by what they
// say of themselves, and those that a fragment names: these are broken.
func needers(corpus *cases.Corpus, u *kconfig.Unmet) string {
	if slices.Contains(u.Cases, "*") {
		return "every case needs it"
	}
	var skip, broken []*cases.Case
	for _, g := range corpus.Groups {
		for _, c := range g.Cases {
			switch {
			case slices.ContainsFunc(c.Needs(), func(n cases.Need) bool {
				return n.Kind == cases.NeedConfig &&
					n.Name == u.Name
			}):
				skip = append(skip, c)
			case slices.ContainsFunc(u.Cases, func(p string) bool { return cases.Match(p, c.ID) }):
				broken = append(broken, c)
			}
		}
	}
	var parts []string
	if len(skip) > 0 {
		parts = append(parts, countCases(skip)+" would be skipped")
	}
	if len(broken) > 0 {
		parts = append(parts, countCases(broken)+" would be broken")
	}
	return strings.Join(parts, "; ")
}

// countCases sums cases up by group, with the first as an example.
func countCases(list []*cases.Case) string {
	by := map[string]int{}
	var order []string
	for _, c := range list {
		if by[c.Group.Name]++; by[c.Group.Name] == 1 {
			order = append(order, c.Group.Name)
		}
	}
	for i, g := range order {
		order[i] = fmt.Sprintf("%d of %s", by[g], g)
	}
	return fmt.Sprintf("%s (such as %s)", strings.Join(order, ", "), list[0].ID)
}
