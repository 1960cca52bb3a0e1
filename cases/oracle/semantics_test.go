package oracle

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// semantics is SEMANTICS.md and its headings.
func semantics(t *testing.T) (text string, headings []string) {
	t.Helper()
	data, err := os.ReadFile("SEMANTICS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(data), -1) {
		headings = append(headings, m[1])
	}
	return string(data), headings
}

// allRules passes every list of rules to f, as what a reader sees of them.
func allRules(f func(cmd string, r Line)) {
	lines := func(cmd string, rules []Line) {
		for _, r := range rules {
			f(cmd, r)
		}
	}
	lines("token_create", lineOf(tokenCreateRules))
	lines("map_create", lineOf(mapCreateRules))
	lines("prog_load", lineOf(progLoadRules))
	lines("btf_load", lineOf(btfLoadRules))
	lines("lsm", lineOf(lsmRules))
	lines("kallsyms", lineOf(symbolRules))
	lines("barriers", lineOf(instructionRules))
	lines("call", lineOf(callRules))
	for _, c := range otherCommands {
		lines(c.cmd.String(), append([]Line{{Rule: "-", Func: c.fn}}, lineOf(c.rules)...))
	}
	lines("sysctl", lineOf(sysctlRules))
	lines("fsopen", lineOf(fsopenRules))
	lines("fsconfig", lineOf(fsconfigRules))
	lines("fscreate", lineOf(fscreateRules))
	lines("fsreconfigure", lineOf(fsreconfigureRules))
	lines("fsmount", lineOf(fsmountRules))
	for what, rules := range mountCallRules {
		lines(what, lineOf(rules))
	}
	lines("mount", lineOf(mountRules))
	lines("remount", lineOf(remountRules))
	lines("open", lineOf(openRules))
	lines("chmod", lineOf(chmodRules))
	for what, rules := range nameRules {
		lines(what, lineOf(rules))
	}
	lines("token_info", lineOf(tokenInfoRules))
	lines("element", lineOf(elementRules))
	lines("get_pinned", lineOf(objGetRules))
	for what, rules := range takeRules {
		lines(what, lineOf(rules))
	}
	lines("dup", lineOf(dupRules))
	lines("setns", lineOf(setnsRules))
}

func lineOf[R any](rules []rule[R]) []Line {
	var out []Line
	for _, r := range rules {
		if r.blind { // it stands for no check
			continue
		}
		out = append(out, Line{ID: r.id, Rule: r.text, Func: r.fn, Errno: r.errno, Drops: r.drop})
	}
	return out
}

// SEMANTICS.md names every kernel function of the rules, and every rule has a text.
func TestSemanticsNamesFunctions(t *testing.T) {
	text, headings := semantics(t)
	n := 0
	allRules(func(cmd string, r Line) {
		n++
		if r.Rule == "" || r.Func == "" {
			t.Errorf("%s/%s has no text or no function", cmd, r.ID)
		}
		if !strings.Contains(text, "`"+r.Func+"`") && !slices.Contains(headings, r.Func) {
			t.Errorf("SEMANTICS.md does not name %s, the function of %s/%s", r.Func, cmd, r.ID)
		}
	})
	if n < 150 {
		t.Errorf("the test saw %d rules: a list is missing", n)
	}
}

// The links in SEMANTICS.md lead to its own headings.
func TestSemanticsLinks(t *testing.T) {
	text, headings := semantics(t)
	var anchors []string
	for _, h := range headings {
		anchor := strings.ReplaceAll(strings.ToLower(h), " ", "-")
		if slices.Contains(anchors, anchor) {
			t.Errorf("two headings %q", h)
		}
		anchors = append(anchors, anchor)
	}
	for _, m := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(anchors, m[1]) {
			t.Errorf("a link to #%s, which is no heading", m[1])
		}
	}
}

// Every citation of SEMANTICS.md in the repository names one of its headings.
func TestSemanticsCitations(t *testing.T) {
	_, headings := semantics(t)
	cite := regexp.MustCompile(`SEMANTICS\.md, ([A-Za-z_]+(?: [a-z]+)*)`)
	begins := func(text string) bool {
		return slices.ContainsFunc(headings, func(h string) bool { return text == h || strings.HasPrefix(text, h+" ") })
	}
	n := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == ".git" || name == "bin" || name == "runs") {
			return filepath.SkipDir
		}
		if d.IsDir() || !d.Type().IsRegular() {
			return nil
		}
		switch filepath.Ext(name) {
		case ".go", ".txt", ".md":
		default:
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range cite.FindAllStringSubmatch(string(data), -1) {
			n++
			if !begins(m[1]) {
				t.Errorf("%s cites SEMANTICS.md, %s, which is no heading", path, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 10 {
		t.Errorf("the test found %d citations", n)
	}
}
