package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokentest/harness/result"
)

// garbled replaces every text for people in a run by one that says nothing and
// is nowhere else. Only the words of the guest and of test programs stay: they
// are all that is known of their cause.
func garbled(r *result.Run) *result.Run {
	n := 0
	word := func(s *string) {
		if n++; *s != "" {
			*s = fmt.Sprintf("word %d", n)
		}
	}
	for _, k := range r.Kernels {
		word(&k.Accel)
		word(&k.Note)
		word(&k.Error)
		for i := range k.Boots {
			word(&k.Boots[i].Reason)
			word(&k.Boots[i].Blame)
		}
		for i := range k.Cases {
			c := &k.Cases[i]
			c.Steps = slices.Clone(c.Steps)
			for j := range c.Steps {
				word(&c.Steps[j].Rule)
				word(&c.Steps[j].Text)
			}
			if kind := c.Group().Kind; kind != result.ByGuest && kind != result.ByProgram {
				word(&c.Reason)
				word(&c.Cause.Text)
			}
		}
	}
	return r
}

// TestWords holds that what a run comes to does not hang on its words: neither
// the exit code, nor the groups of cases, nor what is compared, nor a member of
// the JSON but the words themselves.
func TestWords(t *testing.T) {
	for _, f := range fixtures {
		was, now := f.run(), garbled(f.run())
		if was.ExitCode() != now.ExitCode() {
			t.Errorf("%s: exit code %d, want %d", f.name, now.ExitCode(), was.ExitCode())
		}
		for i := range was.Kernels {
			a, b := grouping(was.Kernels[i]), grouping(now.Kernels[i])
			if diff := cmp.Diff(a, b); diff != "" {
				t.Errorf("%s: kernel %d is grouped in another way:\n%s", f.name, i, diff)
			}
		}
		same, other := compared(was, f.run()), compared(was, now)
		if diff := cmp.Diff(same, other); diff != "" {
			t.Errorf("%s: other words make changes:\n%s", f.name, diff)
		}
		if diff := cmp.Diff(wordless(t, was), wordless(t, now)); diff != "" {
			t.Errorf("%s: JSON differs:\n%s", f.name, diff)
		}
	}
}

// compared lists what changed, and into which bunches changes fall.
func compared(base, new *result.Run) []string {
	c := result.Compare(&result.Side{Runs: []*result.Run{base}}, &result.Side{Runs: []*result.Run{new}})
	out := []string{fmt.Sprint(c.ExitCode(), c.Counts())}
	for _, p := range c.Pairs {
		for _, b := range bunches(p.Changes) {
			out = append(out, fmt.Sprintf("%s: %d such as %s", b.class, b.count, b.example.ID))
		}
	}
	return out
}

// grouping lists the groups of a kernel's cases.
func grouping(k *result.KernelRun) []string {
	var out []string
	for _, s := range result.Statuses() {
		if s == result.Pass {
			continue
		}
		for _, c := range byCause(k.Those(s)) {
			out = append(out, fmt.Sprintf("%s: %d such as %s, within %q", s, c.count, c.example.ID, c.pattern()))
		}
	}
	return out
}

// wordless is the JSON report without the members that hold words.
func wordless(t *testing.T, r *result.Run) any {
	t.Helper()
	var text bytes.Buffer
	var v any
	if err := errors.Join(JSON(r, &text, Options{}), json.Unmarshal(text.Bytes(), &v)); err != nil {
		t.Fatal(err)
	}
	return strip(v)
}

var words = []string{"accel", "note", "error", "reason", "blame", "text"}

func strip(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = strip(v[i])
		}
	case map[string]any:
		_, isStep := v["got"]
		maps.DeleteFunc(v, func(k string, of any) bool {
			_, isText := of.(string)
			return isText && (slices.Contains(words, k) || isStep && k == "rule")
		})
		for k := range v {
			v[k] = strip(v[k])
		}
	}
	return v
}

// TestOlderRecords stores runs without what older tokentests did not write, and
// renders them as before.
func TestOlderRecords(t *testing.T) {
	for _, f := range fixtures {
		want, old := f.run(), f.run()
		if f.name == "hostile" || len(old.Damage) > 0 || old.Resume != nil {
			continue
		}
		old.Dir = t.TempDir()
		want.Dir = old.Dir
		s, err := result.Create(old.Dir)
		for i, k := range old.Kernels {
			k.AccelName = ""
			for j := range k.Boots {
				k.Boots[j].Blamed = result.Blame{}
			}
			for j := range k.Cases {
				k.Cases[j].Cause = result.Cause{}
			}
			err = errors.Join(err, s.Append(i, k))
		}
		if err = errors.Join(err, s.Close(old)); err != nil {
			t.Fatal(err)
		}
		stored, err := (&result.Loader{}).Load(old.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"pretty", "ktap", "junit", "github", "markdown", "mail"} {
			if diff := cmp.Diff(render(t, format, want, Options{}), render(t, format, stored, Options{})); diff != "" {
				t.Errorf("%s as %s:\n%s", f.name, format, diff)
			}
		}
	}
}
