package cases

import (
	"strings"
	"testing"
	"unicode/utf8"

	"tokentest/cases/step"
)

// The help page explains everything that the parser accepts: each keyword, kind of actor,
// need, operation and argument has a text.
func TestLanguage(t *testing.T) {
	page := Language()
	explained := func(what, word, doc string) {
		t.Helper()
		if strings.TrimSpace(doc) == "" {
			t.Errorf("%s %s has no doc", what, word)
		}
		if !strings.Contains(squeeze(page), squeeze(word)) {
			t.Errorf("the page does not have %s %s", what, word)
		}
		if !strings.Contains(squeeze(page), squeeze(doc)) {
			t.Errorf("the page does not say of %s %s: %s", what, word, doc)
		}
	}
	for _, k := range keywords {
		explained("keyword", k.usage, k.doc)
		if !strings.HasPrefix(k.usage, k.name) || k.parse == nil {
			t.Errorf("keyword %s: usage %q", k.name, k.usage)
		}
	}
	for _, k := range actorKinds {
		explained("actor", k.usage, k.doc)
	}
	for i := range needSpecs {
		explained("need", needSpecs[i].usage(), needSpecs[i].doc)
	}
	for o := step.Op(1); o < step.Ops; o++ {
		row := o.Row()
		explained("operation", synopsis(row), row.Doc)
		for _, p := range row.Params {
			explained("argument of "+row.Name, argName(p), p.Doc)
		}
	}
	for n, line := range strings.Split(page, "\n") {
		if utf8.RuneCountInString(line) > helpWidth || strings.HasSuffix(line, " ") {
			t.Errorf("line %d: %q", n+1, line)
		}
	}
}

func argName(p step.Param) string {
	if p.Use == step.Positional {
		return strings.ToUpper(p.Name)
	}
	return p.Spelling()
}

// squeeze makes one space of any white space.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestNeeds(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"token", "the kernel has no BPF_TOKEN_CREATE (added in 6.9)"},
		{"no token", "the kernel has BPF tokens; this case is for kernels without"},
		{"config CONFIG_NET", "CONFIG_NET is not set"},
		{"config NET", "CONFIG_NET is not set"},
		{"release 6.15", "the kernel is older than 6.15"},
		{"before 7.2", "the kernel is 7.2 or newer"},
	} {
		f, err := Parse(t.Context(), "f.txt", "f", "needs "+tt.line+"\n"+scenarioControls)
		if err != nil || len(f.needs) != 1 || f.needs[0].String() != tt.want {
			t.Errorf("needs %s: %v, %v, want %s", tt.line, f, err, tt.want)
		}
	}
	for _, line := range []string{"", "tokens", "token yes", "no", "config", "config A B", "release", "release x",
		"before soon", "after 6.1"} {
		if _, err := Parse(t.Context(), "f.txt", "f", "needs "+line+"\n"+scenarioControls); err == nil ||
			!strings.HasPrefix(err.Error(), "f.txt:1: ") {
			t.Errorf("needs %s: error %v", line, err)
		}
	}
}

func TestNeedBefore(t *testing.T) {
	n := Need{Kind: NeedBefore, Since: released["7.3"].Version()}
	if met, refuted := n.Check(released["6.12"]); !met || refuted != "" {
		t.Errorf("6.12 is not before 7.3: %v, %q", met, refuted)
	}
	if met, refuted := n.Check(released["7.3"]); met || refuted != "" {
		t.Errorf("7.3 is before 7.3: %v, %q", met, refuted)
	}
}

func TestQuestions(t *testing.T) {
	g := mustExpand(t, "question Who may\nquestion do it?\nanswer Nobody.\n"+scenarioControls)
	if g.Question != "Who may do it?" || g.Answer != "Nobody." {
		t.Errorf("question %q, answer %q", g.Question, g.Answer)
	}
	o := g.Outline()
	if o.Question != g.Question || o.Answer != g.Answer || len(o.Notes) != len(o.Steps) {
		t.Errorf("outline %+v", o)
	}
	if o := mustExpand(t, scenarioControls).Outline(); o.Notes != nil || o.Question != "" {
		t.Errorf("outline of a file that asks nothing: %+v", o)
	}
	for text, want := range map[string]string{
		"question Who?\n" + scenarioControls:                                     "a question and its answer go together",
		"answer Nobody.\n" + scenarioControls:                                    "a question and its answer go together",
		"question Who?\nanswer Me.\n" + matrixHead + matrixDo + matrixTail:       "a question belongs to a scenario",
		"question Who?\nanswer Me.\nroot nonsense\n" + scenarioControls + "\n\n": "unknown operation",
	} {
		if _, err := Parse(t.Context(), "f.txt", "f", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

// Every built-in question has an answer that its own file's steps can show.
func TestBuiltInQuestions(t *testing.T) {
	asked := 0
	for _, g := range load(t).Groups {
		if g.Question == "" {
			continue
		}
		asked++
		if !strings.HasSuffix(g.Question, "?") || !strings.HasSuffix(g.Answer, ".") || len(g.Cases) != 1 {
			t.Errorf("%s: %q: %q", g.Path, g.Question, g.Answer)
		}
	}
	if asked < 15 {
		t.Errorf("%d questions", asked)
	}
}
