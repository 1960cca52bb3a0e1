package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// foreseen is what is known of a kernel that does not run.
type foreseen struct {
	facts *step.Facts // nil when nothing is
	why   string      // then
	from  string      // whose BTF it is, for people
	away  bool        // the kernel itself is not at hand
}

const btfUsage = "read the enumerators from `FILE`: BTF, a vmlinux or a bzImage"

// btfFlag is --btf, and which kernel it is of.
type btfFlag struct {
	path   string
	kernel bool // --kernel is given
}

func (b *btfFlag) register(fl *pflag.FlagSet) { fl.StringVar(&b.path, "btf", "", btfUsage) }

// name gives the plan's kernel the name of the file when there is no other.
func (b *btfFlag) name(kernels []string) ([]string, error) {
	switch {
	case b.path == "":
		return kernels, nil
	case !b.kernel:
		return []string{b.path}, nil
	case len(kernels) > 1:
		return nil, usage.Errorf("--btf %s: it is of one kernel, --kernel names %d", b.path, len(kernels))
	}
	return kernels, nil
}

// aRelease is a release alone, which names no image.
var aRelease = regexp.MustCompile(`^[0-9]+\.[0-9]+[^/:]*$`)

// foresee reads what a kernel will say of itself, without a machine, without
// the network and without building anything.
func (a *app) foresee(ctx context.Context, ref string, b *btfFlag) (*foreseen, error) {
	if b.path == "" {
		k, why := a.atHand(ctx, ref)
		if k == nil {
			return &foreseen{why: why, away: true}, nil
		}
		facts, err := lab.ImageFacts(k, kernel.Options{CacheDir: a.cacheDir, Log: a.note})
		if err != nil {
			return &foreseen{why: err.Error()}, nil
		}
		return &foreseen{facts: facts, from: "its image"}, nil
	}
	release, config := "", map[string]string(nil)
	switch {
	case !b.kernel:
		release = runningRelease(b.path)
	case aRelease.MatchString(ref):
		release = ref
	default:
		if k, _ := a.atHand(ctx, ref); k != nil {
			release, config = k.Release, k.Config
		}
	}
	facts, err := lab.FileFacts(b.path, release, config)
	if err != nil {
		return nil, err
	}
	return &foreseen{facts: facts, from: b.path}, nil
}

// runningRelease is that of this host where the BTF is its own, else "".
func runningRelease(path string) string {
	if path != "/sys/kernel/btf/vmlinux" {
		return ""
	}
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// atHand finds a kernel that is there already, or says why not.
func (a *app) atHand(ctx context.Context, ref string) (*kernel.Kernel, string) {
	if kernel.IsBuilt(ref) {
		return nil, "it is built before it boots"
	}
	k, err := kernel.Resolve(ctx, ref, kernel.Options{CacheDir: a.cacheDir, Offline: true})
	var mistake *kernel.UsageError
	switch {
	case errors.As(err, &mistake):
		return nil, err.Error()
	case err != nil:
		return nil, fmt.Sprintf("it is not at hand (%v); tokentest kernel fetch %s", err, ref)
	}
	return k, ""
}

// skipped are the cases that one reason keeps from being asked.
type skipped struct {
	reason  string
	refuted bool // the kernel should have had it: the cases fail
	cases   []*cases.Case
}

// unmetBy sorts the cases that a kernel cannot play by the reason, the most
// frequent first, those that fail before all.
func unmetBy(f *step.Facts, list []*cases.Case) []*skipped {
	judge := result.NewJudge(f, "")
	by := map[string]*skipped{}
	var out []*skipped
	for _, c := range list {
		r := judge.Unmet(c)
		if r == nil {
			continue
		}
		s := by[r.Reason]
		if s == nil {
			s = &skipped{reason: r.Reason, refuted: r.Status == result.Fail}
			by[r.Reason] = s
			out = append(out, s)
		}
		s.cases = append(s.cases, c)
	}
	slices.SortStableFunc(out, func(x, y *skipped) int {
		switch {
		case x.refuted != y.refuted && x.refuted:
			return -1
		case x.refuted != y.refuted:
			return 1
		}
		return len(y.cases) - len(x.cases)
	})
	return out
}

// write says what of the cases a kernel cannot play, and what it has that
// nobody knows.
func (f *foreseen) write(w io.Writer, list []*cases.Case) {
	if f.facts == nil {
		fmt.Fprintf(w, "  what it lacks is not known: %s\n", f.why)
		return
	}
	fmt.Fprintf(w, "  %s by %s: %s\n", f.facts.Release, f.from, extent(f.facts))
	n := 0
	for _, s := range unmetBy(f.facts, list) {
		word := "skip"
		if s.refuted {
			word = "fail"
		}
		fmt.Fprintf(w, "  %s %d: %s\n", word, len(s.cases), s.reason)
		n += len(s.cases)
	}
	if f.facts.Config == nil {
		fmt.Fprintln(w, "  which options are set is not known until the kernel runs")
	}
	f.writeDrift(w)
	fmt.Fprintf(w, "  of %d cases %d can be asked\n", len(list), len(list)-n)
}

// decidesNothing tells whether none of the cases that were selected can be asked.
func (f *foreseen) decidesNothing(p *plan.Plan, list []*cases.Case) bool {
	if f.facts == nil || len(list) == 0 {
		return false
	}
	r := &result.Run{Selection: p.Selection, Files: p.Files, Seed: p.Seed}
	judge, asked := result.NewJudge(f.facts, ""), r.Asked()
	return !slices.ContainsFunc(list, func(c *cases.Case) bool {
		unmet := judge.Unmet(c)
		return asked(c.ID) && (unmet == nil || unmet.Status != result.Skip)
	})
}

func (f *foreseen) writeDrift(w io.Writer) {
	if d := cases.Drift(f.facts); len(d) > 0 {
		fmt.Fprintf(w, "  drift: unknown to this tokentest, and not tested: %s\n", strings.Join(d, " "))
	}
}

// extent says where the enumerations of a kernel end.
func extent(f *step.Facts) string {
	var out []string
	for _, e := range []struct {
		tag, what string
	}{{uapi.Cmds.Tag, "commands"}, {uapi.MapTypes.Tag, "map types"}, {uapi.ProgTypes.Tag, "program types"}, {uapi.AttachTypes.Tag, "attach types"}} {
		out = append(out, fmt.Sprintf("%d %s", f.Max[e.tag], e.what))
	}
	tokens := "no tokens"
	if f.Token {
		tokens = "tokens"
	}
	return strings.Join(append(out, tokens), ", ")
}

// mark tells of a case that the kernel cannot play.
func (f *foreseen) mark(c *cases.Case) string {
	if f == nil || f.facts == nil {
		return ""
	}
	for _, s := range unmetBy(f.facts, []*cases.Case{c}) {
		if s.refuted {
			return "  # fail: " + s.reason
		}
		return "  # skip: " + s.reason
	}
	return ""
}

// cannot tells how many of a group's cases the kernel cannot play.
func (f *foreseen) cannot(list []*cases.Case) string {
	if f == nil || f.facts == nil {
		return ""
	}
	n := 0
	for _, s := range unmetBy(f.facts, list) {
		n += len(s.cases)
	}
	switch n {
	case 0:
		return ""
	case len(list):
		return " [none can be asked]"
	}
	return fmt.Sprintf(" [%d cannot be asked]", n)
}

// check names the cases that a kernel's enumerators rule out: its release
// lacks them, or ought to have them.
func (f *foreseen) check(w io.Writer, list []*cases.Case) (refuted bool) {
	enum := func(n cases.Need) bool { return n.Kind == cases.NeedEnum || n.Kind == cases.NeedToken }
	for _, s := range unmetBy(f.facts, list) {
		who := countCases(s.cases)
		if len(s.cases) > len(list)/2 {
			who = fmt.Sprintf("all but %d of %d cases", len(list)-len(s.cases), len(list))
		}
		switch {
		case s.refuted:
			fmt.Fprintf(w, "%s\n    %s would fail\n", s.reason, who)
			refuted = true
		case slices.ContainsFunc(s.cases[0].Needs(), func(n cases.Need) bool { return enum(n) && n.String() == s.reason }):
			fmt.Fprintf(w, "note: %s\n    %s would be skipped\n", s.reason, who)
		}
	}
	if d := cases.Drift(f.facts); len(d) > 0 {
		fmt.Fprintf(w, "note: drift: unknown to this tokentest, and not tested: %s\n", strings.Join(d, " "))
	}
	return refuted
}
