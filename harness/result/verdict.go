package result

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/harness/vm"
)

// Exit codes of a run.
const (
	ExitOK        = 0
	ExitDiffers   = 1 // a case failed, a splat, a panic, a hang
	ExitUsage     = 2 // also an expectation that contradicts both the kernel and the rules
	ExitNoVerdict = 3 // infra, unbooted, lost, broken, interrupted, a wrong rule, nothing decided
)

// worstFirst orders the exit codes: a kernel that differs and a mistake in a case file are
// certain, even if other cases have no verdict.
var worstFirst = []int{ExitDiffers, ExitUsage, ExitNoVerdict, ExitOK}

// WorstCode returns the exit code that takes precedence over the others.
func WorstCode(codes ...int) int {
	for _, c := range worstFirst {
		if slices.Contains(codes, c) {
			return c
		}
	}
	return ExitOK
}

// ExitCode returns the exit code of the command for a run.
func (r *Run) ExitCode() int {
	code := ExitOK
	if r.Interrupted || len(r.Missing) > 0 || len(r.Damage) > 0 || len(r.Kernels) == 0 && !r.Idle() {
		code = ExitNoVerdict
	}
	for _, k := range r.Kernels {
		code = WorstCode(code, r.Verdict(k))
	}
	return code
}

// RecordCode is the exit code of --exit record: ExitOK if each kernel was tried and each case has a record, whatever it
// says, and else ExitNoVerdict.
func (r *Run) RecordCode() int {
	if r.Interrupted || len(r.Gaps()) > 0 || len(r.Damage) > 0 || len(r.Kernels) == 0 && !r.Idle() {
		return ExitNoVerdict
	}
	for _, k := range r.Kernels {
		if k.Error != "" {
			return ExitNoVerdict
		}
	}
	return ExitOK
}

// Verdict returns the exit code for one kernel of the run.
func (r *Run) Verdict(k *KernelRun) int {
	code := WorstCode(k.machines(), k.judged())
	if k.Error != "" || k.Len() == 0 || k.Absent > 0 || r.Undecided(k) != "" {
		code = WorstCode(code, ExitNoVerdict)
	}
	return code
}

// machines is the exit code for the fates of the kernel's machines.
func (k *KernelRun) machines() int {
	code := ExitOK
	for _, b := range k.Boots {
		if b.Known != "" {
			continue
		}
		switch b.Fate {
		case vm.Clean:
		case vm.Tainted, vm.Panicked, vm.Hung:
			return ExitDiffers
		case vm.Lost, vm.Unbooted, vm.Infra:
			code = ExitNoVerdict
		}
	}
	return code
}

// judged is the exit code for the kernel's cases.
func (k *KernelRun) judged() int {
	code := ExitOK
	for c := range k.distinct() {
		code = WorstCode(code, c.code())
	}
	return code
}

// code is the exit code for one case.
func (r *CaseResult) code() int {
	switch {
	case r.Status == Interrupted:
		return ExitNoVerdict
	case r.Status != Fail && r.Status != Broken:
		return ExitOK
	case r.Fault == ExpectationWrong:
		return ExitUsage
	case r.Fault == OracleWrong || r.Status == Broken:
		return ExitNoVerdict
	}
	return ExitDiffers
}

// Undecided says why a kernel decided nothing: all selected cases are skipped. It returns ""
// if something was decided, if AllowEmpty is set, and for a part of a run on a kernel
// without tokens, whose own checks can be in another part.
func (r *Run) Undecided(k *KernelRun) string {
	skipped, denied := r.undecided(k)
	switch {
	case skipped == 0 || r.AllowEmpty:
		return ""
	case r.Part != nil && k.Facts != nil && !k.Facts.Token && denied < skipped:
		return ""
	}
	why := fmt.Sprintf("nothing was decided: all %d cases that were selected are skipped", skipped)
	if skipped == 1 {
		why = "nothing was decided: the one case that was selected is skipped"
	}
	if denied > 0 {
		why += fmt.Sprintf(", %d by a list", denied)
	}
	return why
}

// undecided counts the selected cases if all of them are skipped, and those of them that a
// list denies.
func (r *Run) undecided(k *KernelRun) (skipped, denied int) {
	asked := r.Asked()
	for c := range k.Where(func(c *CaseResult) bool { return c.Status != Skip }) {
		if asked(c.ID) {
			return 0, 0
		}
	}
	for c := range k.Those(Skip) {
		if !asked(c.ID) {
			continue
		}
		skipped++
		if deniedBy(r.Lists, k, c.ID) != nil {
			denied++
		}
	}
	return skipped, denied
}

// Asked returns a function that reports whether a case was selected, and is not only there
// as the control of a selected case.
func (r *Run) Asked() func(id string) bool {
	of := func(e ListEntry) bool { return e.Kind == AllowList }
	limited := slices.ContainsFunc(r.Lists, of)
	allowed := func(id string) bool {
		return slices.ContainsFunc(r.Lists, func(e ListEntry) bool { return of(e) && cases.Match(e.Pattern, id) })
	}
	patterns, all := r.patterns()
	selected := func(id string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return cases.Match(p, id) })
	}
	var matching []*regexp.Regexp
	for _, text := range r.Matching {
		if re, err := regexp.Compile(text); err == nil { // the run compiled it before
			matching = append(matching, re)
		}
	}
	return func(id string) bool {
		return (all || selected(id)) && (!limited || allowed(id)) &&
			(matching == nil || slices.ContainsFunc(matching, func(re *regexp.Regexp) bool { return re.MatchString(id) }))
	}
}

// patterns returns the patterns of the selection, with the groups of the user's files in
// place of the files. all says that the selection leaves nothing out, or that it is unknown
// what it leaves out.
func (r *Run) patterns() (list []string, all bool) {
	if len(r.Selection) == 0 || r.Seed != 0 {
		return nil, true
	}
	for _, name := range r.Selection {
		group := r.groupOf(name)
		switch {
		case group != "":
		case strings.HasSuffix(name, ".txt") || name == stdin:
			return nil, true
		default:
			list = append(list, name)
			continue
		}
		if !slices.ContainsFunc(r.Selection, func(p string) bool { return strings.HasPrefix(p, group+"/") }) {
			list = append(list, group)
		}
	}
	return list, false
}

// stdin is the name in a selection of a case file that was read from the standard input. The run
// has a copy of it.
const stdin = "-"

// groupOf is the group of one of the user's files; "" if the record has none.
func (r *Run) groupOf(file string) string {
	for group, name := range r.Files {
		if name == file || file == stdin && filepath.Base(name) == "stdin.txt" {
			return group
		}
	}
	return ""
}
