package kernel

import (
	"context"
	"slices"
	"strings"
)

// Between returns the releases from good to bad, both deb: references of one
// flavour, the oldest first and the ends included: the newest version of each
// release (6.12, 6.16, ...), or with every all versions that the mirror has.
//
// Two oci: references are tags of one repository, which begin with the release and end alike.
func Between(ctx context.Context, good, bad string, every bool, o Options) ([]Available, error) {
	if strings.HasPrefix(good, ociScheme) {
		return betweenTags(ctx, good, bad, every, o)
	}
	from, err := parseDebRef(good, strings.TrimPrefix(good, "deb:"))
	if err != nil {
		return nil, err
	}
	to, err := parseDebRef(bad, strings.TrimPrefix(bad, "deb:"))
	if err != nil {
		return nil, err
	}
	if from.flavour != to.flavour {
		return nil, &UsageError{Ref: bad, Reason: "another flavour than " + good}
	}
	d, x, err := readDebian(ctx, o, from.arch)
	if err != nil {
		return nil, err
	}
	entries, err := d.entries()
	if err != nil {
		return nil, err
	}
	first, last := x.choose(from), x.choose(to)
	switch {
	case len(first) == 0:
		return nil, x.unknown(good, from)
	case len(last) == 0:
		return nil, x.unknown(bad, to)
	case compareVersions(first[0].Version, last[0].Version) >= 0:
		return nil, &UsageError{Ref: bad, Reason: "not newer than " + good}
	}
	all := available(x, entries)
	slices.Reverse(all)
	return between(all, first[0], last[0], good, bad, every), nil
}

// between picks from a list that is sorted, the oldest first.
func between(all []Available, first, last image, good, bad string, every bool) []Available {
	var out []Available
	for _, a := range all {
		switch {
		case a.Flavour != first.flavour,
			compareVersions(a.Version, first.Version) < 0,
			compareVersions(a.Version, last.Version) > 0:
			continue
		case a.Version == first.Version:
			a.Ref = good
		case a.Version == last.Version:
			a.Ref = bad
		case !every && (strings.Contains(a.Version, "~rc") || a.Minor() == cut(upstream(first.Version), 2) ||
			a.Minor() == cut(upstream(last.Version), 2)):
			continue
		}
		if n := len(out) - 1; !every && n >= 0 && out[n].Minor() == a.Minor() && out[n].Ref != good {
			out = out[:n] // replaced by a newer version of the same release
		}
		out = append(out, a)
	}
	return out
}

// Minor is the first two numbers of the kernel's own version, such as 6.12.
func (a *Available) Minor() string { return cut(upstream(a.Version), 2) }
