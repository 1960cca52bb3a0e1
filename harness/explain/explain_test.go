package explain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/oracle"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/kernel"
	"tokentest/harness/lab/labtest"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/usage"
	"tokentest/kconfig"
)

const scenario = `about A token of one's own.
actor owner userns uid=1000
actor other init uid=4242
owner bpffs cmds=map_create maps=hash -> b
owner token_create bpffs=b -> t
control owner map_create type=hash token=t
control other map_create type=hash => EPERM
`

// load reads cases that are named, or a file with a text.
func load(t *testing.T, args ...string) []*cases.Case {
	t.Helper()
	p, err := plan.Load(t.Context(), plan.Request{Kernels: []string{"k"}, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	return p.Cases
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func at(t *testing.T, release string) *step.Facts {
	t.Helper()
	f, err := FactsAt(release)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The rules of a case are listed in the kernel's order; one of them decides.
func TestExplainer(t *testing.T) {
	var out strings.Builder
	w := &Explainer{Writer: &out}
	list := load(t, "map_create/any/owner/none/with/hash")
	i := slices.IndexFunc(list, func(c *cases.Case) bool { return c.ID == "map_create/any/owner/none/with/hash" })
	if err := w.Cases(t.Context(), list[i:i+1], []*step.Facts{at(t, "6.12")}, false); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n  * "); n != 1 || w.Contradicted {
		t.Errorf("%d rules decide, contradicted %v:\n%s", n, w.Contradicted, out.String())
	}
	for _, want := range []string{"map_create/any/owner/none/with/hash on 6.12",
		"\nactor owner: in a user namespace of its own"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// An expectation that contradicts the rules is marked.
func TestExplainerContradiction(t *testing.T) {
	wrong := strings.Replace(scenario, "type=hash => EPERM", "type=hash => EINVAL", 1)
	for text, want := range map[string]bool{scenario: false, wrong: true} {
		var out strings.Builder
		w := &Explainer{Writer: &out}
		if err := w.Cases(t.Context(), load(t, file(t, "mine.txt", text)), []*step.Facts{at(t, "6.12")}, false); err != nil {
			t.Fatal(err)
		}
		if w.Contradicted != want || strings.Contains(out.String(), "contradicts the rules") != want {
			t.Errorf("contradicted %v, want %v:\n%s", w.Contradicted, want, out.String())
		}
	}
}

// A kernel that lacks what a case needs skips it, or fails if its release should have it.
func TestExplainerUnmet(t *testing.T) {
	old, cut := at(t, "6.1"), at(t, "6.12")
	cut.Token = false
	for word, f := range map[string]*step.Facts{"skipped: ": old, "fails: ": cut} {
		var out strings.Builder
		w := &Explainer{Writer: &out}
		if err := w.Cases(t.Context(), load(t, "token_passed_on"), []*step.Facts{f}, false); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "\n"+word) || strings.Contains(out.String(), "\n  * ") {
			t.Errorf("no %q in\n%s", word, out.String())
		}
	}
}

// Of a kernel that ran its settings and changes are shown.
func TestExplainerMachine(t *testing.T) {
	f := at(t, "6.12")
	f.Changes = []step.Change{{Kind: "sysctl", Name: "kernel.some", To: "1", Errno: uapi.Errno(1)}}
	var out strings.Builder
	w := &Explainer{Writer: &out}
	if err := w.Cases(t.Context(), nil, []*step.Facts{f}, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"settings of 6.12", "none: the run is older", "kernel.some", "refused: EPERM"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	cancel(stop)
	var out strings.Builder
	list, f := load(t, "token_passed_on"), at(t, "6.12")
	if err := (&Explainer{Writer: &out}).Cases(ctx, list, []*step.Facts{f}, false); !errors.Is(err, stop) {
		t.Errorf("Cases: got %v", err)
	}
	if err := Diff(ctx, &out, [2]*step.Facts{f, f}, list, func(string) {}); !errors.Is(err, stop) {
		t.Errorf("Diff: got %v", err)
	}
	if _, err := Notices(ctx, []*result.Run{{Kernels: []*result.KernelRun{{}}}}, nil); !errors.Is(err, stop) {
		t.Errorf("Notices: got %v", err)
	}
}

// The decisions that differ are counted by rule, and the cases that one kernel lacks by need.
func TestDiff(t *testing.T) {
	list := load(t, "unknown_types", "token_create")
	for _, tt := range []struct {
		from, to string
		want     []string
		not      string
	}{
		{"6.12", "6.12", []string{" on both, 0 on neither, 0 decisions change from 6.12 to 6.12\n"}, "only on"},
		{"6.12", "7.3", []string{"  example unknown_types", " on 6.12, ", "1 decision changes from 6.12 to 7.3\n"},
			" 0 decisions change"},
		{"6.1", "6.12", []string{"only on 6.12 "}, "only on 6.1 "},
	} {
		var out strings.Builder
		var said []string
		say := func(text string) { said = append(said, text) }
		if err := Diff(t.Context(), &out, [2]*step.Facts{at(t, tt.from), at(t, tt.to)}, list, say); err != nil {
			t.Fatal(err)
		}
		first := fmt.Sprintf("comparing %s and %s, 0 of %d cases", tt.from, tt.to, len(list))
		if len(said) < 2 || said[0] != first || said[len(said)-1] != "" {
			t.Errorf("says %q, want %q first and nothing last", said, first)
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s to %s: no %q in\n%s", tt.from, tt.to, want, out.String())
			}
		}
		if strings.Contains(out.String(), tt.not) {
			t.Errorf("%s to %s: %q in\n%s", tt.from, tt.to, tt.not, out.String())
		}
	}
}

func TestFactsAt(t *testing.T) {
	for _, name := range []string{"6.12", "deb:6.12"} {
		if f, err := FactsAt(name); err != nil || !f.Token {
			t.Errorf("%s: got %+v, %v", name, f, err)
		}
	}
	var u *usage.Error
	if _, err := FactsAt("six"); !errors.As(err, &u) {
		t.Errorf("got %v, want a usage error", err)
	}
}

// tree is a new working directory with a kernel and its BTF.
func tree(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := labtest.Tree("."); err != nil {
		t.Fatal(err)
	}
}

// A BTF file says what a kernel has; without it a kernel must be on this host.
func TestForesee(t *testing.T) {
	tree(t)
	f, err := Foresee(t.Context(), Source{Ref: "6.12", Named: true, BTF: labtest.BTF})
	if err != nil || f.Facts == nil || f.Facts.Release != "6.12" || f.From != labtest.BTF {
		t.Fatalf("got %+v, %v", f, err)
	}
	if f, err := Foresee(t.Context(), Source{Ref: "x", BTF: labtest.BTF}); err != nil || f.Facts == nil ||
		f.Facts.Release == "x" {
		t.Errorf("a file without a release: got %+v, %v", f, err)
	}
	if _, err := Foresee(t.Context(), Source{BTF: "nowhere"}); err == nil {
		t.Error("no error without the file")
	}
	for ref, away := range map[string]bool{"deb:6.99": true, "git:linux#v6.12": true, "nowhere/bzImage": true,
		"bzImage": false} {
		f, err := Foresee(t.Context(), Source{Ref: ref, CacheDir: t.TempDir()})
		if err != nil || f.Facts != nil || f.Why == "" || f.Away != away {
			t.Errorf("%s: got %+v, %v", ref, f, err)
		}
	}
	noted := ""
	note := func(format string, args ...any) { noted += format }
	if f, err := Describe(t.Context(), Source{Ref: "deb:6.12", CacheDir: t.TempDir()}, note); err != nil || !f.Token ||
		noted == "" {
		t.Errorf("a kernel that is not here: got %+v, %v, noted %q", f, err, noted)
	}
	if f, err := Describe(t.Context(), Source{Ref: "6.12", Named: true, BTF: labtest.BTF}, note); err != nil ||
		len(cases.Drift(f)) == 0 {
		t.Errorf("a BTF file: got no drift of %+v, %v", f, err)
	}
}

// What a forecast says of cases agrees with the judge's verdict on their needs.
func TestForecast(t *testing.T) {
	list := load(t, "map_create")
	new, old := &Forecast{Facts: at(t, "7.3"), From: "x"}, &Forecast{Facts: at(t, "6.12"), From: "x"}
	none := &Forecast{Facts: at(t, "6.1"), From: "x"}
	judge, skipped := result.NewJudge(old.Facts, ""), 0
	for _, c := range list {
		skips := judge.Unmet(c) != nil
		if skips {
			skipped++
		}
		if mark := old.Mark(c); (mark != "") != skips {
			t.Errorf("%s: marked %q, the judge skips it: %v", c.ID, mark, skips)
		}
	}
	if skipped == 0 || skipped == len(list) {
		t.Fatalf("6.12 skips %d of %d cases", skipped, len(list))
	}
	for f, want := range map[*Forecast]string{new: "", none: " [none can be asked]"} {
		if got := f.Cannot(list); got != want {
			t.Errorf("%s: got %q, want %q", f.Facts.Release, got, want)
		}
	}
	if got := old.Cannot(list); got == "" || got == none.Cannot(list) {
		t.Errorf("6.12: got %q", got)
	}
	var out strings.Builder
	old.Write(&out, list)
	if !strings.Contains(out.String(), "  6.12 by x: ") || strings.Contains(out.String(), "  fail ") {
		t.Errorf("got\n%s", out.String())
	}
	out.Reset()
	if old.Check(&out, list); !strings.Contains(out.String(), "would be skipped") {
		t.Errorf("got\n%s", out.String())
	}
	cut := at(t, "7.3")
	cut.Max = map[string]uint32{uapi.MapTypes.Tag: uint32(uapi.BPF_MAP_TYPE_ARENA)}
	out.Reset()
	if !(&Forecast{Facts: cut}).Check(&out, list) || !strings.Contains(out.String(), "would fail") {
		t.Errorf("a release without its types is well:\n%s", out.String())
	}
	if mark := (&Forecast{Why: "x"}).Mark(list[0]) + (*Forecast)(nil).Cannot(list); mark != "" {
		t.Errorf("what is not known is marked %q", mark)
	}
	out.Reset()
	if (&Forecast{Why: "it is built"}).Write(&out, list); !strings.Contains(out.String(), "not known: it is built") {
		t.Errorf("got %q", out.String())
	}
}

// A configuration is checked against fragments, and a fragment for contradictions.
func TestConfiguration(t *testing.T) {
	token, err := kconfig.Builtin("token")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	all.WriteString("# Linux/x86 6.12.0 Kernel Configuration\n")
	for _, o := range token[0].Options {
		all.WriteString("CONFIG_" + o.Name + "=" + o.Value + "\n")
	}
	full := all.String()
	for _, tt := range []struct {
		name, text string
		lacks      bool
		want       string
	}{
		{"it has all", full, false, ": 0 options missing\n"},
		{"it lacks one", strings.Replace(full, "CONFIG_BPF_SYSCALL=y\n", "", 1), true, ": 1 option missing\nmerge: "},
		{"a fragment", "CONFIG_BPF_SYSCALL=y\n", false, ": a fragment of 1 option, 0 against what is needed\n"},
		{"a fragment against it", "# CONFIG_BPF_SYSCALL is not set\n", true,
			": a fragment of 1 option, 1 against what is needed\n"},
	} {
		name := file(t, "config", tt.text)
		c, err := ReadConfiguration(t.Context(), name, kernel.Options{CacheDir: t.TempDir(), Offline: true})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var out strings.Builder
		lacks, err := c.Check(&out, token)
		if err != nil || lacks != tt.lacks || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: lacks %v, %v:\n%s", tt.name, lacks, err, out.String())
		}
		if lacks && !strings.Contains(out.String(), "    every case needs it\n") {
			t.Errorf("%s: nobody needs it:\n%s", tt.name, out.String())
		}
	}
	var u *usage.Error
	for _, text := range []string{"", "nonsense\n", "# Linux/vax 6.12.0 Kernel Configuration\n"} {
		if _, err := ReadConfiguration(t.Context(), file(t, "config", text), kernel.Options{}); !errors.As(err, &u) {
			t.Errorf("%q: got %v, want a usage error", text, err)
		}
	}
	tree(t)
	if _, err := ReadConfiguration(t.Context(), "bzImage", kernel.Options{CacheDir: t.TempDir()}); !errors.As(err, &u) {
		t.Errorf("an image without a configuration: got %v", err)
	}
}

// unmet is an option that is not met, and the cases that its fragment names.
func unmet(name string, cases ...string) *kconfig.Unmet {
	u := &kconfig.Unmet{}
	u.Name, u.Cases = name, cases
	return u
}

// Those who need an option are counted by group.
func TestNeeders(t *testing.T) {
	corpus, err := builtin()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(corpus.Groups, func(g *cases.Group) bool {
		return slices.ContainsFunc(g.Cases, func(c *cases.Case) bool {
			return slices.ContainsFunc(c.Needs(), func(n cases.Need) bool {
				return n.Kind == cases.NeedConfig &&
					n.Name == "XDP_SOCKETS"
			})
		})
	})
	got := needers(corpus, unmet("XDP_SOCKETS"))
	if i < 0 || !strings.Contains(got, " of "+corpus.Groups[i].Name) || !strings.HasSuffix(got, " would be skipped") {
		t.Errorf("got %q", got)
	}
	if got := needers(corpus, unmet("NO_SUCH")); got != "" {
		t.Errorf("nobody needs it: got %q", got)
	}
	if got := needers(corpus, unmet("X",
		"nested_userns")); got != "1 of nested_userns (such as nested_userns) would be broken" {
		t.Errorf("got %q", got)
	}
}

// Each option that the fragment token sets is named, with its line.
func TestOptions(t *testing.T) {
	named, err := Options()
	if err != nil {
		t.Fatal(err)
	}
	token, err := kconfig.Builtin("token")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range token[0].Options {
		if o.Value == "y" && !slices.ContainsFunc(named[o.Name], func(s string) bool {
			return strings.HasPrefix(s,
				token[0].Path+":")
		}) {
			t.Errorf("%s: named in %q", o.Name, named[o.Name])
		}
	}
	if !slices.ContainsFunc(named["XDP_SOCKETS"], func(s string) bool { return strings.HasSuffix(s, ".txt") }) {
		t.Errorf("XDP_SOCKETS is named in %q, no case file among them", named["XDP_SOCKETS"])
	}
}

// A rule that decides cases of a run is noticed, one that no case of it meets is not.
func TestNotices(t *testing.T) {
	corpus, err := builtin()
	if err != nil {
		t.Fatal(err)
	}
	run := &result.Run{Kernels: []*result.KernelRun{played(t, corpus.Group("map_create")), {Ref: "no facts"}}}
	seen, err := Notices(t.Context(), []*result.Run{run}, corpus)
	if err != nil {
		t.Fatal(err)
	}
	n := seen["map_create/unprivileged-disabled"]
	if n == nil || n.Cases == 0 || !strings.HasPrefix(n.Example, "map_create/") ||
		!strings.Contains(n.Example, " on k: ") {
		t.Errorf("got %+v", n)
	}
	if n := seen["setns/no-pidfd"]; n != nil {
		t.Errorf("no case meets it, and %+v notices", n)
	}
	for rule := range Hidden {
		if !slices.Contains(oracle.Rules(), rule) {
			t.Errorf("%s is no rule", rule)
		}
	}
}

// played is a kernel that answered the cases of a group as the oracle says.
func played(t *testing.T, g *cases.Group) *result.KernelRun {
	t.Helper()
	k := &result.KernelRun{Ref: "k", Facts: at(t, "6.12")}
	play, judge := cases.Player{Facts: k.Facts}, result.NewJudge(k.Facts, "")
	seen := func(expected []sim.Expect, err error) []step.Observation {
		if err != nil {
			t.Fatal(err)
		}
		out := make([]step.Observation, len(expected))
		for i, e := range expected {
			out[i] = step.Observation{Errno: e.Verdict.Errno, Values: e.Values}
			if e.Verdict.Errno == 0 {
				out[i].Proof = step.Works
			}
		}
		return out
	}
	for i, w := range g.Worlds {
		setup := seen(play.Setup(w))
		judge.Setup(w, setup)
		k.Worlds = append(k.Worlds, result.WorldResult{Group: g.Name, Index: i, Key: w.Key(), Seen: setup})
		for _, c := range g.Cases {
			if c.World == w && judge.Unmet(c) == nil {
				k.Cases = append(k.Cases, judge.Case(c, seen(play.Play(c))))
			}
		}
	}
	return k
}
