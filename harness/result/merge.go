package result

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"tokentest/cases/uapi"
	"tokentest/harness/shell"
)

// Merge merges the parts of a split plan, at least one, into a run. A case that several parts
// ran, as a control, counts once, with its worst result. Whole runs of different kernels are
// put side by side; it is an error if two of them have a kernel in common.
func Merge(parts []*Run) (*Run, error) {
	if err := mergeable(parts); err != nil {
		return nil, err
	}
	whole := *parts[0]
	whole.Kernels, whole.Part, whole.Missing, whole.Records = nil, nil, missing(parts), nil
	whole.Damage, whole.MoreDamage, whole.Unverified, whole.Resume = nil, 0, false, nil
	for n, part := range parts {
		if n > 0 && part.Tool != "" && whole.Tool != "" && part.Tool != whole.Tool {
			return nil, fmt.Errorf("merge runs: another tokentest made %s than %s: their cases may differ",
				part.Dir, whole.Dir)
		}
		if part.Interrupted && !whole.Interrupted {
			whole.Interrupted, whole.Stopped, whole.StopError = true, part.Stopped, part.StopError
		}
		whole.Damage = append(whole.Damage, part.Damage...)
		whole.MoreDamage += part.MoreDamage
		whole.Unverified = whole.Unverified || part.Unverified
		whole.Resume = append(whole.Resume, part.Resume...)
		whole.AllowEmpty = whole.AllowEmpty && part.AllowEmpty
		if part.Start.Before(whole.Start) {
			whole.Start = part.Start
		}
		if part.End.After(whole.End) {
			whole.End = part.End
		}
	}
	order, by := (&Side{Runs: parts}).parts()
	pool := newPool()
	for _, ref := range order {
		k, err := merged(by[ref], whole.Dir)
		if err != nil {
			return nil, err
		}
		if by[ref][0].packed != nil { // one list at a time: there can be a million cases
			k.pack(pool)
		}
		whole.Kernels = append(whole.Kernels, k)
	}
	return &whole, nil
}

// mergeable refuses runs that would be added up although they are not parts of one plan.
func mergeable(parts []*Run) error {
	for i, r := range parts {
		for _, other := range parts[:i] {
			switch {
			case r.Dir != "" && r.Dir == other.Dir:
				return fmt.Errorf("merge runs: %s is given twice", r.Dir)
			case r.Part != nil && other.Part != nil:
				continue
			}
			for _, k := range r.Kernels {
				if slices.ContainsFunc(other.Kernels, func(o *KernelRun) bool { return o.Ref == k.Ref }) {
					return fmt.Errorf("merge runs: %s and %s are no parts of one run (--shard), and both have %s: "+
						"tokentest compare %s %s shows what changed", other.Dir, r.Dir, k.Ref, shell.Quote(other.Dir),
						shell.Quote(r.Dir))
				}
			}
		}
	}
	return nil
}

// merged merges the parts of a kernel's run.
func merged(parts []part, dir string) (*KernelRun, error) {
	k := *parts[0].KernelRun
	k.Rules = maps.Clone(k.Rules)
	k.Boots, k.Cases, k.packed, k.Worlds, k.Decide, k.Absent = nil, nil, nil, nil, 0, 0
	at, accels := map[string]int{}, []string{}
	for _, p := range parts {
		if err := k.add(p, at, dir); err != nil {
			return nil, err
		}
		if p.AccelName != "" && !slices.Contains(accels, p.AccelName) {
			accels = append(accels, p.AccelName)
		}
	}
	if len(accels) > 1 { // the reason for each is in its part
		k.AccelName = strings.Join(accels, ", ")
		k.Accel = k.AccelName
	}
	k.Planned = k.Len() + k.Absent
	return &k, nil
}

// add adds one part of a kernel's run.
func (k *KernelRun) add(p part, at map[string]int, dir string) error {
	part, from := p.KernelRun, p.run.Dir
	if part.Digest != "" && k.Digest != "" && part.Digest != k.Digest {
		return fmt.Errorf("merge runs: %s is another image in %s than in %s", k.Ref, from, dir)
	}
	if k.Error == "" {
		k.Error = part.Error
	}
	if part.Error == "" && k.Facts == nil {
		k.Facts, k.Release, k.Digest, k.Source = part.Facts, part.Release, part.Digest, part.Source
		k.Accel, k.AccelName = part.Accel, part.AccelName
	}
	boots := len(k.Boots)
	for _, b := range part.Boots {
		b.Where = p.run.Host.where(part.AccelName)
		if rel, err := filepath.Rel(dir, filepath.Join(from, b.Dir)); err == nil {
			b.Dir = rel
		}
		k.Boots = append(k.Boots, b)
	}
	k.Decide += part.Decide
	k.Absent += part.Absent
	k.Worlds = append(k.Worlds, part.Worlds...)
	if k.Rules == nil {
		k.Rules = maps.Clone(part.Rules)
	} else {
		maps.Copy(k.Rules, part.Rules)
	}
	for _, d := range part.Drift {
		if !slices.Contains(k.Drift, d) {
			k.Drift = append(k.Drift, d)
		}
	}
	for c := range part.All() {
		c := *c
		if c.Boot >= 0 {
			c.Boot += boots
		}
		i, twice := at[c.ID]
		if !twice {
			at[c.ID] = len(k.Cases)
			k.Cases = append(k.Cases, c)
		} else if severity(&c) < severity(&k.Cases[i]) {
			k.Cases[i] = c
		}
	}
	return nil
}

// where is where a machine of this host ran; nil if the record does not name the host.
func (h *Host) where(accel string) *Where {
	if h == nil || h.Name == "" {
		return nil
	}
	return &Where{Host: h.Name, Job: h.Job, Accel: accel}
}

// Decision is a kernel's answer to a case: for each step a word, the errno and the numbers
// that were read back.
type Decision []string

// String joins the steps with commas.
func (d Decision) String() string { return strings.Join(d, ",") }

// StepAnswer is the word for a step with that errno and those numbers.
func StepAnswer(errno uapi.Errno, values []uint64) string {
	if len(values) == 0 {
		return errno.String()
	}
	return fmt.Sprintf("%s%#x", errno, values)
}

// Decision returns the kernel's answer to the case; nil if there is none.
func (r *CaseResult) Decision() Decision {
	var d Decision
	for i := range r.Steps {
		d = append(d, StepAnswer(r.Steps[i].Got.Errno, r.Steps[i].Got.Values))
	}
	return d
}

// mostSteps is how many steps of a decision are listed.
const mostSteps = 3

// Differing says where decisions of one case differ, in a text for each: "step 26 EPERM".
// Decisions of one step, or of different lengths, are written completely.
func Differing(decisions []Decision) []string {
	out, n := make([]string, len(decisions)), 0
	for _, d := range decisions {
		if len(d) != len(decisions[0]) || len(d) < 2 {
			return whole(decisions)
		}
	}
	for step := range decisions[0] {
		if !slices.ContainsFunc(decisions, func(d Decision) bool { return d[step] != decisions[0][step] }) {
			continue
		}
		if n++; n > mostSteps {
			continue
		}
		for i := range out {
			if n > 1 {
				out[i] += ", "
			}
			out[i] += fmt.Sprintf("step %d %s", step+1, decisions[i][step])
		}
	}
	for i := range out {
		if n > mostSteps {
			out[i] += fmt.Sprintf(" and %d more", n-mostSteps)
		}
	}
	if n == 0 {
		return whole(decisions)
	}
	return out
}

func whole(decisions []Decision) []string {
	out := make([]string, len(decisions))
	for i, d := range decisions {
		out[i] = d.String()
	}
	return out
}
