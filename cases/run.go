package cases

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokentest/cases/step"
)

// maxCode is the greatest exit status.
const maxCode = 255

// checkRun refuses an exit status that no program has, and arguments whose 0 would mean 1.
func checkRun(s *step.Step) error {
	for _, a := range s.Args {
		switch n, err := strconv.ParseUint(a.Str, 10, 16); {
		case a.Key == step.KeyCode && a.Str != step.AnyCode && (err != nil || n > maxCode):
			return fmt.Errorf("code=%s: want an exit status from 0 to %d, or %s", a.Str, maxCode, step.AnyCode)
		case a.Key == step.KeyNoNewPrivs && a.Num != 1:
			return fmt.Errorf("no_new_privs=%d: must be 1 or omitted", a.Num)
		}
	}
	return nil
}

// runs are the programs of this host that steps run.
func runs(known []string, steps []step.Step) []string {
	for i := range steps {
		for _, a := range steps[i].Args {
			name, _, _ := strings.Cut(a.Str, " ")
			if a.Key == step.KeyCommand && name != step.OwnProgram && !slices.Contains(known, name) {
				known = append(known, name)
			}
		}
	}
	return known
}
