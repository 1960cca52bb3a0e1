package report

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tokentest/harness/result"
)

// ktapTest is a test as a strict reader of the protocol sees it.
type ktapTest struct {
	ok        bool
	name      string
	directive string
	title     string   // that its block begins with
	notes     []string // the diagnostics before its result
	sub       []*ktapTest
}

// ktapReader reads blocks by the rules of Documentation/dev-tools/ktap.rst.
type ktapReader struct {
	lines []string
	at    int
}

var resultLine = regexp.MustCompile(`^(ok|not ok) ([0-9]+) ([^#]*[^# ])(?: # (.*))?$`)

func (r *ktapReader) next(indent string) (string, bool) {
	if r.at == len(r.lines) || !strings.HasPrefix(r.lines[r.at], indent) {
		return "", false
	}
	return strings.TrimPrefix(r.lines[r.at], indent), true
}

// block reads a version line, the name of the parent, a plan and as many tests.
func (r *ktapReader) block(indent string) (title string, out []*ktapTest, err error) {
	if line, _ := r.next(indent); line != "KTAP version 1" {
		return "", nil, fmt.Errorf("line %d: %q is not a version line", r.at+1, line)
	}
	r.at++
	line, _ := r.next(indent)
	if title, _ = strings.CutPrefix(line, "# Subtest: "); title == line {
		title = ""
	} else {
		r.at++
		line, _ = r.next(indent)
	}
	if (title == "") != (indent == "") {
		return "", nil, fmt.Errorf("line %d: %q: only the outermost block has no name", r.at+1, line)
	}
	n, err := strconv.Atoi(strings.TrimPrefix(line, "1.."))
	if err != nil {
		return "", nil, fmt.Errorf("line %d: %q is not a plan", r.at+1, line)
	}
	r.at++
	for len(out) < n {
		t, err := r.test(indent, len(out)+1)
		if err != nil {
			return "", nil, err
		}
		out = append(out, t)
	}
	return title, out, nil
}

// test reads the lines before a result line, and the result line.
func (r *ktapReader) test(indent string, number int) (*ktapTest, error) {
	t := &ktapTest{}
	for ; ; r.at++ {
		line, ok := r.next(indent)
		m := resultLine.FindStringSubmatch(line)
		switch {
		case !ok:
			return nil, fmt.Errorf("line %d: test %d is missing", r.at+1, number)
		case strings.HasPrefix(line, "  "):
			title, sub, err := r.block(indent + "  ")
			if err != nil {
				return nil, err
			}
			t.title, t.sub, r.at = title, sub, r.at-1
		case strings.HasPrefix(line, "# "):
			t.notes = append(t.notes, line[2:])
		case m == nil || m[2] != strconv.Itoa(number):
			return nil, fmt.Errorf("line %d: %q is not the result of test %d", r.at+1, line, number)
		default:
			t.ok, t.name, t.directive = m[1] == "ok", m[3], m[4]
			if len(t.sub) > 0 && t.title != t.name {
				return nil, fmt.Errorf("line %d: the block of %q says %q", r.at+1, t.name, t.title)
			}
			if slices.ContainsFunc(t.sub, func(s *ktapTest) bool { return s.name == t.name }) {
				return nil, fmt.Errorf("line %d: a subtest of %q has its name: kunit.py ends the block there", r.at+1, t.name)
			}
			r.at++
			return t, nil
		}
	}
}

// count adds up the leaves and compares each parent with its children.
func (t *ktapTest) count(n map[string]int) (bad bool, err error) {
	word, _, _ := strings.Cut(t.directive, " ")
	for _, s := range t.sub {
		b, err := s.count(n)
		if err != nil {
			return false, err
		}
		bad = bad || b
	}
	switch {
	case len(t.sub) > 0 && bad == t.ok:
		return false, fmt.Errorf("%s is ok: %t, a child of it is not: %t", t.name, t.ok, bad)
	case len(t.sub) > 0:
	case word == "SKIP":
		n["skip"]++
	case t.ok && word == "XFAIL":
		n["xfail"]++
	case t.ok:
		n["pass"]++
	case word == "ERROR":
		n["error"]++
	default:
		n["fail"]++
	}
	return !t.ok, nil
}

func parseKTAP(text string) (top []*ktapTest, rest []string, err error) {
	r := &ktapReader{lines: strings.Split(strings.TrimSuffix(text, "\n"), "\n")}
	_, top, err = r.block("")
	return top, r.lines[r.at:], err
}

// TestKTAPStructure reads every report back and compares what it counts.
func TestKTAPStructure(t *testing.T) {
	for _, f := range fixtures {
		r := f.run()
		if len(r.Kernels) == 0 {
			continue
		}
		top, rest, err := parseKTAP(render(t, "ktap", r, Options{}))
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		n, bad := map[string]int{}, false
		for _, k := range top {
			b, err := k.count(n)
			if err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
			bad = bad || b
		}
		totals := fmt.Sprintf("# Totals: pass:%d fail:%d xfail:%d xpass:0 skip:%d error:%d", n["pass"], n["fail"], n["xfail"],
			n["skip"], n["error"])
		if len(rest) == 0 || rest[0] != totals {
			t.Errorf("%s ends with %q, the leaves are %q", f.name, rest, totals)
		}
		if bad != (f.exit != result.ExitOK) {
			t.Errorf("%s is not ok: %t, its exit code is %d", f.name, bad, f.exit)
		}
		compareCounts(t, f.name, r, n)
	}
}

// compareCounts expects every case once; a machine may add to what is bad.
func compareCounts(t *testing.T, name string, r *result.Run, n map[string]int) {
	t.Helper()
	want := map[result.Status]int{}
	for _, k := range r.Kernels {
		for s, i := range k.Counts() {
			want[s] += i
		}
		wrong := (&run{KernelRun: k}).faults()
		want[result.Fail], want[result.Broken] = want[result.Fail]-wrong, want[result.Broken]+wrong
	}
	leftOut := min(1, want[result.Interrupted]) // one leaf says how many did not run
	if n["pass"]+n["xfail"] != want[result.Pass]+want[result.XFail] || n["skip"] != want[result.Skip] ||
		n["fail"] < want[result.Fail] || n["error"] < want[result.Broken]+leftOut {
		t.Errorf("%s counts %v, want %v", name, n, want)
	}
}

// TestKTAPBail makes a run without any case, and one that was cut short, say so.
func TestKTAPBail(t *testing.T) {
	for name, want := range map[string]string{
		"error": `Bail out! no case ran: deb:trixy could not be tried: ` +
			`kernel "deb:trixy": no such suite (near: trixie)`,
		"nothing":     "Bail out! no kernel was tried",
		"interrupted": "Bail out! the run was interrupted",
		"damaged": "Bail out! kernel deb:sid: 2 of 3 cases have no record; " +
			"results/runs/7/records.jsonl:2: the record was altered (its checksum does not match), and does not count; " +
			"results/runs/7/records.jsonl:3: record 4 where record 3 must be; " +
			"results/runs/7/records.jsonl: 1 more of its lines are not as they were written",
		"stopped-early": "Bail out! no case ran: deb:trixie no case ran on it; the run was interrupted",
		"pass":          "", "everything": "", "skipped": "",
	} {
		text := render(t, "ktap", fixture(t, name), Options{})
		_, got, _ := strings.Cut(text, "Bail out!")
		if got = strings.TrimSuffix(got, "\n"); got != strings.TrimPrefix(want, "Bail out!") {
			t.Errorf("%s bails out with %q, want %q", name, got, want)
		}
		if strings.Contains(text, "1..0") {
			t.Errorf("%s holds an empty plan", name)
		}
	}
}

func fixture(t *testing.T, name string) *result.Run {
	t.Helper()
	for _, f := range fixtures {
		if f.name == name {
			return f.run()
		}
	}
	t.Fatalf("no run is called %q", name)
	return nil
}

// TestKTAPFailure looks for all that a reader needs before a failure's line.
func TestKTAPFailure(t *testing.T) {
	top, _, err := parseKTAP(render(t, "ktap", everything(), Options{}))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(top[1].sub[0].sub[2].notes, "\n")
	want := `step: owner map_create type=hash token=t
expected: EPERM
got: ok
rule: a map type that the token does not allow needs CAP_BPF in the initial namespace (map_create/no-cap-bpf)
function: map_create
pin: cases/matrix/map_create.txt:14 (map_create: bpf_token_allow_map_type; map_create_alloc 7.3)
repeat: tokentest run map_create/maps/owner/none/with/array --kernel "tree:my linux/it's new"`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestKTAPEnds keeps the phrases out at which kunit.py stops reading.
func TestKTAPEnds(t *testing.T) {
	text := render(t, "ktap", everything(), Options{})
	for _, s := range []string{"List of all partitions:", "Kernel panic - not syncing: VFS:", "reboot: System halted"} {
		if strings.Contains(text, s) {
			t.Errorf("the report holds %q", s)
		}
	}
}

var kunit = flag.String("kunit", "", "the kernel's tools/testing/kunit/kunit.py, to try the reports on")

// TestKUnit has the kernel's own parser read every report and count the same.
func TestKUnit(t *testing.T) {
	if *kunit == "" {
		found, err := filepath.Glob("/usr/src/*/tools/testing/kunit/kunit.py")
		if err != nil || len(found) == 0 {
			t.Skip("no kunit.py below /usr/src: unpack a linux-source package there, or name one with -kunit")
		}
		*kunit = found[len(found)-1]
	}
	counts := regexp.MustCompile(`Ran (\d+) tests:|(passed|failed|skipped): (\d+)`)
	for _, f := range fixtures {
		text := render(t, "ktap", f.run(), Options{})
		path := filepath.Join(t.TempDir(), "report")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("python3", *kunit, "parse", path).CombinedOutput()
		// kunit.py does not count a run that skipped everything as a success either.
		if bad := f.exit != result.ExitOK || f.name == "skipped" || f.name == "accepted"; bad != (err != nil) {
			t.Errorf("%s: kunit.py: %v\n%s", f.name, err, out)
		}
		got := map[string]int{}
		for _, m := range counts.FindAllStringSubmatch(string(out), -1) {
			got[m[2]], _ = strconv.Atoi(m[1] + m[3])
		}
		var pass, fail, xfail, skip, broken int
		_, totals, _ := strings.Cut(text, "# Totals: ")
		fmt.Sscanf(totals, "pass:%d fail:%d xfail:%d xpass:0 skip:%d error:%d", &pass, &fail, &xfail, &skip, &broken)
		if got["passed"] != pass+xfail || // it does not know XFAIL
			got["failed"] != fail+broken || got["skipped"] != skip {
			t.Errorf("%s: kunit.py counts %v, the report pass:%d fail:%d skip:%d error:%d\n%s", f.name, got, pass, fail, skip,
				broken, out)
		}
	}
}
