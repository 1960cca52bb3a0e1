package guest

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

const kallsyms = "/proc/kallsyms"

// symbol looks for the symbol of a program of a name, bpf_prog_TAG_NAME, once
// every actor has done what it is to do before.
func (g *agent) symbol(_ *player, s *step.Step) (step.Observation, error) {
	if err := g.settle(nil); err != nil {
		return step.Observation{}, err
	}
	return findProgram(kallsyms, str(s, step.KeyName))
}

// findProgram looks for the program in a file such as /proc/kallsyms. It answers ENOENT
// if there is none.
func findProgram(file, name string) (step.Observation, error) {
	f, err := os.Open(file)
	if err != nil {
		return step.Observation{}, fmt.Errorf("look for a symbol: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if isProgram(lines.Text(), name) {
			return step.Observation{}, nil
		}
	}
	if err := lines.Err(); err != nil {
		return step.Observation{}, fmt.Errorf("look for a symbol: %w", err)
	}
	return step.Observation{Errno: uapi.Errno(unix.ENOENT)}, nil
}

// isProgram reports whether a line of /proc/kallsyms, "ADDRESS t SYMBOL [bpf]",
// is of a program of a name.
func isProgram(line, name string) bool {
	rest, ok := strings.CutSuffix(line, "_"+name+"\t[bpf]")
	return ok && strings.Contains(rest, " bpf_prog_")
}
