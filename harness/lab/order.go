package lab

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// longestFirst orders kernels by how long they took before. A kernel that never ran may
// take the longest.
func (l *Lab) longestFirst(p *plan.Plan, times map[string]float64) []int {
	order := make([]int, len(p.Kernels))
	for i := range order {
		order[i] = i
	}
	took := func(i int) float64 {
		if t, known := times[l.timeKey(p, i)]; known {
			return t
		}
		return 1e9
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(took(b), took(a)) })
	return order
}

// timeKey is the key of a time: a kernel, and about how many cases it ran.
func (l *Lab) timeKey(p *plan.Plan, i int) string {
	ref := p.Kernels[i]
	named := result.KernelRun{Ref: ref, Arch: l.archOf(ref).Name}
	return fmt.Sprintf("%s %d", named.Name(), len(p.Of(ref))/100)
}

func (l *Lab) timesPath() string { return filepath.Join(l.CacheDir, "times.json") }

// readTimes returns how long kernels took, in seconds, for longestFirst and for paceKeeper.
// Without the file, the order is the plan's, and nobody knows what time is left.
func (l *Lab) readTimes() map[string]float64 {
	times := map[string]float64{}
	text, err := os.ReadFile(l.timesPath())
	if err == nil && json.Unmarshal(text, &times) != nil {
		l.log("%s is damaged; it is ignored", l.timesPath())
	}
	return times
}

// maxTimes limits the entries of times.json: each selection of cases makes one.
const maxTimes = 4000

// writeTimes stores the times. If there are too many, some are forgotten.
func (l *Lab) writeTimes(times map[string]float64) {
	if len(l.Patches) > 0 {
		return // another kernel
	}
	for key := range times {
		if len(times) <= maxTimes {
			break
		}
		delete(times, key) // any will do: a later run makes it again
	}
	text, err := json.Marshal(times)
	if err != nil || l.CacheDir == "" {
		return
	}
	_ = renameio.WriteFile(l.timesPath(), text, 0o644) // without the file, the next run keeps the order of the plan
}
