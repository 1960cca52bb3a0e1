package explain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/arch"
	"tokentest/harness/count"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// Forecast is what is known of a kernel that does not run.
type Forecast struct {
	Facts *step.Facts // nil if nothing is known
	Why   string      // why nothing is known
	From  string      // whose BTF the facts are from, for people
	Away  bool        // the kernel itself is not on this host
	Wrong error       // the *kernel.UsageError of a reference that is at fault, or nil
}

// Newest is the newest release of whose headers the oracle knows the commands and types.
const Newest = "7.3"

// Source names a kernel that is not to run.
type Source struct {
	Ref string // a reference, or a release alone
	// BTF is a file to read the enumerators from, instead of the kernel's image: BTF, a vmlinux
	// or a bzImage. Named says that Ref is the kernel that it is of; else it is of a kernel
	// without a reference.
	BTF      string
	Named    bool
	CacheDir string
	Log      func(format string, args ...any) // nil is silence
}

// release is a release alone, which names no image.
var release = regexp.MustCompile(`^[0-9]+\.[0-9]+[^/:]*(/[^/:]+)?$`)

// Foresee reads what a kernel will say of itself, without a machine, without the network and
// without building anything. The error is that of a BTF file.
func Foresee(ctx context.Context, s Source) (*Forecast, error) {
	if s.BTF == "" {
		k, why, wrong := s.local(ctx)
		if k == nil {
			return &Forecast{Why: why, Away: true, Wrong: wrong}, nil
		}
		facts, err := lab.ImageFacts(k, kernel.Options{CacheDir: s.CacheDir, Log: s.Log})
		if err != nil {
			return &Forecast{Why: err.Error()}, nil
		}
		return &Forecast{Facts: facts, From: "its image"}, nil
	}
	of, config := "", map[string]string(nil)
	switch {
	case !s.Named:
		of = runningRelease(s.BTF)
	case release.MatchString(s.Ref):
		of = s.Ref
	default:
		if k, _, _ := s.local(ctx); k != nil {
			of, config = k.Release, k.Config
		}
	}
	facts, err := lab.FileFacts(s.BTF, of, config)
	if err != nil {
		return nil, err
	}
	return &Forecast{Facts: facts, From: s.BTF}, nil
}

// Describe returns the facts of the kernel that a source names. A packaged kernel that is not
// on this host is described by its release; note then says so.
func Describe(ctx context.Context, s Source, note func(format string, args ...any)) (*step.Facts, error) {
	if s.BTF == "" && release.MatchString(s.Ref) {
		return FactsAt(s.Ref)
	}
	known, err := Foresee(ctx, s)
	switch {
	case err != nil:
		return nil, err
	case known.Facts != nil:
		return known.Facts, nil
	}
	facts, err := FactsAt(s.Ref)
	if err == nil {
		note("%s; its release is described", known.Why)
	}
	return facts, err
}

// FactsAt describes a kernel by its release, such as 6.12 or deb:6.12, and its architecture, as 6.12/arm64.
func FactsAt(release string) (*step.Facts, error) {
	name, on, foreign := strings.Cut(strings.TrimPrefix(release, "deb:"), "/")
	on, _, _ = strings.Cut(on, ":")
	of := arch.Find(on)
	if foreign && of == nil {
		return nil, usage.Errorf("%s: no architecture %s; there are %s", release, on, strings.Join(arch.Names(), ", "))
	}
	f, err := factsAt(name)
	if err != nil || !foreign {
		return f, err
	}
	f.Release, f.Machine = name+"/"+of.Name, of.Machine
	patch, taken := bypassStable[f.Version()]
	f.BTF = !f.Version().Less(bypassSince) || taken && f.Patch() >= patch
	if of.Compat.Option == "" {
		f.No32 = "ENOEXEC"
	}
	if of.Exchange128 == arch.Never {
		f.NoArena = "ENOMEM"
	}
	return f, nil
}

// bypassSince is the release in which the architecture is asked for the verifier's barriers (bpf_jit_bypass_spec_v4).
var bypassSince = uapi.Release{Major: 6, Minor: 17}

// bypassStable are the first patch levels of older series that were seen to have it.
var bypassStable = map[uapi.Release]int{{Major: 6, Minor: 12}: 100}

func factsAt(release string) (*step.Facts, error) {
	r, err := uapi.ParseRelease(release)
	if err != nil {
		return nil, usage.Errorf("%s: not a release; use for example 6.12", release)
	}
	if newest, err := uapi.ParseRelease(Newest); err != nil || newest.Less(r) {
		return nil, usage.Errorf("%s: tokentest knows releases up to %s: name one of them, a kernel that is on this host, "+
			"or a file with --btf", release, Newest)
	}
	return cases.FactsAt(r), nil
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

// local finds a kernel on this host, or says why it is not there. wrong is the error if the reference is
// at fault.
func (s *Source) local(ctx context.Context) (k *kernel.Kernel, why string, wrong error) {
	if kernel.IsBuilt(s.Ref) {
		if err := kernel.CheckSource(ctx, s.Ref); err != nil {
			return nil, err.Error(), err
		}
		return nil, "it is built before it boots", nil
	}
	k, err := kernel.Resolve(ctx, s.Ref, kernel.Options{CacheDir: s.CacheDir, Offline: true})
	var mistake *kernel.UsageError
	switch {
	case errors.As(err, &mistake):
		return nil, err.Error(), err
	case err != nil:
		return nil, fmt.Sprintf("it is not on this host (%v); tokentest kernel fetch %s", err, s.Ref), nil
	}
	return k, "", nil
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

// Write lists which cases a kernel would skip or fail, by reason, and what it has that
// tokentest does not know.
func (f *Forecast) Write(w io.Writer, list []*cases.Case) {
	if f.Facts == nil {
		fmt.Fprintf(w, "  what it lacks is not known: %s\n", f.Why)
		return
	}
	fmt.Fprintf(w, "  %s by %s: %s\n", f.Facts.Release, f.From, extent(f.Facts))
	n := 0
	for _, s := range unmetBy(f.Facts, list) {
		word := "skip"
		if s.refuted {
			word = "fail"
		}
		fmt.Fprintf(w, "  %s %d: %s\n", word, len(s.cases), s.reason)
		n += len(s.cases)
	}
	if f.Facts.Config == nil {
		fmt.Fprintln(w, "  which options are set is not known until the kernel runs")
	}
	f.WriteDrift(w)
	fmt.Fprintf(w, "  of %s %d can be asked\n", count.Of(len(list), "case"), len(list)-n)
}

// DecidesNothing reports whether the kernel would skip every selected case of a plan. list is
// what the plan runs on it.
func (f *Forecast) DecidesNothing(p *plan.Plan, list []*cases.Case) bool {
	if f.Facts == nil || len(list) == 0 {
		return false
	}
	r := &result.Run{Selection: p.Selection, Files: p.Files, Seed: p.Seed}
	judge, asked := result.NewJudge(f.Facts, ""), r.Asked()
	return !slices.ContainsFunc(list, func(c *cases.Case) bool {
		unmet := judge.Unmet(c)
		return asked(c.ID) && (unmet == nil || unmet.Status != result.Skip)
	})
}

// WriteDrift lists the enumerators that tokentest does not know.
func (f *Forecast) WriteDrift(w io.Writer) {
	if d := cases.Drift(f.Facts); len(d) > 0 {
		fmt.Fprintf(w, "  drift: unknown to this tokentest, and not tested: %s\n", strings.Join(d, " "))
	}
}

// extent says where the enumerations of a kernel end.
func extent(f *step.Facts) string {
	var out []string
	for _, e := range []struct {
		tag, what string
	}{{uapi.Cmds.Tag, "commands"}, {uapi.MapTypes.Tag, "map types"}, {uapi.ProgTypes.Tag, "program types"},
		{uapi.AttachTypes.Tag, "attach types"}} {
		out = append(out, fmt.Sprintf("%d %s", f.Max[e.tag], e.what))
	}
	tokens := "no tokens"
	if f.Token {
		tokens = "tokens"
	}
	return strings.Join(append(out, tokens), ", ")
}

// Mark is a comment for a case that the kernel would skip or fail, else "".
func (f *Forecast) Mark(c *cases.Case) string {
	if f == nil || f.Facts == nil {
		return ""
	}
	for _, s := range unmetBy(f.Facts, []*cases.Case{c}) {
		if s.refuted {
			return "  # fail: " + s.reason
		}
		return "  # skip: " + s.reason
	}
	return ""
}

// Cannot says how many cases of a group the kernel would skip or fail; "" for none.
func (f *Forecast) Cannot(list []*cases.Case) string {
	if f == nil || f.Facts == nil {
		return ""
	}
	n := 0
	for _, s := range unmetBy(f.Facts, list) {
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

// Check lists the cases that a kernel would skip or fail because of its enumerators. refuted
// says that its release should have some that it lacks.
func (f *Forecast) Check(w io.Writer, list []*cases.Case) (refuted bool) {
	enum := func(n cases.Need) bool { return n.Kind == cases.NeedEnum || n.Kind == cases.NeedToken }
	for _, s := range unmetBy(f.Facts, list) {
		who := countCases(s.cases)
		if len(s.cases) > len(list)/2 {
			who = fmt.Sprintf("all but %d of %s", len(list)-len(s.cases), count.Of(len(list), "case"))
		}
		switch {
		case s.refuted:
			fmt.Fprintf(w, "%s\n    %s would fail\n", s.reason, who)
			refuted = true
		case slices.ContainsFunc(s.cases[0].Needs(), func(n cases.Need) bool { return enum(n) && n.String() == s.reason }):
			fmt.Fprintf(w, "note: %s\n    %s would be skipped\n", s.reason, who)
		}
	}
	if d := cases.Drift(f.Facts); len(d) > 0 {
		fmt.Fprintf(w, "note: drift: unknown to this tokentest, and not tested: %s\n", strings.Join(d, " "))
	}
	return refuted
}
