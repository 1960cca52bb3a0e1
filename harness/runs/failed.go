package runs

import (
	"maps"
	"slices"
	"strings"

	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// Unexpected lists the cases of a run that were not as expected on some kernel, in the order of
// the records: those that failed, were broken, or were interrupted, and those that a panic, a
// hang or a report in the kernel log is blamed on.
func Unexpected(r *result.Run) []string {
	var out []string
	seen := map[string]bool{}
	for _, k := range r.Kernels {
		for _, id := range UnexpectedOn(k) {
			if !seen[id] {
				seen[id] = true
				out = append(out, id)
			}
		}
	}
	return out
}

// UnexpectedOn is Unexpected for one kernel of a run.
func UnexpectedOn(k *result.KernelRun) []string {
	var out []string
	for c := range k.Where(func(c *result.CaseResult) bool { return wrong(c.Status) }) {
		out = append(out, c.ID)
	}
	for _, id := range blamed(k) {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// blamed lists the cases that a fault of a machine is blamed on, if the kernel ran them.
func blamed(k *result.KernelRun) []string {
	names := map[string]bool{}
	for i := range k.Boots {
		b := &k.Boots[i]
		if b.Known != "" {
			continue
		}
		if b.Fate == vm.Panicked || b.Fate == vm.Hung {
			names[b.Blamed.Case] = true
		}
		for j := range b.Findings {
			if f := &b.Findings[j]; f.Counts() {
				names[f.Case] = true
			}
		}
	}
	var out []string
	if len(names) == 0 {
		return nil
	}
	for c := range k.All() {
		if names[c.ID] {
			out = append(out, c.ID)
		}
	}
	return out
}

func wrong(s result.Status) bool {
	return s == result.Fail || s == result.Broken || s == result.Interrupted
}

// Failed is what of a run was not as expected, for a run of just that.
type Failed struct {
	Kernels []string            // that were not as expected
	Args    []string            // groups, or what the run selected, and the user's files
	Full    bool                // the run was one of all cases
	Flags   []string            // with which the kernels booted and the cases were judged
	cases   map[string][]string // by kernel; none means all that the run selected
}

// FindFailed returns what of a run was not as expected, or nil if all was.
func FindFailed(r *result.Run) *Failed {
	f := &Failed{cases: map[string][]string{}}
	whole := false
	for _, k := range r.Kernels {
		if r.Verdict(k) == result.ExitOK {
			continue
		}
		f.Kernels = append(f.Kernels, k.Ref)
		f.cases[k.Ref] = UnexpectedOn(k)
		whole = whole || len(f.cases[k.Ref]) == 0
	}
	if len(f.Kernels) == 0 {
		return nil
	}
	f.Flags = flagsOf(r)
	if whole {
		f.Args, f.Full = r.Selection, slices.Contains(r.Args, "--full")
		return f
	}
	groups := map[string]bool{}
	for _, list := range f.cases {
		for _, id := range list {
			group, _, _ := strings.Cut(id, "/")
			groups[group] = true
		}
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		if file, own := r.Files[group]; own {
			group = file
		}
		f.Args = append(f.Args, group)
	}
	return f
}

// flagsOf returns the flags of a run without which a kernel boots, or a case is judged, in another way.
func flagsOf(r *result.Run) []string {
	flags := slices.Clone(r.Flags)
	for _, k := range r.Kernels {
		for _, arg := range k.Append {
			flags = append(flags, "--append", arg)
		}
		if len(k.Append) > 0 {
			break // all kernels of a run get the same
		}
	}
	var files []string
	for i := range r.Lists {
		if e := &r.Lists[i]; e.Kind == result.ExpectList && !slices.Contains(files, e.File()) {
			files = append(files, e.File())
			flags = append(flags, e.Kind.Flag(), e.File())
		}
	}
	return flags
}

// On returns the cases to run on each of some kernels: those that were not as expected there, or
// on a kernel that the run did not have, those that were not as expected anywhere. A kernel that
// is left out runs everything.
func (f *Failed) On(kernels []string) map[string][]string {
	var all []string
	for _, list := range f.cases {
		all = append(all, list...)
	}
	slices.Sort(all)
	out := map[string][]string{}
	for _, k := range kernels {
		list, had := f.cases[k]
		if !had {
			list = slices.Compact(slices.Clone(all))
		}
		if len(list) > 0 {
			out[k] = list
		}
	}
	return out
}
