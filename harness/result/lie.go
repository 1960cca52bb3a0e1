package result

import (
	"fmt"
	"slices"
	"strings"
)

// lieRule is the flag that leaves out a rule of the oracle: the answers of such a run are real, its verdicts are not.
const lieRule = "--lie-rule"

// lieFlags are the hidden flags that damage a run on purpose, as scripts/canary.sh does.
var lieFlags = []string{lieRule, "--lie-corrupt", "--lie-channel"}

// Lies returns the flags with which the run was damaged on purpose.
func (r *Run) Lies() string {
	var out []string
	for i, f := range r.Flags {
		if slices.Contains(lieFlags, f) && i+1 < len(r.Flags) {
			out = append(out, f+" "+r.Flags[i+1])
		}
	}
	return strings.Join(out, " ")
}

// Damaged says that the run was damaged on purpose, "" if it was not.
func (r *Run) Damaged() string {
	lies := r.Lies()
	if lies == "" {
		return ""
	}
	return fmt.Sprintf("not a real run: %s damages it on purpose", lies)
}

// withoutRule returns the flags without the one that left out a rule.
func withoutRule(flags []string) []string {
	i := slices.Index(flags, lieRule)
	if i < 0 {
		return flags
	}
	return slices.Delete(slices.Clone(flags), i, min(i+2, len(flags)))
}
