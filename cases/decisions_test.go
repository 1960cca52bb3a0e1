package cases

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// missingPoints is how many points of each source file no case reaches yet. A case that reaches one more
// names its rule in decisions.txt and lowers the number.
var missingPoints = map[string]int{}

// results/decision-points.md is what decisions.txt, the oracle and the cases make; -update writes it.
func TestGoldenDecisions(t *testing.T) {
	c, err := CoverDecisions(t.Context(), load(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range c.Uncovered() {
		t.Errorf("cases/decisions.txt: %s", line)
	}
	if got := c.Missing(); !maps.Equal(got, missingPoints) {
		t.Errorf("no case reaches %v points, and missingPoints has %v", got, missingPoints)
	}
	text := c.Markdown()
	name := filepath.Join("..", "results", "decision-points.md")
	if *update {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(name)
	if err != nil || string(old) != text {
		t.Errorf("%s is not what the case files say (%v): make decisions", name, err)
	}
}

func TestDecisionMistakes(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"f | c() | a/b", "cases/decisions.txt:1: no line file NAME above it"},
		{"file x.c\n# a comment\nf | c()", "cases/decisions.txt:3: want FUNCTION"},
		{"file x.c\nf | c() | rule", "rule is no rule COMMAND/RULE"},
		{"file x.c\nf | c() | shown: masks", "want FUNCTION"},
		{"file x.c\nf | c() | a/b | since 6", "6"},
		{"file x.c\nf | c() | a/b | after 6.12", "want FUNCTION"},
	} {
		if _, err := parseDecisions(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.text, err, tt.want)
		}
	}
	got, err := parseDecisions("file x.c\nf | a || b | g:c/d w +v, c/e | since 6.12 | until 7.3\ng | h | missing: it\n" +
		"h | i | reason: so\ni | j | shown: masks stat\n" +
		"j | k | shown: masks stat lines\n")
	if err != nil || len(got) != 5 || got[0].Check != "a || b" || got[0].Since.Minor != 12 || got[0].Until.Major != 7 ||
		got[0].Covers[0] != (Cover{Group: "g", ID: "c/d", Word: "w", Passes: "v"}) || got[0].Covers[1].ID != "c/e" ||
		got[1].Missing != "it" || got[2].Reason != "so" || got[3].Covers[0].String() != "shown: masks stat" ||
		got[4].Covers[0] != (Cover{Group: "masks", Word: "stat", Part: "lines"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A point is covered only if its own rule decides, once refusing and once passing in the same group.
func TestDecisionNeedsBothSides(t *testing.T) {
	const head = "needs token\nactor owner userns\nowner bpffs cmds=any maps=any -> b\nowner token_create bpffs=b -> t\n" +
		"control owner token_create bpffs=b\n"
	const allowed = "owner map_create type=queue token=t\n"
	const refused = "owner map_create type=queue token=t caps=none => EPERM\n"
	for _, tt := range []struct{ steps, rule, want string }{
		{allowed + refused, "map_create/unprivileged-disabled", ""},
		{allowed + refused, "map_create/no-cap-bpf", "no case is refused by map_create/no-cap-bpf"},
		{refused, "map_create/unprivileged-disabled", "no step of the group passes"},
		{allowed + refused, "map_create/nothing", "no case asks map_create/nothing"},
		{allowed + refused, "other:map_create/unprivileged-disabled", "no case is refused by other:"},
		{allowed + refused, "map_create/unprivileged-disabled type=hash", "no case is refused by"},
		{allowed + refused, "map_create/unprivileged-disabled +caps=all", "no step of the group passes"},
	} {
		g, err := parseAndExpand(head + tt.steps + "control owner map_create type=queue caps=none => EPERM\n")
		if err != nil {
			t.Fatal(err)
		}
		points, err := parseDecisions("file x.c\nf | c() | " + tt.rule)
		if err != nil {
			t.Fatal(err)
		}
		seen, err := reach(t.Context(), &Corpus{Groups: []*Group{g}}, &decisionKernels[0], points)
		if err != nil {
			t.Fatal(err)
		}
		c := &Coverage{Points: points, releases: []*reached{seen}}
		if got := c.state(&points[0], 0); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%q with %q: got %q, want %q", tt.rule, tt.steps, got, tt.want)
		}
	}
}

const sourceText = `/* capable(CAP_BPF) in a comment */
bool capable(int cap);
static int first(const struct x *x,
		 int y)
{
	if (!capable(CAP_SYS_ADMIN) ||
	    !bpf_token_capable(x->token,
			       CAP_BPF))
		return -EPERM;
	env->bpf_capable = bpf_token_capable(NULL, CAP_BPF);
	return env->bpf_capable ? 0 : 1;
}

BPF_CALL_2(second, int, a, int, b)
{
	return security_locked_down(LOCKDOWN_BPF_READ_KERNEL) + capable(CAP_SYS_ADMIN) + capable(CAP_SYS_ADMIN);
}
`

// Each call of the source needs a row of its own.
func TestCallSites(t *testing.T) {
	sites, err := ScanCallSites(fstest.MapFS{"kernel/bpf/x.c": {Data: []byte(sourceText)},
		"security/selinux/hooks.c": {Data: []byte("int other(void)\n{\n\tavc_has_perm(1);\n}\nint my_bpf(void)\n{\n" +
			"\tcapable(1);\n\tavc_has_perm(a, b);\n}\n")}})
	var got []string
	for _, s := range sites {
		got = append(got, fmt.Sprintf("%s:%d %s %s", s.File, s.Line, s.Func, s.Call))
	}
	want := []string{"kernel/bpf/x.c:6 first capable(CAP_SYS_ADMIN)",
		"kernel/bpf/x.c:7 first bpf_token_capable(x->token, CAP_BPF)",
		"kernel/bpf/x.c:10 first bpf_token_capable(NULL, CAP_BPF)", "kernel/bpf/x.c:11 first env->bpf_capable",
		"kernel/bpf/x.c:16 second security_locked_down(LOCKDOWN_BPF_READ_KERNEL)",
		"kernel/bpf/x.c:16 second capable(CAP_SYS_ADMIN)", "kernel/bpf/x.c:16 second capable(CAP_SYS_ADMIN)",
		"security/selinux/hooks.c:8 my_bpf avc_has_perm(a, b)"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, got\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	points, err := parseDecisions("file kernel/bpf/x.c\nsecond | capable(CAP_SYS_ADMIN) | missing: a\n" +
		"first | capable(CAP_SYS_ADMIN) | missing: a\n")
	if err != nil {
		t.Fatal(err)
	}
	left := WithoutRow(sites, points)
	if len(left) != len(sites)-2 || !slices.ContainsFunc(left, func(s CallSite) bool {
		return s.Func == "second" && s.Call == "capable(CAP_SYS_ADMIN)"
	}) {
		t.Errorf("%+v", left)
	}
	if _, err := ScanCallSites(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), "kernel/bpf/*.c") {
		t.Errorf("an empty tree: %v", err)
	}
}
