package cover

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Write prints the report for people. missed adds the lines that executed functions did not
// execute, and the functions that were not executed.
func (r *Report) Write(w io.Writer, missed bool) error {
	fmt.Fprintf(w, "%s (%s): what %d cases execute\n\n", r.Kernel, r.Release, r.Cases)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "source file\tfunctions\tlines\tsides of branches\n")
	for _, u := range append(r.Units, r.all()) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", u.Unit, u.Functions, u.Lines, u.Sides)
	}
	t.Flush()
	r.writeGates(w)
	if missed {
		r.writeMissed(w)
	}
	_, err := fmt.Fprintln(w)
	return err
}

// all counts all units together.
func (r *Report) all() *UnitReport {
	all := &UnitReport{Unit: "all"}
	for _, u := range r.Units {
		all.Functions.join(u.Functions)
		all.Lines.join(u.Lines)
		all.Sides.join(u.Sides)
	}
	return all
}

// both counts the gates that were executed both ways.
func (r *Report) both() *Count {
	both := &Count{}
	for _, g := range r.Gates {
		both.add(g.Both())
	}
	return both
}

func (c *Count) join(d Count) {
	c.Executed += d.Executed
	c.All += d.All
}

func (c Count) String() string {
	if c.All == 0 {
		return "none"
	}
	return fmt.Sprintf("%d of %d (%d %%)", c.Executed, c.All, 100*c.Executed/c.All)
}

// How a gate was executed.
const (
	bothWays    = "both ways"
	neverRun    = "never"
	onlyAllowed = "never refused"
	onlyRefused = "never allowed"
	noSide      = "executed, but neither side of its branch"
)

// How says how the gate was executed.
func (g *Gate) How() string {
	switch {
	case !g.Executed:
		return neverRun
	case g.Both():
		return bothWays
	case g.Allowed:
		return onlyAllowed
	case g.Refused:
		return onlyRefused
	}
	return noSide
}

func (r *Report) writeGates(w io.Writer) {
	both := r.both()
	fmt.Fprintf(w, "\npermission checks executed both ways: %s\n", both)
	if judged := both.All - both.Executed - r.Unjudged(); judged > 0 {
		fmt.Fprintf(w, "not, with a reason: %d; without one: %d\n", judged, r.Unjudged())
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, how := range []string{neverRun, onlyAllowed, onlyRefused, noSide} {
		for _, g := range r.Gates {
			if g.How() == how {
				fmt.Fprintf(t, "%s\t%s:%d\t%s\t%s", how, g.File, g.Line, g.where(), g.Asks)
				if g.Reason != "" {
					fmt.Fprintf(t, "\t%s", g.Reason)
				}
				fmt.Fprintln(t)
			}
		}
	}
	t.Flush()
}

// where names the function, and the one that was inlined into it.
func (g *Gate) where() string {
	if g.In == "" {
		return g.Func
	}
	return g.Func + " (" + g.In + ")"
}

func (r *Report) writeMissed(w io.Writer) {
	for _, u := range r.Units {
		fmt.Fprintf(w, "\n%s\n", u.Unit)
		for _, f := range u.Funcs {
			switch {
			case !f.Executed:
				fmt.Fprintf(w, "  %s: not executed\n", f.Func)
			case len(f.Missed) > 0:
				fmt.Fprintf(w, "  %s: %s\n", f.Func, f.missed())
			}
		}
	}
}

// missed lists the lines, those of one file together.
func (f *FuncReport) missed() (text string) {
	last := ""
	for _, at := range f.Missed {
		file, line := split(at)
		switch {
		case file == last:
			text += ", " + line
		case last == "":
			text = at
		default:
			text += "; " + at
		}
		last = file
	}
	return text
}
