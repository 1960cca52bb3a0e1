package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/usage"
	"tokentest/kconfig"
)

type checkFlags struct {
	fragments []string
}

func (a *app) kernelCheckCmd() *cobra.Command {
	f := &checkFlags{}
	c := &cobra.Command{
		Use:   "check CONFIG|IMAGE|REF",
		Short: "name every option that a kernel lacks, and the cases that need it",
		Long: `Compare a .config, the configuration inside an image (CONFIG_IKCONFIG), a
fragment, or the configuration of any kernel that can be named, with the
fragments base and token. Each option that is not met is named with the
fragment's line, and with the cases that would be skipped for it. Of a kernel's
image its BTF tells, too, which commands and types it lacks, and which it has that
tokentest does not know.

Exit code 1 says that something is missing that the cases or the boot need.`,
		Example: "  tokentest kernel check ~/linux/.config\n  tokentest kernel check --fragment debug deb:6.12",
		Args:    args(cobra.ExactArgs(1)),
		RunE:    func(c *cobra.Command, args []string) error { return a.check(c.Context(), args[0], f) },
	}
	c.Flags().StringArrayVar(&f.fragments, "fragment", []string{"base", "token"}, "compare with `FRAGMENT`: base, token, debug or a file; may be repeated")
	return c
}

// configured is a configuration to be checked.
type configured struct {
	name    string
	config  kconfig.Config
	release string
	part    *kconfig.Fragment // when it is a fragment and no whole configuration
	kernel  *kernel.Kernel    // when it is one
}

func (a *app) check(ctx context.Context, name string, f *checkFlags) error {
	var fragments []*kconfig.Fragment
	for _, name := range f.fragments {
		list, err := kconfig.ReadFragment(name)
		if err != nil {
			return usage.Of(err)
		}
		fragments = append(fragments, list...)
	}
	c, err := a.configured(ctx, name)
	if err != nil {
		return err
	}
	if c.part != nil {
		return a.showContradictions(c, fragments)
	}
	return a.showUnmet(c, fragments)
}

// configured reads what a name means: a file that is a configuration, else
// anything that is a kernel.
func (a *app) configured(ctx context.Context, name string) (*configured, error) {
	c, err := readConfigured(name)
	if c != nil || err != nil {
		return c, err
	}
	k, err := kernel.Resolve(ctx, name, a.kernelOptions())
	if err != nil {
		return nil, err
	}
	if k.Config == nil {
		return nil, usage.Errorf("kernel %q: its configuration is not known: no .config or config-%s is next to the image, and it was built without CONFIG_IKCONFIG", name, k.Release)
	}
	return &configured{name: name, config: k.Config, release: k.Release, kernel: k}, nil
}

// maxText is more than any .config has, and less than any kernel.
const maxText = 2 << 20

// readConfigured reads a text file; it returns nil for what is none.
func readConfigured(name string) (*configured, error) {
	stat, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!stat.Mode().IsRegular() || stat.Size() > maxText) {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(text) == 0 {
		return nil, usage.Errorf("%s is empty: want a .config, a fragment or an image", name)
	}
	if slices.Contains(text, 0) {
		return nil, nil
	}
	part, err := kconfig.ParseFragment(name, text)
	if err != nil {
		return nil, usage.Of(err)
	}
	arch, rel := kconfig.Banner(text)
	switch {
	case rel == "":
		return &configured{name: name, part: part}, nil
	case arch != "x86":
		return nil, usage.Errorf("%s is a configuration for %s; only x86-64 kernels can be booted here", name, arch)
	}
	config, err := kconfig.Parse(strings.NewReader(string(text)))
	return &configured{name: name, config: config, release: rel}, err
}

// showContradictions says where a fragment asks for what others rule out.
func (a *app) showContradictions(c *configured, fragments []*kconfig.Fragment) error {
	unmet, twice := kconfig.Contradicts(c.part, "", fragments...)
	for _, line := range twice {
		fmt.Fprintln(a.stdout, line)
	}
	at := map[string]int{}
	for _, o := range c.part.Options {
		at[o.Name] = o.Line
	}
	for _, u := range unmet {
		fmt.Fprintf(a.stdout, "%s:%d: against %s\n", c.name, at[u.Name], u.String())
		if err := a.showNeeders(&u); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.stdout, "%s: a fragment of %s, %d against what is needed\n", c.name, options(len(c.part.Options)), len(unmet))
	if len(unmet)+len(twice) > 0 {
		a.code = result.ExitDiffers
	}
	return nil
}

func (a *app) showUnmet(c *configured, fragments []*kconfig.Fragment) error {
	all := kconfig.Check(c.config, c.release, fragments...)
	var needed []kconfig.Unmet
	merge := map[string]bool{}
	for _, u := range all {
		if u.Helps == "" {
			needed = append(needed, u)
			merge[u.Fragment] = true
		}
	}
	for _, u := range needed {
		fmt.Fprintln(a.stdout, u.String())
		if err := a.showNeeders(&u); err != nil {
			return err
		}
	}
	for _, u := range all {
		if u.Helps != "" {
			fmt.Fprintf(a.stdout, "note: %s: %s\n", u.String(), u.Helps)
			if err := a.showNeeders(&u); err != nil {
				return err
			}
		}
	}
	if err := a.showTypes(c); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s (%s): %s missing\n", c.name, c.release, options(len(needed)))
	if len(needed) == 0 {
		return nil
	}
	a.code = result.ExitDiffers
	files := slices.Sorted(maps.Keys(merge))
	fmt.Fprintf(a.stdout, "merge: scripts/kconfig/merge_config.sh .config %s\n", strings.Join(files, " "))
	fmt.Fprintln(a.stdout, "       (tokentest kernel config NAME prints a built-in fragment)")
	return nil
}

// showTypes says what a kernel's image has no enumerator for.
func (a *app) showTypes(c *configured) error {
	if c.kernel == nil {
		return nil
	}
	facts, err := lab.ImageFacts(c.kernel, a.kernelOptions())
	if err != nil {
		fmt.Fprintf(a.stdout, "note: what the image has of commands and types cannot be read: %v\n", err)
		return nil
	}
	corpus, err := loadCorpus()
	if err != nil {
		return err
	}
	var all []*cases.Case
	for _, g := range corpus.Groups {
		all = append(all, g.Cases...)
	}
	if (&foreseen{facts: facts}).check(a.stdout, all) {
		a.code = result.ExitDiffers
	}
	return nil
}

// showNeeders names the cases that need what is missing.
func (a *app) showNeeders(u *kconfig.Unmet) error {
	corpus, err := loadCorpus()
	if err != nil {
		return err
	}
	if s := needers(corpus, u); s != "" {
		fmt.Fprintf(a.stdout, "    %s\n", s)
	}
	return nil
}

// loadCorpus reads the built-in cases once: most configurations lack nothing.
var loadCorpus = sync.OnceValues(func() (*cases.Corpus, error) { return cases.Load(context.Background()) })

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
			case slices.ContainsFunc(c.Needs(), func(n cases.Need) bool { return n.Kind == cases.NeedConfig && n.Name == u.Name }):
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
		parts = append(parts, countCases(broken)+" could not be asked")
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

func (a *app) kernelConfigCmd() *cobra.Command {
	return &cobra.Command{
		Use:       "config NAME...",
		Short:     "print built-in configuration fragments: " + strings.Join(kconfig.Names(), ", "),
		Example:   "  tokentest kernel config base token > token.config",
		ValidArgs: kconfig.Names(),
		Args:      args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, names []string) error {
			list, err := kconfig.Builtin(names...)
			if err != nil {
				return usage.Of(err)
			}
			for _, f := range list {
				if _, err := a.stdout.Write(f.Text()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func options(n int) string {
	if n == 1 {
		return "1 option"
	}
	return fmt.Sprintf("%d options", n)
}
