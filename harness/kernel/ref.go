package kernel

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"tokentest/harness/arch"
)

// suites are Debian's, in the order in which they are preferred when two hold
// the same version. Suites that the mirror does not have are left out.
var suites = []string{
	"bullseye", "bullseye-security",
	"bookworm", "bookworm-security", "bookworm-backports",
	"trixie", "trixie-security", "trixie-backports",
	"forky", "sid", "experimental",
}

// roles are Debian's other names for suites; the package lists map a role to a suite.
var roles = regexp.MustCompile(`^((old)*stable(-security|-backports)?|testing|unstable)$`)

func isSuite(s string) bool { return slices.Contains(suites, s) || roles.MatchString(s) }

// debRef is a parsed deb: reference; either Suite or Version is set.
type debRef struct {
	suite, version, flavour string
	arch                    *arch.Arch
}

var versionForm = regexp.MustCompile(`^[0-9][0-9A-Za-z.+~:-]*$`)

func parseDebRef(ref, spec string) (debRef, error) {
	name, flavour, given := strings.Cut(spec, ":")
	name, of, foreign := strings.Cut(name, "/")
	r := debRef{arch: host}
	known := !foreign || arch.Find(of) != nil
	if foreign && known {
		r.arch = arch.Find(of)
	}
	r.flavour = r.arch.Flavour
	if given {
		r.flavour = fullFlavour(flavour, r.arch)
	}
	switch {
	case !known && (isSuite(name) || versionForm.MatchString(name)):
		return r, noArch(of)
	case given && flavour == "":
		return r, &UsageError{Ref: ref, Reason: "no flavour after the colon; want for example " + r.arch.Flavour}
	case name == "":
		return r, &UsageError{Ref: ref, Reason: "no suite or version; want deb:SUITE|VERSION[/ARCH][:FLAVOUR]"}
	case isSuite(name):
		r.suite = name
	case versionForm.MatchString(name):
		r.version = strings.Replace(name, "-rc", "~rc", 1)
	default:
		bad := &UsageError{Ref: ref, Reason: "no such suite", Near: nearSuites(name)}
		if bad.Near == nil {
			bad.Reason += "; there are " + strings.Join(suites, ", ")
		}
		return r, bad
	}
	return r, nil
}

// noArch is the error for an architecture that is not in the table.
func noArch(name string) error {
	return &UsageError{what: "architecture", Ref: name, Advised: true,
		Reason: "cannot be tested; there are " + strings.Join(arch.Names(), ", ")}
}

// fullFlavour adds the architecture to the name of a flavour that has none, such as cloud.
func fullFlavour(flavour string, of *arch.Arch) string {
	for _, suffix := range of.Suffix {
		if flavour == suffix || strings.HasSuffix(flavour, "-"+suffix) {
			return flavour
		}
	}
	return flavour + "-" + of.Suffix[0]
}

func (r debRef) String() string {
	s := "deb:" + r.suite + r.version
	if of := arch.Or(r.arch); of != host {
		s += "/" + of.Name
	}
	return s + ":" + r.flavour
}

// matches reports whether the reference matches p. A version matches from its beginning to a
// boundary: 6.1 matches 6.1.176-1 and not 6.12.117-1. So does the release of uname -r: 6.1.0-50.
func (r debRef) matches(x *index, p image) bool {
	switch {
	case p.flavour != r.flavour:
		return false
	case r.suite != "":
		return p.Suite == r.suite || x.Suites[p.Suite] == r.suite
	}
	return beginsAt(p.Version, r.version) || beginsAt(p.release, r.version)
}

func beginsAt(s, prefix string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	return ok && (rest == "" || strings.ContainsAny(rest[:1], ".-~+"))
}

// image is a package with a kernel image.
type image struct {
	pkg
	release string // uname -r
	flavour string
}

// imageName matches linux-image-RELEASE with a flavour of words at its end.
func imageName(of *arch.Arch) *regexp.Regexp {
	return regexp.MustCompile(`^linux-image-([0-9]\S*?-((?:[a-z]+-)*(?:` + strings.Join(of.Suffix, "|") + `)))$`)
}

// images returns the kernels of the index, the newest first. Packages that
// depend on a linux-image themselves only name the current one.
func (x *index) images() []image {
	var all []image
	named := imageName(arch.Or(x.arch))
	for _, p := range x.Packages {
		m := named.FindStringSubmatch(p.Name)
		if m == nil || slices.ContainsFunc(p.Depends, isImage) {
			continue
		}
		all = append(all, image{p, m[1], m[2]})
	}
	slices.SortStableFunc(all, func(a, b image) int {
		return cmp.Or(
			compareVersions(b.Version, a.Version),
			cmp.Compare(a.flavour, b.flavour),
			slices.Index(suites, a.Suite)-slices.Index(suites, b.Suite))
	})
	return all
}

func isImage(name string) bool { return strings.HasPrefix(name, "linux-image-") }

// choose returns the kernels that match r, the newest first.
func (x *index) choose(r debRef) []image {
	return slices.DeleteFunc(x.images(), func(p image) bool { return !r.matches(x, p) })
}

// unknown is the error for a reference that matches nothing in the index.
func (x *index) unknown(ref string, r debRef) error {
	bad := &UsageError{Ref: ref}
	flavours := map[string]bool{}
	for _, p := range x.images() {
		if other := (debRef{r.suite, r.version, p.flavour, r.arch}); other.matches(x, p) && !flavours[p.flavour] {
			flavours[p.flavour] = true
			bad.Near = append(bad.Near, other.short())
		}
	}
	switch {
	case len(flavours) > 0:
		bad.Reason = "no flavour " + r.flavour
	case r.suite != "":
		bad.Reason = "the mirror has no kernels in the suite " + r.suite
		bad.Near = x.present()
	default:
		bad.Reason = "the mirror has no such version"
		bad.Near = x.nearVersions(r)
	}
	return bad
}

// short is the reference without the default flavour.
func (r debRef) short() string { return strings.TrimSuffix(r.String(), ":"+arch.Or(r.arch).Flavour) }

// present lists the suites that the index has.
func (x *index) present() []string {
	var refs []string
	for _, s := range suites {
		if _, ok := x.Suites[s]; ok {
			refs = append(refs, "deb:"+s)
		}
	}
	return refs
}

// nearVersions returns up to two versions below and two above the wanted one, cut to the
// same number of parts.
func (x *index) nearVersions(r debRef) []string {
	length := strings.Count(r.version, ".") + 1
	var below, above []string
	for _, p := range x.images() {
		v := cut(upstream(p.Version), length)
		switch near := (debRef{version: v, flavour: r.flavour, arch: r.arch}).short(); {
		case p.flavour != r.flavour || slices.Contains(below, near) || slices.Contains(above, near):
		case compareVersions(v, r.version) > 0:
			above = append(above, near)
		case len(below) < 2:
			below = append(below, near)
		}
	}
	slices.Reverse(below)
	slices.Reverse(above)
	return append(below, above[:min(2, len(above))]...)
}

// upstream is the kernel's own version in a package's: 6.12.117 of 6.12.117-1~bpo12+1.
func upstream(version string) string {
	_, u, _ := splitVersion(version)
	return u
}

// cut keeps the first n numbers of a dotted version, and a release candidate whole.
func cut(version string, n int) string {
	if strings.Contains(version, "~") {
		return version
	}
	parts := strings.Split(version, ".")
	return strings.Join(parts[:min(n, len(parts))], ".")
}

// nearSuites returns the suites with names similar to s.
func nearSuites(s string) []string {
	var near []string
	for _, suite := range suites {
		if levenshtein.ComputeDistance(s, suite) <= 2 {
			near = append(near, "deb:"+suite)
		}
	}
	return near
}
