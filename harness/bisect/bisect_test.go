package bisect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func line(n int) Line {
	var l Line
	for i := range n {
		l = append(l, fmt.Sprintf("c%02d", i))
	}
	return l
}

// search looks for the culprit of a line in which some candidates say nothing.
func search(t *testing.T, l Line, culprit int, skip map[int]bool) (*Result, int) {
	t.Helper()
	tried := 0
	s := &Search{Space: l, Good: l[0], Bad: l[len(l)-1], Try: func(_ context.Context, id string) (Test, error) {
		tried++
		switch i := slices.Index(l, id); {
		case skip[i]:
			return Test{Outcome: Skip}, nil
		case i >= culprit:
			return Test{Outcome: Bad}, nil
		default:
			return Test{Outcome: Good}, nil
		}
	}}
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r, tried
}

// Every culprit in a line of every length is found, in as many tests as halving takes.
func TestLine(t *testing.T) {
	for n := 2; n <= 40; n++ {
		most := int(math.Ceil(math.Log2(float64(n - 1))))
		for culprit := 1; culprit < n; culprit++ {
			r, tried := search(t, line(n), culprit, nil)
			if r.First != line(n)[culprit] || tried > most || r.Tested != tried {
				t.Errorf("%d candidates, culprit %d: got %+v in %d tests, want at most %d", n, culprit, r, tried, most)
			}
		}
	}
}

// Eleven releases take four boots at most, seventeen commits five with skips.
func TestBudgets(t *testing.T) {
	for culprit := 1; culprit < 11; culprit++ {
		if _, tried := search(t, line(11), culprit, nil); tried > 4 {
			t.Errorf("11 releases, culprit %d: %d boots", culprit, tried)
		}
	}
}

func TestSkips(t *testing.T) {
	l := line(17)
	for culprit := 1; culprit < 17; culprit++ {
		for a := 1; a < 16; a++ {
			for b := a + 1; b < 16; b++ {
				skip := map[int]bool{a: true, b: true}
				r, _ := search(t, l, culprit, skip)
				switch {
				case r.Tested > 5:
					t.Errorf("culprit %d, skips %d %d: %d tested", culprit, a, b, r.Tested)
				case r.First != "" && r.First != l[culprit]:
					t.Errorf("culprit %d, skips %d %d: found %s", culprit, a, b, r.First)
				case r.First == "" && !slices.Contains(r.Among, l[culprit]):
					t.Errorf("culprit %d, skips %d %d: %v does not hold it", culprit, a, b, r.Among)
				case r.First == "" && !skip[culprit] && !skip[culprit-1]:
					t.Errorf("culprit %d, skips %d %d: %v is not narrow", culprit, a, b, r.Among)
				}
			}
		}
	}
}

// All but the ends say nothing: an answer all the same, and no endless search.
func TestAllSkipped(t *testing.T) {
	l, skip := line(9), map[int]bool{}
	for i := range l {
		skip[i] = true
	}
	r, tried := search(t, l, 4, skip)
	if r.First != "" || len(r.Among) != 8 || tried != 7 || r.Skipped != 7 {
		t.Errorf("got %+v after %d", r, tried)
	}
}

func TestSearchErrors(t *testing.T) {
	l := line(5)
	host := errors.New("the disk is full")
	s := &Search{Space: l, Good: l[0], Bad: l[4], Try: func(context.Context, string) (Test, error) { return Test{}, host }}
	if _, err := s.Run(t.Context()); !errors.Is(err, host) {
		t.Errorf("got %v, want the host's error", err)
	}
	s = &Search{Space: l, Good: l[3], Bad: l[1]}
	if _, err := s.Run(t.Context()); !errors.Is(err, ErrReversed) {
		t.Errorf("got %v, want that the ends are the wrong way round", err)
	}
	s = &Search{Space: l, Good: l[0], Bad: "other"}
	if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "other is not among the 5") {
		t.Errorf("got %v", err)
	}
}

func TestConfidence(t *testing.T) {
	sure := &Result{Tests: []Test{{Outcome: Bad, Runs: 3, Bads: 3}, {Outcome: Good, Runs: 3}}}
	if got := sure.Confidence(); got != 1 {
		t.Errorf("nothing varied: got %v", got)
	}
	// Bad kernels showed it every other time: three good runs in a row miss it 1 time in 8.
	half := &Result{Tests: []Test{{Outcome: Bad, Runs: 4, Bads: 2}, {Outcome: Good, Runs: 3}}}
	if got := half.Confidence(); got != 0.875 {
		t.Errorf("got %v, want 0.875", got)
	}
}

// A search goes on where its log ends, and a torn last line is tried again.
func TestLogResume(t *testing.T) {
	dir := t.TempDir()
	l := line(17)
	log, err := NewLog(dir, &Question{Good: l[0], Bad: l[16], Repeat: 1})
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("power cut")
	tried := []string{}
	try := func(most int) func(context.Context, string) (Test, error) {
		return func(_ context.Context, id string) (Test, error) {
			if len(tried) == most {
				return Test{}, stop
			}
			tried = append(tried, id)
			if id >= "c11" {
				return Test{Outcome: Bad}, nil
			}
			return Test{Outcome: Good}, nil
		}
	}
	s := &Search{Space: l, Good: l[0], Bad: l[16], Try: try(2), Keep: log.Add}
	if _, err := s.Run(t.Context()); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	log.Close()
	f, err := os.OpenFile(filepath.Join(dir, logFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"id":"c10","outco`)
	f.Close()

	log, q, done, err := Resume(dir)
	if err != nil || q.Bad != l[16] || len(done) != 2 {
		t.Fatalf("got %+v %v %v", q, done, err)
	}
	s = &Search{Space: l, Good: q.Good, Bad: q.Bad, Done: done, Try: try(100), Keep: log.Add}
	r, err := s.Run(t.Context())
	if err != nil || r.First != "c11" || len(tried) != 4 {
		t.Errorf("got %+v, %v, tried %v", r, err, tried)
	}
	log.Close()
	if _, _, done, err = Resume(dir); err != nil || len(done) != 4 {
		t.Errorf("the whole log: %v %v", done, err)
	}
}

func TestResumeErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "line 1: the question was not written whole",
		`{"good":"a"`:            "line 1: the question was not written whole",
		"{\"good\":\"a\"}\nno\n": "line 2: ",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, logFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := Resume(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// Commits are searched in a real history with a merge.
func TestCommits(t *testing.T) {
	dir := t.TempDir()
	git := func(_ context.Context, args ...string) (string, error) {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t"}, args...)...)
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := git(t.Context(), args...)
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return out
	}
	must("init", "-q", "-b", "main")
	n := 0
	commit := func() string {
		n++
		must("commit", "-q", "--allow-empty", "-m", fmt.Sprint("commit ", n))
		return must("rev-parse", "HEAD")
	}
	base := commit()
	var main, side []string
	for range 6 {
		main = append(main, commit())
	}
	must("checkout", "-q", "-b", "side", base)
	for range 5 {
		side = append(side, commit())
	}
	must("checkout", "-q", "main")
	must("merge", "-q", "--no-ff", "-m", "merge", "side")
	tip := must("rev-parse", "HEAD")

	c := &Commits{Git: git}
	for _, culprit := range append(slices.Clone(side), append(main, tip)...) {
		s := &Search{Space: c, Good: base, Bad: tip, Try: func(_ context.Context, id string) (Test, error) {
			if exec.Command("git", "-C", dir, "merge-base", "--is-ancestor", culprit, id).Run() == nil {
				return Test{Outcome: Bad}, nil
			}
			return Test{Outcome: Good}, nil
		}}
		r, err := s.Run(t.Context())
		if err != nil || r.First != culprit || r.Tested > 5 {
			t.Errorf("culprit %.7s: got %+v, %v", culprit, r, err)
		}
		s.Done, s.Ahead = nil, func(context.Context, []string) {}
		s.AtOnce = func(context.Context) int { return 3 }
		if r, err = s.Run(t.Context()); err != nil || r.First != culprit {
			t.Errorf("culprit %.7s, three at once: got %+v, %v", culprit, r, err)
		}
	}
	for _, tt := range []struct{ good, bad, want string }{
		{tip, tip, "the same commit"},
		{tip, base, "is older than the good one"},
		{side[4], main[5], "is no ancestor of the bad one"},
		{base, tip, ""},
	} {
		err := c.Check(t.Context(), tt.good, tt.bad)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%.7s..%.7s: got %v, want %q", tt.good, tt.bad, err, tt.want)
		}
	}
}

// rounds searches with n builders, and counts how often they build.
func rounds(t *testing.T, l Line, culprit, n int, skip map[int]bool) (*Result, int) {
	t.Helper()
	count := 0
	ready := map[string]bool{}
	s := &Search{Space: l, Good: l[0], Bad: l[len(l)-1], AtOnce: func(context.Context) int { return n },
		Ahead: func(_ context.Context, ids []string) {
			if len(ids) > n {
				t.Errorf("%d candidates at once, of at most %d", len(ids), n)
			}
			count++
			for _, id := range ids {
				if ready[id] {
					t.Errorf("%s is built twice", id)
				}
				ready[id] = true
			}
		},
		Try: func(_ context.Context, id string) (Test, error) {
			if !ready[id] {
				count++ // the only one of its round
			}
			switch i := slices.Index(l, id); {
			case skip[i]:
				return Test{Outcome: Skip}, nil
			case i >= culprit:
				return Test{Outcome: Bad}, nil
			}
			return Test{Outcome: Good}, nil
		}}
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r, count
}

// Among 1,024 commits three builders find each culprit in five rounds, and seven in four.
func TestRounds(t *testing.T) {
	l := line(1025)
	for _, of := range []struct{ builders, rounds int }{{1, 10}, {2, 7}, {3, 5}, {7, 4}} {
		for culprit := 1; culprit < len(l); culprit += 31 {
			r, count := rounds(t, l, culprit, of.builders, nil)
			if r.First != l[culprit] || count > of.rounds {
				t.Errorf("%d builders, culprit %d: found %s in %d rounds, want at most %d", of.builders, culprit, r.First, count,
					of.rounds)
			}
		}
	}
}

// With candidates that say nothing, several at once find what one at a time finds.
func TestRoundsWithSkips(t *testing.T) {
	l := line(17)
	for culprit := 1; culprit < 17; culprit++ {
		for a := 1; a < 16; a++ {
			skip := map[int]bool{a: true, (a*7)%15 + 1: true}
			for n := 2; n <= 5; n++ {
				r, _ := rounds(t, l, culprit, n, skip)
				one, _ := search(t, l, culprit, skip)
				slices.Sort(r.Among)
				slices.Sort(one.Among)
				if r.First != one.First || !slices.Equal(r.Among, one.Among) {
					t.Errorf("culprit %d, skips %v, %d at once: %s %v, one at a time: %s %v", culprit, skip, n, r.First, r.Among,
						one.First, one.Among)
				}
			}
		}
	}
}
