package result

import (
	"fmt"
	"slices"
	"strings"
)

// otherDifferences lists differences between the sides besides the kernels' answers, which
// may cause changes.
func otherDifferences(base, new *Side, pairs []*Pair) []string {
	var out []string
	differ := func(what string, of func(*Run) string, so string) {
		if a, b := values(base, of), values(new, of); a != b && a != "" && b != "" {
			out = append(out, fmt.Sprintf("%s: %s, then %s; %s", what, a, b, so))
		}
	}
	differ("tokentest", func(r *Run) string { return short(r.Tool) }, "cases and expectations may differ")
	differ("accelerator", func(r *Run) string { return r.accels() }, "timing may differ")
	for _, p := range pairs {
		if p.Base == nil || p.New == nil {
			continue
		}
		if p.Base.Arch != "" && p.New.Arch != "" && p.Base.Ref == p.New.Ref && p.Base.Arch != p.New.Arch {
			out = append(out, fmt.Sprintf("%s: an image of another architecture, %s, then %s",
				p.New.Ref, p.Base.Arch, p.New.Arch))
			continue
		}
		same := p.Base.Ref == p.New.Ref && p.Base.Release == p.New.Release
		if same && p.Base.Digest != "" && p.Base.Digest != p.New.Digest {
			out = append(out, fmt.Sprintf("%s: another image of the same release, %s, then %s",
				p.New.Ref, short(p.Base.Digest), short(p.New.Digest)))
		}
	}
	return out
}

// values lists the values of a side's runs, each once; "" if none is known, as in a baseline.
func values(s *Side, of func(*Run) string) string {
	var list []string
	for _, r := range s.Runs {
		if v := of(r); v != "" && !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	slices.Sort(list)
	return strings.Join(list, " and ")
}

// accels names the accelerators of a run.
func (r *Run) accels() string {
	var list []string
	for _, k := range r.Kernels {
		if k.AccelName != "" && !slices.Contains(list, k.AccelName) {
			list = append(list, k.AccelName)
		}
	}
	return strings.Join(list, " and ")
}

// short is the beginning of a digest, enough to tell two apart.
func short(digest string) string { return digest[:min(12, len(digest))] }
