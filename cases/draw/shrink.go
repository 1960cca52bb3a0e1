package draw

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// Sketch is a world and one call as lines of a scenario: actors, steps, and as the last
// line the step on which a kernel and the oracle disagree. The shrinker removes parts of it.
type Sketch struct {
	lines [][]string // each line's words: an actor or a step without its expectation
}

// SketchOf writes a case as one scenario. If the last step is in the set-up, setup is the
// number of set-up steps. A negative number means the whole set-up and the case's own steps.
func SketchOf(c *cases.Case, setup int) Sketch {
	var s Sketch
	all := c.World.Program.Actors
	for _, a := range all {
		if cases.IsPredefined(a.Name) {
			continue
		}
		line := []string{"actor", a.Name}
		switch {
		case a.Kind == step.Init:
			line = append(line, "init")
		case a.Kind == step.Joins:
			line = append(line, "joins", all[a.Parent].Name)
		case a.Kind == step.Child:
			line = append(line, "child", all[a.Parent].Name)
		case a.Parent >= 0:
			line = append(line, "userns", "in", all[a.Parent].Name)
		default:
			line = append(line, "userns")
		}
		s.lines = append(s.lines, append(append(line, cases.ActorOptions(&a)...), "caps="+a.Caps.String()))
	}
	info := c.World.Info
	if setup >= 0 {
		info = info[:setup]
	} else {
		_, own := c.Steps()
		info = slices.Concat(info, own)
	}
	for i := range info {
		s.lines = append(s.lines, strings.Fields(info[i].Text))
	}
	return s
}

func (s *Sketch) String() string {
	var b strings.Builder
	for _, l := range s.lines {
		fmt.Fprintln(&b, strings.Join(l, " "))
	}
	return b.String()
}

// Last returns the step that the sketch is about.
func (s *Sketch) Last() string { return strings.Join(s.lines[len(s.lines)-1], " ") }

// smaller orders sketches by their lines, then their words, then their length.
func smaller(a, b *Sketch) int {
	words := func(s *Sketch) (n int) {
		for _, l := range s.lines {
			n += len(l)
		}
		return n
	}
	return cmp.Or(len(a.lines)-len(b.lines), words(a)-words(b), len(a.String())-len(b.String()))
}

// The controls that a sketch's file has.
const sketchControls = "control root map_create type=hash\ncontrol nobody btf_load => EPERM\n"

// file writes the sketch as a case file; expect says what follows => for each
// step, "" for nothing.
func (s *Sketch) file(about string, needs []cases.Need, expect func(step int) string) string {
	var actors, steps strings.Builder
	n := 0
	for _, l := range s.lines {
		if l[0] == "actor" {
			fmt.Fprintln(&actors, strings.Join(l, " "))
			continue
		}
		steps.WriteString(strings.Join(l, " "))
		if e := expect(n); e != "" {
			steps.WriteString(" => " + e)
		}
		steps.WriteString("\n")
		n++
	}
	var needed strings.Builder
	for _, need := range needs {
		if need.Kind == cases.NeedConfig {
			fmt.Fprintln(&needed, "needs config", need.Name)
		}
	}
	return about + "\nneeds token\n" + needed.String() + actors.String() + sketchControls + steps.String()
}

// controlSteps is how many steps the controls put before a sketch's own.
const controlSteps = 2

func unpinned(int) string { return "?" }

// group makes the scenario that a kernel plays to show whether it disagrees.
// It fails if a line refers to an actor or a descriptor that the reduction removed.
func (s *Sketch) group(ctx context.Context, name string, f *step.Facts, omit string) (*cases.Group, error) {
	g, _, err := s.played(ctx, name, f, omit)
	return g, err
}

// played returns the scenario and the expectation for each of its steps.
func (s *Sketch) played(ctx context.Context, name string, f *step.Facts, omit string) (*cases.Group, []sim.Expect,
	error) {
	g, err := parseGroup(ctx, name, s.file("about A reduction.", nil, unpinned))
	if err != nil {
		return nil, nil, err
	}
	play, err := (&cases.Player{Facts: f, Omit: omit}).Before(g.Cases[0])
	if err != nil {
		return nil, nil, err
	}
	cell, info := g.Cases[0].Steps()
	expected := make([]sim.Expect, len(cell))
	for i := range cell {
		if !play.Holds(&cell[i]) {
			return nil, nil, fmt.Errorf("%q passes a descriptor that does not exist", info[i].Text)
		}
		if expected[i], err = play.Step(&cell[i]); err != nil {
			return nil, nil, err
		}
	}
	return g, expected, nil
}

func parseGroup(ctx context.Context, name, text string) (*cases.Group, error) {
	f, err := cases.Parse(ctx, name+".txt", name, text)
	if err != nil {
		return nil, err
	}
	return f.Expand(ctx)
}

// File writes the sketch as a case file in which each step is pinned to what
// the oracle expects of a kernel, so that the file fails in the same way. The comment is at
// the top of the file.
func (s *Sketch) File(ctx context.Context, comment []string, f *step.Facts, omit string) (string, error) {
	g, expected, err := s.played(ctx, "shrunk", f, omit)
	if err != nil {
		return "", err
	}
	var expect []string
	var needs []cases.Need
	for i, st := range g.Cases[0].Cell() {
		e := &expected[i]
		needs = append(needs, cases.Missing(needs, cases.StepNeeds(&st))...)
		switch {
		case i < controlSteps:
			continue
		case !e.Verdict.Known:
			expect = append(expect, "?")
		case e.Verdict.Errno == uapi.OK:
			expect = append(expect, "")
		default:
			expect = append(expect, e.Verdict.Errno.String())
		}
	}
	head := ""
	for _, l := range comment {
		head += "# " + l + "\n"
	}
	return head + s.file("about "+s.Last(), needs, func(i int) string { return expect[i] }), nil
}

// Shrinker reduces a disagreement to a smallest case.
type Shrinker struct {
	Facts *step.Facts
	Omit  string // a rule that the oracle leaves out
	// Rounds is the most calls of Try, and Width the most scenarios in a call.
	Rounds, Width int
	// Try reports for each scenario of one case whether it still disagrees in the same way.
	Try func(round int, scenarios []*cases.Group) ([]bool, error)
}

// Shrink removes parts of a sketch as long as the rest still disagrees. Each round tries
// every reduction by one part and, up to Width, reductions by two, and keeps the smallest
// that disagrees. The first round also tries the whole sketch: repeats reports whether it
// disagrees when it runs alone. smallest reports whether no reduction was left when Shrink
// ended; otherwise it reached Rounds. The error is the context's cause if ctx ends first.
func (k *Shrinker) Shrink(ctx context.Context, s Sketch) (out Sketch, rounds int, repeats, smallest bool, err error) {
	out = s
	tried := map[string]bool{}
	for fine := false; rounds < k.Rounds; {
		fine = fine || len(out.lines) <= coarse
		list := k.candidates(ctx, &out, fine, tried)
		if rounds == 0 {
			list = append([]Sketch{s}, list...)
		}
		var groups []*cases.Group
		var playable []Sketch
		for _, c := range list {
			if g, err := c.group(ctx, fmt.Sprintf("shrink_%d_%d", rounds, len(groups)), k.Facts, k.Omit); err == nil {
				groups, playable = append(groups, g), append(playable, c)
			}
		}
		if ctx.Err() != nil {
			return out, rounds, repeats, false, context.Cause(ctx)
		}
		if len(groups) == 0 && fine {
			return out, rounds, repeats, true, nil
		}
		if len(groups) == 0 {
			fine = true
			continue
		}
		disagrees, err := k.Try(rounds, groups)
		if err != nil {
			return out, rounds, repeats, false, err
		}
		rounds++
		best := -1
		for i := range playable {
			if disagrees[i] && (best < 0 || smaller(&playable[i], &playable[best]) < 0) {
				best = i
			}
		}
		if best < 0 && (fine || !repeats) {
			return out, rounds, repeats, true, nil
		}
		if best < 0 {
			fine = true
			continue
		}
		repeats = true
		out = playable[best]
	}
	return out, rounds, repeats, false, nil
}

// candidates are the reductions that were not tried, the smallest first.
func (k *Shrinker) candidates(ctx context.Context, s *Sketch, fine bool, tried map[string]bool) []Sketch {
	var out []Sketch
	add := func(from *Sketch) (added []Sketch) {
		for _, c := range from.reductions(fine) {
			if ctx.Err() != nil {
				break
			}
			key := c.String()
			if tried[key] || smaller(&c, s) >= 0 {
				continue
			}
			if _, err := c.group(ctx, "reduction", k.Facts, k.Omit); err != nil {
				continue
			}
			tried[key] = true
			added = append(added, c)
		}
		slices.SortStableFunc(added, func(a, b Sketch) int { return smaller(&a, &b) })
		return added
	}
	out = add(s)
	for i, one := 0, out; i < len(one) && len(out) < k.Width; i++ {
		out = append(out, add(&one[i])...)
	}
	for _, c := range out[min(len(out), k.Width):] {
		delete(tried, c.String()) // more than Width; a later round may try it
	}
	return out[:min(len(out), k.Width)]
}

// coarse is the number of lines above which Shrink removes whole lines only, because it
// parses and plays each reduction before it tries it.
const coarse = 12

// reductions returns the sketches that one reduction can make. It removes lines first, and
// if fine is set also words.
func (s *Sketch) reductions(fine bool) []Sketch {
	out := []Sketch{s.slice(false), s.slice(true), s.related()}
	last := len(s.lines) - 1
	for n := last / 2; n > 1; n /= 2 {
		for i := 0; i+n <= last; i += n {
			out = append(out, s.without(i, i+n))
		}
	}
	for i := range last {
		out = append(out, s.without(i, i+1))
	}
	out = append(append(append(out, s.merged()...), s.closed()...), s.mounted()...)
	for i, l := range s.lines {
		if !fine {
			break
		}
		for j := 2; j < len(l); j++ {
			for _, words := range reduceWord(l, j) {
				c := Sketch{slices.Clone(s.lines)}
				c.lines[i] = words
				out = append(out, c)
			}
		}
	}
	return slices.DeleteFunc(out, func(c Sketch) bool { return len(c.lines) == 0 })
}

// names returns the actors and descriptors that a line refers to, and the one that it makes.
func names(l []string) (uses []string, makes string) {
	if l[0] == "actor" {
		return l[2:], l[1]
	}
	for _, w := range l {
		_, value, ok := strings.Cut(w, "=")
		if ok {
			w = value
		}
		uses = append(uses, w)
	}
	if n := len(l); n > 2 && l[n-2] == "->" {
		return uses, l[n-1]
	}
	return uses, ""
}

// without removes lines, and all lines that refer to something a removed line made. It
// returns an empty sketch if that removes the last line.
func (s *Sketch) without(from, to int) Sketch {
	gone := map[string]bool{}
	var c Sketch
	for j, l := range s.lines {
		uses, makes := names(l)
		if j >= from && j < to || slices.ContainsFunc(uses, func(n string) bool { return gone[n] && n != makes }) {
			if makes != "" {
				gone[makes] = true
			}
			continue
		}
		c.lines = append(c.lines, l)
	}
	if len(c.lines) == 0 || c.Last() != s.Last() {
		return Sketch{}
	}
	return c
}

// slice keeps the lines that the last step refers to, directly or not, and also the sysctl
// lines if sysctl is set.
func (s *Sketch) slice(sysctl bool) Sketch {
	wanted := map[string]bool{}
	var kept [][]string
	for i := len(s.lines) - 1; i >= 0; i-- {
		l := s.lines[i]
		uses, makes := names(l)
		passes := len(l) > 3 && l[1] == "send" && wanted[l[2]] && wanted[l[3]]
		if i != len(s.lines)-1 && !wanted[makes] && !passes && !(sysctl && l[1] == "sysctl") {
			continue
		}
		for _, u := range uses {
			wanted[u] = true
		}
		kept = append(kept, l)
	}
	slices.Reverse(kept)
	return Sketch{kept}
}

// closed replaces a descriptor of the last step with one that is not open, so that no line
// has to make it.
func (s *Sketch) closed() []Sketch {
	var out []Sketch
	last := len(s.lines) - 1
	for j, w := range s.lines[last] {
		key, value, ok := strings.Cut(w, "=")
		if !ok || !isName(value) || key == "inside" {
			continue
		}
		c := Sketch{slices.Clone(s.lines)}
		c.lines[last] = slices.Clone(c.lines[last])
		c.lines[last][j] = key + "=" + cases.ClosedName
		out = append(out, c.slice(true))
	}
	return out
}

// mounted replaces the steps that mount a bpffs one by one, from fsopen to the open of its
// mount, with one step bpffs.
func (s *Sketch) mounted() []Sketch {
	var out []Sketch
	for _, l := range s.lines {
		if len(l) < 4 || l[1] != "fsopen" {
			continue
		}
		for _, at := range s.lines {
			if len(at) > 4 && at[1] == "open" && s.maker(strings.TrimPrefix(at[2], "of="), "fsmount", l[len(l)-1]) {
				out = append(out, s.mountedAt(l, at))
			}
		}
	}
	return out
}

// maker reports whether a step op on a context made the descriptor that has this name.
func (s *Sketch) maker(name, op, context string) bool {
	return slices.ContainsFunc(s.lines, func(l []string) bool {
		return len(l) > 4 && l[1] == op && l[2] == context && l[len(l)-1] == name
	})
}

// mountedAt replaces what an fsopen began with one step bpffs in the place of an open.
// The actor that opened has the descriptor afterwards, too.
func (s *Sketch) mountedAt(fsopen, open []string) Sketch {
	context, mount, dir := fsopen[len(fsopen)-1], strings.TrimPrefix(open[2], "of="), open[len(open)-1]
	made := []string{fsopen[0], "bpffs"}
	var c Sketch
	for _, l := range s.lines {
		switch {
		case &l[0] == &open[0]:
			c.lines = append(c.lines, append(made, "->", dir))
			if open[0] != fsopen[0] {
				c.lines = append(c.lines, []string{fsopen[0], "send", dir, open[0]})
			}
		case len(l) > 2 && l[1] == "fsconfig" && l[2] == context:
			made = append(made, l[3:]...)
		case &l[0] == &fsopen[0], len(l) > 2 && (l[2] == context || l[2] == mount):
		case len(l) == 4 && l[1] == "send" && l[2] == dir && l[3] == fsopen[0]:
		default:
			c.lines = append(c.lines, l)
		}
	}
	return c
}

// related keeps more than slice: also the lines that pass, mount or copy something the last
// step refers to, and the BPF-LSM programs on its actors.
func (s *Sketch) related() Sketch {
	wanted := map[string]bool{}
	var kept [][]string
	for i := len(s.lines) - 1; i >= 0; i-- {
		l := s.lines[i]
		uses, makes := names(l)
		about := slices.DeleteFunc(append(slices.Clone(uses), makes), func(n string) bool {
			return cases.IsPredefined(n) || n == l[0] && l[0] != "actor"
		})
		if i != len(s.lines)-1 && !slices.ContainsFunc(about, func(n string) bool { return wanted[n] }) && l[1] != "sysctl" {
			continue
		}
		for _, u := range append(uses, makes) {
			wanted[u] = wanted[u] || isName(u)
		}
		kept = append(kept, l)
	}
	slices.Reverse(kept)
	return Sketch{kept}
}

// isName reports whether a word of a step is a name or a place.
func isName(word string) bool {
	if strings.HasPrefix(word, "/") {
		return true
	}
	return word != "" && word[0] >= 'a' && word[0] <= 'z' && word[len(word)-1] >= '0' && word[len(word)-1] <= '9'
}

// merged returns sketches in which another actor does the steps of one, with the same capabilities.
func (s *Sketch) merged() []Sketch {
	var actors []string
	caps := map[string]string{"root": "all", "nobody": "none"}
	for _, l := range s.lines {
		if l[0] == "actor" {
			actors = append(actors, l[1])
			caps[l[1]] = "all"
			if l[2] == "init" {
				caps[l[1]] = "none"
			}
			if v, ok := strings.CutPrefix(l[len(l)-1], "caps="); ok {
				caps[l[1]] = v
			}
		}
	}
	var out []Sketch
	for _, from := range actors {
		for _, to := range append(slices.Clone(actors), "root", "nobody") {
			if to != from {
				out = append(out, s.merge(from, to, caps))
			}
		}
	}
	return out
}

func (s *Sketch) merge(from, to string, caps map[string]string) Sketch {
	var c Sketch
	for _, l := range s.lines {
		if l[0] == "actor" && l[1] == from || l[1] == "fork" && l[2] == from {
			continue
		}
		n := slices.Clone(l)
		for i := range n {
			if n[i] == from && !(l[0] == "actor" && i < 2) {
				n[i] = to
			}
		}
		if len(n) == 4 && n[1] == "send" && n[0] == n[3] {
			continue // the receiver already has the descriptor
		}
		if l[0] == from && caps[from] != caps[to] && isCall(l[1]) && !slices.ContainsFunc(l,
			func(w string) bool { return strings.HasPrefix(w, "caps=") }) {
			n = slices.Insert(n, 2, "caps="+caps[from])
		}
		c.lines = append(c.lines, n)
	}
	return c
}
