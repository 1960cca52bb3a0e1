package kernel

import (
	"slices"
	"strings"

	"tokentest/harness/arch"
)

// Cross returns the references of kernels on each of some architectures, in the order of the kernels. A reference that
// names an architecture stays as it is, and so does that of an image, which says it itself. Without architectures all
// stay as they are.
func Cross(refs, on []string) ([]string, error) {
	if len(on) == 0 {
		return refs, nil
	}
	var out []string
	add := func(ref string) {
		if !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	for _, name := range on {
		if arch.Find(name) == nil {
			return nil, &UsageError{what: "architecture", Ref: name, Advised: true,
				Reason: "cannot be tested; there are " + strings.Join(arch.Names(), ", ")}
		}
	}
	for _, ref := range refs {
		spec, packaged := strings.CutPrefix(ref, "deb:")
		name, flavour, given := strings.Cut(spec, ":")
		switch {
		case IsBuilt(ref):
			if of := arch.Find(on[0]); len(on) > 1 || of != target {
				return nil, &UsageError{Ref: ref, Advised: true, Reason: "is built for " + target.Name + " alone: leave out --arch"}
			}
			add(ref)
			continue
		case !packaged || strings.Contains(name, "/"):
			add(ref)
			continue
		case given && len(on) > 1:
			return nil, &UsageError{Ref: ref, Advised: true,
				Reason: "names a flavour, which each architecture has of its own: write deb:VERSION/ARCH:FLAVOUR for each"}
		}
		for _, of := range on {
			one := "deb:" + name
			if a := arch.Find(of); a != host {
				one += "/" + a.Name
			}
			if given {
				one += ":" + flavour
			}
			add(one)
		}
	}
	return out, nil
}
