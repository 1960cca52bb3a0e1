package testlog

import "regexp"

// testProgs collects what the kernel's test_progs of tools/testing/selftests/bpf prints: a line for each test and
// subtest, and a summary as the last line.
type testProgs struct {
	order  []*Case
	tests  map[string]*Case
	reason string // the last complaint
	ended  bool   // the summary came
}

func newTestProgs() *testProgs { return &testProgs{tests: map[string]*Case{}} }

var (
	testProgsResult = regexp.MustCompile(`^#\d+(?:/\d+)?\s+(\S.*):(OK|FAIL|SKIP)$`)
	testProgsError  = regexp.MustCompile(`^\w+:FAIL:`)
	testProgsEnd    = regexp.MustCompile(`^Summary: \d+/\d+ PASSED, \d+ SKIPPED, \d+ FAILED$`)
)

// line takes a line. The results of tests that failed come again before the summary.
func (p *testProgs) line(n int, text string) error {
	text = escapes.ReplaceAllString(text, "")
	if testProgsError.MatchString(text) {
		p.reason = text
	}
	p.ended = p.ended || testProgsEnd.MatchString(text)
	m := testProgsResult.FindStringSubmatch(text)
	if m == nil || p.tests[m[1]] != nil {
		return nil
	}
	c := &Case{Name: m[1], Line: n, Status: map[string]Status{"OK": Pass, "FAIL": Fail, "SKIP": Skip}[m[2]]}
	if c.Status == Fail {
		c.Reason, p.reason = p.reason, ""
	}
	p.tests[c.Name] = c
	p.order = append(p.order, c)
	return nil
}

// end returns the tests. Without a summary the program did not run all of them.
func (p *testProgs) end() []Case {
	var out []Case
	for _, c := range p.order {
		out = append(out, *c)
	}
	if !p.ended {
		out = append(out, Case{Name: "test_progs", Status: Broken, Reason: "it ended without its summary"})
	}
	return out
}
