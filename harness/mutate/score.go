package mutate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"tokentest/harness/usage"
)

// stored returns the finished outcomes of the file Results, by the mutant's ID, and how many bytes of it are whole
// lines. It fails at an outcome that is not mine.
func (o *Options) stored(mine func(of string) bool) (known map[string]*Outcome, whole int64, err error) {
	known = map[string]*Outcome{}
	if o.Results == "" {
		return known, 0, nil
	}
	text, err := os.ReadFile(o.Results)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("read the outcomes: %w", err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // a killed process did not finish what follows
	for n, line := range bytes.Split(text, []byte("\n")) {
		one := &Outcome{}
		if len(line) == 0 {
			continue
		}
		if err := json.Unmarshal(line, one); err != nil || one.ID == "" {
			return nil, 0, fmt.Errorf("%s:%d is no outcome of tokentest mutate; name another file", o.Results, n+1)
		}
		if !mine(one.Of) {
			return nil, 0, usage.Errorf("%s:%d is of another kernel or of other cases; name another file", o.Results, n+1)
		}
		if one.Verdict != Unknown {
			known[one.ID] = one
		}
	}
	return known, int64(len(text)), nil
}

// open opens the file with the outcomes, and returns those that it has, by the mutant's ID. A line
// that a killed process did not finish is removed.
func (j *job) open() (map[string]*Outcome, error) {
	known, whole, err := j.stored(func(of string) bool { return of == j.of })
	if err != nil || j.Results == "" {
		return known, err
	}
	j.results, err = os.OpenFile(j.Results, os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = j.results.Seek(whole, io.SeekStart)
	}
	if err == nil {
		err = j.results.Truncate(whole)
	}
	if err != nil {
		return nil, fmt.Errorf("open the file for outcomes: %w", err)
	}
	return known, nil
}

// keep stores an outcome and reports it.
func (j *job) keep(o *Outcome) error {
	if j.first && !o.noticed() {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.Each != nil {
		j.Each(o)
	}
	o.Of = j.of
	if j.results == nil {
		return nil
	}
	text, err := json.Marshal(o)
	if err == nil {
		_, err = j.results.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("store an outcome in %s: %w", j.Results, err)
	}
	return nil
}

// Score is how many mutants the cases notice, of those that could be noticed: the ones that a case
// reaches and that have an effect.
type Score struct {
	Noticed, Counted int
	Of               map[Verdict]int
}

// Count makes a score of outcomes.
func Count(list []*Outcome) Score {
	s := Score{Of: map[Verdict]int{}}
	for _, o := range list {
		s.Of[o.Verdict]++
		switch o.Verdict {
		case ByCase, ByControl, ByMachine:
			s.Noticed++
			s.Counted++
		case Survived:
			s.Counted++
		}
	}
	return s
}

// confidence is the quantile of the normal distribution for 95 %.
const confidence = 1.96

// Interval is Wilson's score interval of the share at 95 %: where the share of all mutants lies
// if these are a random sample.
func (s *Score) Interval() (low, high float64) {
	if s.Counted == 0 {
		return 0, 1
	}
	n, z := float64(s.Counted), confidence
	p := float64(s.Noticed) / n
	middle := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(0, middle-half), min(1, middle+half)
}

func (s *Score) String() string {
	low, high := s.Interval()
	share := 0.0
	if s.Counted > 0 {
		share = float64(s.Noticed) / float64(s.Counted)
	}
	return fmt.Sprintf("%d of %d (%.0f %%; %.0f to %.0f %%)", s.Noticed, s.Counted, 100*share, 100*low, 100*high)
}

// verdicts are in the order of reports.
var verdicts = []Verdict{ByCase, ByControl, ByMachine, Survived, Judged, NotReached, NoEffect, Unpatched, Unknown}

// Report prints outcomes, if there are any, as JSON or for people.
func Report(w io.Writer, list []*Outcome, format, tree string) error {
	switch {
	case len(list) == 0:
		return nil
	case format == "json":
		return json.NewEncoder(w).Encode(list)
	}
	return Write(w, list, tree)
}

// Follow returns an Options.Each that names each survivor, and says now and then how many mutants were tried.
func Follow(note func(format string, args ...any)) func(*Outcome) {
	done := 0
	return func(m *Outcome) {
		if m.Seconds == 0 {
			return // it needed no machine
		}
		if done++; m.Verdict == Survived || done%50 == 0 {
			note("%d tried; %s: %s", done, m.ID, m.Verdict)
		}
	}
}

// Write prints the score, by operator, and the survivors, with their source lines if tree is the
// kernel's tree.
func Write(w io.Writer, list []*Outcome, tree string) error {
	by := map[Operator][]*Outcome{}
	for _, o := range list {
		by[o.Operator] = append(by[o.Operator], o)
	}
	var operators []Operator
	for o := range by {
		operators = append(operators, o)
	}
	slices.Sort(operators)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "operator\tmutants\tnoticed (of those that have an effect)")
	for _, v := range verdicts {
		fmt.Fprintf(t, "\t%s", v)
	}
	fmt.Fprintln(t)
	line := func(name string, list []*Outcome) {
		s := Count(list)
		fmt.Fprintf(t, "%s\t%d\t%s", name, len(list), &s)
		for _, v := range verdicts {
			fmt.Fprintf(t, "\t%d", s.Of[v])
		}
		fmt.Fprintln(t)
	}
	for _, o := range operators {
		line(string(o), by[o])
	}
	line("all", list)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the score: %w", err)
	}
	writeFunctions(w, list)
	writeSurvivors(w, list, tree)
	for _, v := range []Verdict{Judged, NotReached, Unpatched, Unknown} {
		writeList(w, v, list)
	}
	return nil
}

// writeFunctions prints the score of each function of which a change survived, the worst first.
func writeFunctions(w io.Writer, list []*Outcome) {
	of := map[string][]*Outcome{}
	for _, o := range list {
		of[o.Func] = append(of[o.Func], o)
	}
	scores, names := map[string]Score{}, []string{}
	for name, list := range of {
		if s := Count(list); s.Of[Survived] > 0 {
			scores[name] = s
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(scores[b].Of[Survived]-scores[a].Of[Survived], strings.Compare(a, b))
	})
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\nfunction\tsurvived\tnoticed (of those that have an effect)\n")
	for _, name := range names {
		s := scores[name]
		fmt.Fprintf(t, "%s\t%d\t%s\n", name, s.Of[Survived], &s)
	}
	t.Flush()
}

// those are the outcomes with a verdict, by source line.
func those(v Verdict, list []*Outcome) []*Outcome {
	list = slices.DeleteFunc(slices.Clone(list), func(o *Outcome) bool { return o.Verdict != v })
	slices.SortStableFunc(list, func(a, b *Outcome) int {
		return cmp.Or(cmp.Compare(a.File, b.File), a.Line-b.Line, cmp.Compare(a.ID, b.ID))
	})
	return list
}

// where names the change, and the function that was inlined there.
func (o *Outcome) where() string {
	if o.In == "" {
		return o.ID
	}
	return fmt.Sprintf("%s (%s)", o.ID, o.In)
}

// writeSurvivors prints what a person needs to write a case that notices them.
func writeSurvivors(w io.Writer, list []*Outcome, tree string) {
	list = those(Survived, list)
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s: nothing differs, although it is executed\n", Survived)
	for _, o := range list {
		fmt.Fprintf(w, "\n  %s:%d  %s  %s\n", o.File, o.Line, o.where(), o.Change)
		for _, place := range []string{fmt.Sprintf("%s:%d", o.File, o.Line), o.Inner} {
			if text := sourceLine(tree, place); text != "" {
				fmt.Fprintf(w, "    source  %s  %s\n", place, text)
			}
			if changes := inSource(tree, place, o.Operator); len(changes) > 0 {
				fmt.Fprintf(w, "    in C    %s\n", strings.Join(changes, ", or "))
			}
		}
		fmt.Fprintf(w, "    before  %s\n    after   %s\n", o.Before, o.After)
		if len(o.Some) > 0 {
			tried := ""
			if o.Tried > 0 {
				tried = fmt.Sprintf(", tried with %d", o.Tried)
			}
			fmt.Fprintf(w, "    cases   %d%s: %s\n", o.Cases, tried, strings.Join(o.Some, ", "))
		}
	}
}

// sourceLine is the text at FILE:LINE of the kernel's tree, "" if it is not there.
func sourceLine(tree, place string) string {
	file, number, _ := strings.Cut(place, ":")
	line, err := strconv.Atoi(number)
	if tree == "" || err != nil {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(tree, file))
	if err != nil {
		return ""
	}
	n := 0
	for l := range strings.Lines(string(text)) {
		if n++; n == line {
			return strings.TrimSpace(l)
		}
	}
	return ""
}

// maxListed is how many mutants of a verdict are listed, other than survivors.
const maxListed = 200

// writeCounts prints how many mutants each function has, in their order.
func writeCounts(t *tabwriter.Writer, list []*Outcome) {
	of := map[string]int{}
	for _, o := range list {
		of[o.Func]++
	}
	for _, o := range list {
		if n := of[o.Func]; n > 0 {
			fmt.Fprintf(t, "  %s\t%d\n", o.Func, n)
			delete(of, o.Func)
		}
	}
	t.Flush()
}

func writeList(w io.Writer, v Verdict, list []*Outcome) {
	if list = those(v, list); len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", v)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(list) > maxListed {
		writeCounts(t, list)
		return
	}
	for _, o := range list {
		fmt.Fprintf(t, "  %s:%d\t%s\t%s\t%s\n", o.File, o.Line, o.where(), o.Change, o.Reason)
	}
	t.Flush()
}
