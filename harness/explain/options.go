package explain

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/kconfig"
)

// Options maps each configuration option that decides something to the places that name it.
func Options() (map[string][]string, error) {
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
	corpus, err := builtin()
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
