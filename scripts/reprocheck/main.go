// Command reprocheck compares what the programs of tokentest repro printed in a machine with what the guest
// observed in a run of the same cases: the errno of each step.
//
// Only scripts/repro.sh uses it. Start with check.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/repro"
	"tokentest/harness/result"
	"tokentest/harness/runs"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "reprocheck:", err)
		os.Exit(1)
	}
}

// run compares the run of a directory with what programs printed.
func run(args []string, in io.Reader, out io.Writer) error {
	names := len(args) == 2 && args[0] == "-names"
	if len(args) != 1 && !names {
		return fmt.Errorf("usage: reprocheck RUN < OUTPUT, or reprocheck -names RUN")
	}
	corpus, err := cases.Load(context.Background())
	if err != nil {
		return err
	}
	r, err := runs.Load(&result.Loader{Worlds: true}, args[len(args)-1])
	if err != nil {
		return err
	}
	if len(r.Kernels) != 1 {
		return fmt.Errorf("%s: want a run of one kernel", args[len(args)-1])
	}
	if names {
		for c := range r.Kernels[0].All() {
			if len(c.Steps) > 0 {
				fmt.Fprintln(out, c.ID)
			}
		}
		return nil
	}
	return check(observations(r.Kernels[0], corpus), in, out)
}

// observations are the errnos of the steps that a program has, by case.
func observations(kernel *result.KernelRun, corpus *cases.Corpus) map[string][]int {
	worlds := map[string][]step.Observation{}
	for _, w := range kernel.Worlds {
		worlds[fmt.Sprint(w.Group, w.Index)] = w.Seen
	}
	out := map[string][]int{}
	for c := range kernel.All() {
		k := corpus.Case(c.ID)
		if k == nil || len(c.Steps) == 0 {
			continue
		}
		setup, cell := repro.Kept(k)
		world := worlds[fmt.Sprint(k.World.Group.Name, k.World.Index)]
		for _, i := range setup {
			if i < len(world) {
				out[c.ID] = append(out[c.ID], int(world[i].Errno))
			}
		}
		for _, i := range cell {
			out[c.ID] = append(out[c.ID], int(c.Steps[i].Got.Errno))
		}
	}
	return out
}

// check reads what programs printed: a line "# case NAME" before each, and "# exit CODE" after it.
func check(seen map[string][]int, in io.Reader, out io.Writer) error {
	var id string
	var got []int
	programs, steps, differ, unasked := 0, 0, 0, 0
	complain := func(format string, args ...any) {
		differ++
		fmt.Fprintf(out, id+": "+format+"\n", args...)
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "# case "); ok {
			id, got, programs = name, nil, programs+1
		}
		if _, rest, ok := strings.Cut(line, " # got "); ok && strings.Contains(line, "ok ") {
			var n int
			fmt.Sscanf(rest, "%d,", &n)
			got = append(got, n)
		}
		if strings.HasPrefix(line, "1..0 # SKIP") || strings.HasPrefix(line, "Bail out!") {
			fmt.Fprintf(out, "%s: %s\n", id, line)
		}
		code, ok := strings.CutPrefix(line, "# exit ")
		switch want := seen[id]; {
		case !ok:
		case code == "4":
			unasked++
		case code != "0":
			complain("exit %s, the kernel answered %v, the run has %v", code, got, want)
		case fmt.Sprint(got) != fmt.Sprint(want):
			complain("the kernel answered %v, the run has %v", got, want)
		default:
			steps += len(got)
		}
	}
	fmt.Fprintf(out, "%d programs, %d steps as in the run, %d programs differ, %d could not be asked\n",
		programs, steps, differ, unasked)
	if err := lines.Err(); err != nil {
		return err
	}
	if differ+unasked > 0 || programs == 0 {
		return fmt.Errorf("the programs and the run do not agree")
	}
	return nil
}
