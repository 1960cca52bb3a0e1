package cases

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/arch"
	"tokentest/harness/glob"
)

// Known is a defect that kernels are known to have, and how the machine ends
// in which a case provokes it. Such a case has a machine to itself.
type Known struct {
	Fate   string        // the machine's: clean, tainted or panicked
	Since  uapi.Release  // the first release that has it
	Until  *uapi.Release // the last release that has it; nil if no release with a fix is known
	Arch   string        // the architecture whose kernels do so; "" is each
	Config string        // an option that must be set for this, or with a ! before it must not
	Link   string        // to the report upstream; "" if none is known
	Titles []string      // of every report in the kernel log; * matches any text
	Reason string        // names the kernels on which it was seen
	Where  string        // PATH:LINE
}

const knownUsage = "want known clean|tainted|panicked SINCE[-UNTIL] [arch=NAME] [config=[!]SYMBOL] [link=URL] " +
	"TITLE [+ TITLE]  # reason"

// known reads "known FATE SINCE[-UNTIL] [arch=NAME] [config=SYMBOL] [link=URL] TITLE  # reason".
func (p *parser) known(n int, words []string, note string) error {
	if len(words) < 2 || !slices.Contains([]string{"clean", "tainted", "panicked"}, words[0]) {
		return fmt.Errorf("%s", knownUsage)
	}
	if note == "" {
		return fmt.Errorf("a known defect needs a reason: add after # what is wrong and on which kernels it was seen")
	}
	k := Known{Fate: words[0], Reason: note, Where: fmt.Sprintf("%s:%d", p.f.Path, n)}
	since, until, bounded := strings.Cut(words[1], "-")
	var err error
	if k.Since, err = uapi.ParseRelease(since); err != nil {
		return err
	}
	if bounded && until != "" {
		r, err := uapi.ParseRelease(until)
		if err != nil {
			return err
		}
		k.Until = &r
	}
	words = words[2:]
	if len(words) > 0 {
		if name, ok := strings.CutPrefix(words[0], "arch="); ok {
			if arch.Name(name) != name {
				return fmt.Errorf("no architecture %s; there are %s", name, strings.Join(arch.Names(), ", "))
			}
			k.Arch, words = name, words[1:]
		}
	}
	if len(words) > 0 {
		if symbol, ok := strings.CutPrefix(words[0], "config="); ok {
			k.Config, words = symbol, words[1:]
		}
	}
	if len(words) > 0 {
		if link, ok := strings.CutPrefix(words[0], "link="); ok {
			if k.Link, words = link, words[1:]; !strings.HasPrefix(link, "https://") {
				return fmt.Errorf("link=%s: not an address; want https://...", link)
			}
		}
	}
	if len(words) > 0 {
		k.Titles = strings.Split(strings.Join(words, " "), " + ")
	}
	if (len(k.Titles) == 0) != (k.Fate == "clean") {
		return fmt.Errorf(
			"fate %s: tainted and panicked need the title of a report in the kernel log, and clean takes none",
			k.Fate,
		)
	}
	p.f.known, p.f.Full = append(p.f.known, k), true
	return nil
}

// Text is the reason, and where the defect is reported.
func (k *Known) Text() string {
	if k.Link == "" {
		return k.Reason
	}
	return k.Reason + "; reported: " + k.Link
}

// In reports whether a kernel is known to have the defect.
func (k *Known) In(f *step.Facts) bool {
	v := f.Version()
	if k.Arch != "" && k.Arch != arch.Or(arch.Find(f.Machine)).Name {
		return false
	}
	if v.Less(k.Since) || k.Until != nil && k.Until.Less(v) {
		return false
	}
	symbol, unset := strings.CutPrefix(k.Config, "!")
	return symbol == "" || f.Config == nil || (f.Config[symbol] == "y") != unset
}

// KnownIn returns the known ways in which a machine with this kernel ends when it runs the
// group's case. There are several only if the kernel's configuration decides and is not
// known.
func (g *Group) KnownIn(f *step.Facts) []Known {
	var out []Known
	for i := range g.Known {
		if f != nil && g.Known[i].In(f) {
			known := g.Known[i]
			if v, _ := f.Running(step.PanicOnWarn); v != 0 && known.Fate == "tainted" {
				known.Fate = "panicked" // check_panic_on_warn
			}
			out = append(out, known)
		}
	}
	return out
}

// Alone reports whether the case must run on a machine of its own.
func (c *Case) Alone() bool { return len(c.Group.Known) > 0 }

// Report is one report in a kernel's log: its title, and the callers of the function that the title names.
type Report struct {
	Title   string
	Callers []string
}

// Explains reports whether the reports of a kernel's log are those of the defect: each of its titles and no other.
func (k *Known) Explains(reports []Report) bool {
	for _, pattern := range k.Titles {
		if !slices.ContainsFunc(reports, func(r Report) bool { return r.is(pattern) }) {
			return false
		}
	}
	return !slices.ContainsFunc(reports, func(r Report) bool {
		return !slices.ContainsFunc(k.Titles, r.is)
	})
}

// inFunc separates a title's text from the name of the function in which the kernel reports a problem.
const inFunc = " in "

// is reports whether a report has a title. The function that the title names may be
// any caller on the report's stack, because the compiler chooses which callees it inlines.
func (r Report) is(pattern string) bool {
	if glob.Match(pattern, r.Title) {
		return true
	}
	i, j := strings.LastIndex(pattern, inFunc), strings.LastIndex(r.Title, inFunc)
	if i < 0 || j < 0 || !glob.Match(pattern[:i], r.Title[:j]) {
		return false
	}
	return slices.ContainsFunc(r.Callers, func(f string) bool { return glob.Match(pattern[i+len(inFunc):], f) })
}
