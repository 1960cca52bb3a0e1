package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// qemuMiB is what QEMU adds to a guest's memory: its translated code above all.
const qemuMiB = 256

// memory is what the machines of a run may take together.
type memory struct {
	*semaphore.Weighted
	all int64 // MiB
}

func newMemory(mib int) *memory { return &memory{semaphore.NewWeighted(int64(mib)), int64(mib)} }

// take waits until a guest of so much memory has room beside the others. One
// that is bigger than the host runs alone.
func (m *memory) take(ctx context.Context, guestMiB int, waits func()) (release func(), err error) {
	n := min(int64(guestMiB+qemuMiB), m.all)
	if !m.TryAcquire(n) {
		waits()
		if err := m.Acquire(ctx, n); err != nil {
			return nil, err
		}
	}
	return func() { m.Release(n) }, nil
}

// admit has a kernel wait for memory, unless the user said how many machines
// there are to be.
func (l *Lab) admit(ctx context.Context, t *trial) (release func(), err error) {
	if l.memory == nil {
		return func() {}, nil
	}
	return l.memory.take(ctx, t.memMiB, func() {
		l.log("%s is waiting for memory (needs %d MiB); --jobs N runs N machines at a time whatever they need", t.out.Ref, t.memMiB+qemuMiB)
	})
}

// availableMiB reads MemAvailable; a host that does not tell has enough.
func availableMiB() int {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err == nil {
				return kib / 1024
			}
		}
	}
	return 1 << 20
}

// matrix runs the plan's kernels, several at a time, the longest first: then
// none is left alone at the end. The results stand in the plan's order.
func (l *Lab) matrix(ctx context.Context, p *plan.Plan, run *result.Run, store *result.Store) error {
	run.Kernels = make([]*result.KernelRun, len(p.Kernels))
	times := l.readTimes()
	var mu sync.Mutex // of run and the store
	var group errgroup.Group
	if l.memory = nil; l.Jobs == 0 {
		l.memory = newMemory(availableMiB())
	}
	group.SetLimit(cmp.Or(l.Jobs, runtime.NumCPU()))
	for _, i := range longestFirst(p, times) {
		group.Go(func() error {
			if ctx.Err() != nil && !l.Resume {
				run.Kernels[i] = &result.KernelRun{Ref: p.Kernels[i], Planned: len(p.Of(p.Kernels[i])), Error: interrupted}
				return nil
			}
			k := l.kernel(ctx, p.Kernels[i], p, i)
			mu.Lock()
			defer mu.Unlock()
			run.Kernels[i], run.Tool = k.KernelRun, cmp.Or(k.tool, run.Tool)
			run.Interrupted = run.Interrupted || k.short
			if k.Error == "" && ctx.Err() == nil {
				times[timeKey(p, i)] = k.took.Seconds()
			}
			return cmp.Or(k.stale, store.Append(i, k.KernelRun))
		})
	}
	err := group.Wait()
	run.Interrupted = run.Interrupted || ctx.Err() != nil
	l.writeTimes(times)
	return err
}

// longestFirst orders kernels by what they took before. What never ran may
// take longest.
func longestFirst(p *plan.Plan, times map[string]float64) []int {
	order := make([]int, len(p.Kernels))
	for i := range order {
		order[i] = i
	}
	took := func(i int) float64 {
		if t, known := times[timeKey(p, i)]; known {
			return t
		}
		return 1e9
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(took(b), took(a)) })
	return order
}

// timeKey names what took a time: a kernel, and about how many cases.
func timeKey(p *plan.Plan, i int) string {
	return fmt.Sprintf("%s %d", p.Kernels[i], len(p.Of(p.Kernels[i]))/100)
}

func (l *Lab) timesPath() string { return filepath.Join(l.CacheDir, "times.json") }

// readTimes returns what kernels took. It only orders them: without the file
// the order is the plan's.
func (l *Lab) readTimes() map[string]float64 {
	times := map[string]float64{}
	text, err := os.ReadFile(l.timesPath())
	if err == nil && json.Unmarshal(text, &times) != nil {
		l.log("%s is damaged and not used", l.timesPath())
	}
	return times
}

func (l *Lab) writeTimes(times map[string]float64) {
	text, err := json.Marshal(times)
	if err != nil || l.CacheDir == "" {
		return
	}
	_ = renameio.WriteFile(l.timesPath(), text, 0o644) // without the file, the next run keeps the order of the plan
}
