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
			return nil, noArch(name)
		}
	}
	for _, ref := range refs {
		if IsBuilt(ref) {
			crossed, err := crossBuilt(ref, on)
			if err != nil {
				return nil, err
			}
			for _, one := range crossed {
				add(one)
			}
			continue
		}
		spec, packaged := strings.CutPrefix(ref, "deb:")
		name, flavour, given := strings.Cut(spec, ":")
		switch {
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

// crossBuilt returns the references of a source that is built for each of some architectures.
func crossBuilt(ref string, on []string) ([]string, error) {
	r, err := parseSource(ref)
	switch {
	case err != nil:
		return nil, err
	case r.arch != nil:
		return []string{ref}, nil
	case r.scheme != "src":
		if of := arch.Find(on[0]); len(on) > 1 || of != host {
			return nil, &UsageError{Ref: ref, Advised: true,
				Reason: "its name cannot have an architecture: leave out --arch, and use --make ARCH=" + of.Linux}
		}
		return []string{ref}, nil
	}
	var out []string
	for _, name := range on {
		one := "src:" + r.name
		if a := arch.Find(name); a != host {
			one += "/" + a.Name
		}
		out = append(out, one+strings.TrimPrefix(ref, "src:"+r.name))
	}
	return out, nil
}
