package report

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"tokentest/cases/uapi"
	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

// TestJUnit reads the report back with the library's structs: no element is
// unknown, and the counts are those of the elements.
func TestJUnit(t *testing.T) {
	for _, f := range fixtures {
		text := render(t, "junit", f.run(), Options{})
		var all junit.Testsuites
		if err := xml.Unmarshal([]byte(text), &all); err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		if len(all.Suites) != len(f.run().Kernels) {
			t.Errorf("%s: %d suites, want one a kernel", f.name, len(all.Suites))
		}
		var sum junit.Testsuites
		for _, s := range all.Suites {
			count := junit.Testsuite{}
			for _, c := range s.Testcases {
				if !strings.HasPrefix(c.Classname, s.Name+".") || c.Name == "" {
					t.Errorf("%s: test %q of class %q in suite %q", f.name, c.Name, c.Classname, s.Name)
				}
				count.AddTestcase(c)
			}
			if count.Tests != s.Tests || count.Failures != s.Failures || count.Errors != s.Errors || count.Skipped != s.Skipped {
				t.Errorf("%s: suite %s says %d %d %d %d, its tests %d %d %d %d", f.name, s.Name,
					s.Tests, s.Failures, s.Errors, s.Skipped, count.Tests, count.Failures, count.Errors, count.Skipped)
			}
			sum.AddSuite(s)
		}
		if sum.Tests != all.Tests || sum.Failures != all.Failures || sum.Errors != all.Errors || sum.Skipped != all.Skipped {
			t.Errorf("%s: the sums are not those of the suites", f.name)
		}
		// A reader that looks only at failures and errors comes to the same verdict as the exit code.
		if red := all.Failures+all.Errors > 0; len(all.Suites) > 0 && red != (f.exit != result.ExitOK) {
			t.Errorf("%s: %d failures and %d errors with exit code %d", f.name, all.Failures, all.Errors, f.exit)
		}
	}
}

// many is a run in which every case fails for a different reason.
func many(n int) *result.Run {
	k := newKernel("deb:trixie")
	for i := range n {
		s := stepResult("owner map_create", 0, eperm)
		s.ID = fmt.Sprintf("rule/%d", i)
		k.Cases = append(k.Cases, failed(fmt.Sprintf("g%d/c", i), s),
			broken(fmt.Sprintf("h%d/c", i), fmt.Sprintf("reason %d", i), 0))
	}
	return newRun(k)
}

// TestGitHub checks that the output is within GitHub's limits and counts what it leaves out.
func TestGitHub(t *testing.T) {
	for _, n := range []int{0, 1, 9, 10, 11, 500} {
		count := map[string]int{}
		text := render(t, "github", many(n), Options{})
		head, _, _ := strings.Cut(text, "::group::")
		for line := range strings.Lines(head) {
			command, _, _ := strings.Cut(strings.TrimPrefix(line, "::"), " ")
			count[command]++
			if len(line) > 4<<10+200 || !utf8.ValidString(line) {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
		// that no case ran is one
		if warnings := max(min(n, 10), 1); count["error"] != min(n, 10) || count["warning"] != warnings {
			t.Errorf("%d causes: %v", n, count)
		}
		if left := n - 9; n > 10 && strings.Count(head, fmt.Sprintf("%d more", left)) != 2 {
			t.Errorf("%d causes: what is left out is not said:\n%s", n, head)
		}
	}
}

// TestGitHubCommands checks that no text of a guest becomes a workflow command.
func TestGitHubCommands(t *testing.T) {
	k := newKernel("deb:trixie", failed("a/b", stepResult("x\n::error::no", 0, eperm)),
		broken("c", "why\n::set-output name=a::b", 0))
	k.Boots[0] = boot(0, vm.Tainted, "::endgroup::", splat.Finding{Kind: splat.KindWarn, Title: "::stop-commands::x"})
	stop := ""
	command := regexp.MustCompile(`^::(error|warning) title=[^:,]*::|^::(group|endgroup|tokentest-[0-9a-f]{64})::`)
	for line := range strings.Lines(render(t, "github", newRun(k), Options{Width: 4000})) {
		line = strings.TrimSpace(line)
		if s, ok := strings.CutPrefix(line, "::stop-commands::"); ok && stop == "" {
			stop = s
			continue
		}
		if line == "::"+stop+"::" {
			stop = ""
		}
		if stop == "" && !command.MatchString(line) {
			t.Errorf("a line that GitHub would take for something else: %q", line)
		}
	}
	if stop != "" {
		t.Error("commands stay stopped")
	}
}

func TestCommandText(t *testing.T) {
	for in, want := range map[string]string{"100% a\nb\r": "100%25 a%0Ab ", "::x": "::x"} {
		if got := commandText(in); got != want {
			t.Errorf("commandText(%q) = %q, want %q", in, got, want)
		}
	}
	if got := commandProperty("a:b,c%"); got != "a%3Ab%2Cc%25" {
		t.Errorf("commandProperty: %q", got)
	}
}

func TestCut(t *testing.T) {
	for _, n := range []int{3, 4, 5, 6, 20} {
		if got := cut("ääääää", n); len(got) > n || !utf8.ValidString(got) {
			t.Errorf("cut to %d: %q", n, got)
		}
	}
}

// TestMarkdown checks that the output is below GitHub's limit and escapes special characters.
func TestMarkdown(t *testing.T) {
	if n := len(render(t, "markdown", many(20_000), Options{})); n > 1<<20 {
		t.Errorf("%d bytes are more than GitHub takes", n)
	}
	text := render(t, "markdown", newRun(newKernel("<img src=x>|`", failed("a/```/<b>", stepResult("x", 0, eperm)))),
		Options{})
	outside, _, _ := strings.Cut(text, "````")
	if strings.Contains(outside, "<img") || strings.Contains(text, "\n```/") {
		t.Errorf("not escaped:\n%s", text)
	}
	if !strings.Contains(text, "````text\n") {
		t.Errorf("the fence is not longer than what it holds:\n%s", text)
	}
}

// TestMail checks the width for mailing lists. Longer words, the kernel's own lines and the
// subject may exceed it.
func TestMail(t *testing.T) {
	for _, f := range fixtures {
		text := render(t, "mail", f.run(), Options{Width: 200, Color: true})
		if !strings.HasPrefix(text, "Subject: [") || !strings.Contains(text, "\n\n") {
			t.Errorf("%s has no subject:\n%s", f.name, text)
		}
		for i, line := range strings.Split(text, "\n") {
			word := quoted.ReplaceAllString(strings.TrimSpace(line), "x")
			if i > 0 && utf8.RuneCountInString(line) > mailWidth && len(strings.Fields(word)) > 3 {
				t.Errorf("%s: %d columns: %q", f.name, utf8.RuneCountInString(line), line)
			}
		}
	}
	for _, want := range []string{"\n  BUG: KASAN\n", "\nTo repeat:\n  tokentest run --kernel ", "sha256 ed8f0dbd"} {
		if text := render(t, "mail", everything(), Options{}); !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// TestJSONL reads each line by itself, and counts.
func TestJSONL(t *testing.T) {
	for _, f := range fixtures {
		kinds, want := map[string]int{}, map[string]int{"run": 1, "end": 1}
		for _, k := range f.run().Kernels {
			want["kernel"]++
			want["case"] += k.Len()
		}
		for line := range strings.Lines(render(t, "jsonl", f.run(), Options{})) {
			var v struct {
				Type, Ref, Case, Status string
				ExitCode                int `json:"exit_code"`
			}
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Errorf("%s: %v in %s", f.name, err, line)
			}
			kinds[v.Type]++
			if v.Type == "case" && (v.Case == "" && f.name != "hostile" || v.Status == "") ||
				v.Type == "end" && v.ExitCode != f.exit {
				t.Errorf("%s: %s", f.name, line)
			}
		}
		for kind, n := range want {
			if kinds[kind] != n {
				t.Errorf("%s: %d lines of %s, want %d", f.name, kinds[kind], kind, n)
			}
		}
	}
}

// TestJSONMembers compares the cached encodings of cases with the encoder.
func TestJSONMembers(t *testing.T) {
	j := &jsonWriter{}
	for range 2 {
		for _, f := range fixtures {
			for _, k := range f.run().Kernels {
				for c := range k.All() {
					want := string((&jsonWriter{}).compact(c))
					if got := "{" + string(j.members(c)); got != want {
						t.Errorf("%s:\n got %s\nwant %s", f.name, got, want)
					}
				}
			}
		}
	}
}

// TestCauseTakesAnswersTogether checks that one wrong rule is one paragraph, whatever
// the kernel answered in its place, with the pattern that holds the cases.
func TestCauseTakesAnswersTogether(t *testing.T) {
	k := newKernel("deb:trixie")
	for i, id := range []string{"m/any/root/with/a", "m/any/owner/with/b", "m/cmd/owner/with/c"} {
		k.Cases = append(k.Cases, failed(id, stepResult("x", []uapi.Errno{0, einval, 0}[i], eperm)))
	}
	text := render(t, "pretty", newRun(k), Options{})
	for _, want := range []string{"FAIL 3 cases: got ok (2) or EINVAL (1), want EPERM\n", "  within   m/*/*/with/*\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	k.Cases = append(k.Cases, failed("other/any/owner/with/b", stepResult("x", 0, eperm)))
	if text := render(t, "pretty", newRun(k), Options{}); strings.Contains(text, "within") {
		t.Errorf("cases of two groups are said to be within one:\n%s", text)
	}
}
