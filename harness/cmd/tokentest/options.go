package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/kconfig"
)

func (a *app) listOptionsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "options",
		Short: "list the configuration options that a case depends on",
		Long: `List the configuration options that a case depends on: those of the fragment
token, those that a case needs or that a known defect depends on, and those that
the guest looks for in the running kernel, each with where it is named.`,
		Example: "  tokentest list options",
		Args:    args(cobra.NoArgs),
		RunE:    func(*cobra.Command, []string) error { return a.listOptions() },
	}
}

func (a *app) listOptions() error {
	named, err := optionsNamed()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		fmt.Fprintf(a.stdout, "%s\t%s\n", name, strings.Join(named[name], ", "))
	}
	return nil
}

// optionsNamed maps each option that decides to where it is named.
func optionsNamed() (map[string][]string, error) {
	out := map[string][]string{}
	add := func(name, where string) {
		if !slices.Contains(out[name], where) {
			out[name] = append(out[name], where)
		}
	}
	fragments, err := kconfig.Builtin("token")
	if err != nil {
		return nil, err
	}
	for _, o := range fragments[0].Options {
		if o.Value == "y" {
			add(o.Name, fmt.Sprintf("%s:%d", fragments[0].Path, o.Line))
		}
	}
	for _, o := range step.Options {
		if o.Func != "" {
			add(o.Config, "func "+o.Func)
		} else {
			add(o.Config, o.File)
		}
	}
	corpus, err := loadCorpus()
	if err != nil {
		return nil, err
	}
	for _, g := range corpus.Groups {
		for _, c := range g.Cases {
			for _, n := range c.Needs() {
				if n.Kind == cases.NeedConfig {
					add(n.Name, g.Path)
				}
			}
		}
		for _, k := range g.Known {
			if k.Config != "" {
				add(strings.TrimPrefix(k.Config, "!"), k.Where)
			}
		}
	}
	return out, nil
}
