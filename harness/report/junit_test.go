package report

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/harness/result"
)

// TestJUnitSchema validates every report with the schema that CI systems use, and checks that
// the schema refuses a wrong report.
func TestJUnitSchema(t *testing.T) {
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("no xmllint: install libxml2-utils to hold reports against the schema")
	}
	valid := func(text string) (string, bool) {
		path := filepath.Join(t.TempDir(), "report.xml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(lint, "--noout", "--nonet", "--schema", "schema/junit.xsd", path).CombinedOutput()
		return string(out), err == nil
	}
	for _, f := range fixtures {
		if out, ok := valid(render(t, "junit", f.run(), Options{})); !ok {
			t.Errorf("%s: %s", f.name, out)
		}
	}
	good := render(t, "junit", everything(), Options{})
	for from, to := range map[string]string{"testcase": "Testcase", `tests="20"`: `tests="many"`, "message=": "massage=",
		"</testsuites>": ""} {
		if _, ok := valid(strings.ReplaceAll(good, from, to)); ok {
			t.Errorf("%q for %q is taken for valid", to, from)
		}
	}
}

// TestJUnitByHand compares the hand-written XML with that of the encoder.
func TestJUnitByHand(t *testing.T) {
	for _, text := range []string{"plain", `a<b>&"c"'d'`, "tab\tand\nnewline", "bell\a, \uFFFE", ""} {
		for _, status := range []result.Status{result.Pass, result.Skip} {
			c := &result.CaseResult{ID: "case " + text, Status: status}
			if status == result.Skip {
				c.Reason = text
			}
			k := &run{KernelRun: &result.KernelRun{Ref: "k", Cases: []result.CaseResult{*c}}}
			var want, got strings.Builder
			j := &junitWriter{w: bufio.NewWriter(&want)}
			timed := k.testcase("k", c)
			timed.Time = "0.000562"
			j.test(timed)
			j.w.Flush()
			j = &junitWriter{w: bufio.NewWriter(&got)}
			j.begin("k", c.ID, "0.000562")
			if status == result.Skip {
				j.skipped(c.Reason)
			} else {
				j.w.WriteString("</testcase>\n")
			}
			j.w.Flush()
			if got.String() != want.String() {
				t.Errorf("%q:\n got %s\nwant %s", text, got.String(), want.String())
			}
		}
	}
}
