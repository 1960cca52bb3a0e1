package guest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/harness/wire"
)

// isCase reports whether this process is to run a case by hand.
func isCase() bool { return filepath.Base(os.Args[0]) == wire.CaseCommand }

// runCases runs the named cases and prints the result of each step. Only the host knows
// the expected results.
func runCases(names []string, out io.Writer) error {
	if len(names) == 0 {
		return listCases(out)
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(wire.CaseDir, name))
		if err != nil {
			return fmt.Errorf("read the case (\"runcase\" alone lists them): %w", err)
		}
		var c wire.ByHand
		if err := json.Unmarshal(text, &c); err != nil {
			return fmt.Errorf("read the case %s: %w", name, err)
		}
		if err := runCase(&c, out); err != nil {
			return fmt.Errorf("run the case %s: %w", name, err)
		}
	}
	return nil
}

func listCases(out io.Writer) error {
	return filepath.WalkDir(wire.CaseDir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(wire.CaseDir, path) // it is below
			fmt.Fprintln(out, rel)
		}
		return err
	})
}

// runCase plays a case as the agent does.
func runCase(c *wire.ByHand, out io.Writer) error {
	p, err := wire.DecodeProgram(c.World)
	if err != nil {
		return err
	}
	cells, err := wire.DecodeCells(c.Cells)
	if err != nil {
		return err
	}
	g := newAgent(struct{ io.ReadWriter }{})
	defer g.dismiss()
	seen, err := g.stage(p)
	if err != nil {
		return err
	}
	say(out, c.Setup, seen)
	for _, cell := range cells.Cells {
		seen, err := g.play(cell)
		if err != nil {
			return err
		}
		say(out, c.Steps, seen)
	}
	return nil
}

// say writes a line for each step.
func say(out io.Writer, texts []string, seen []step.Observation) {
	for i, o := range seen {
		text := fmt.Sprintf("step %d", i)
		if i < len(texts) {
			text = texts[i]
		}
		line := "ok"
		if o.Errno != 0 {
			line = fmt.Sprintf("%s (%s)", o.Errno, unix.Errno(o.Errno))
		}
		if o.Proof.Fails() {
			line += ", but with " + o.Proof.Fault()
		}
		if len(o.Values) > 0 {
			line += fmt.Sprintf(" %#x", o.Values)
		}
		if o.Text != "" {
			line += " " + o.Text
		}
		fmt.Fprintf(out, "%s\n  => %s\n", text, line)
	}
}
