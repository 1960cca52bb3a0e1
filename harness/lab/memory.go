package lab

import (
	"context"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sync/semaphore"
)

// qemuMiB is what QEMU adds to a guest's memory, most of it for translated code.
const qemuMiB = 256

// memory is what the machines of a run may take together.
type memory struct {
	*semaphore.Weighted
	all int64 // MiB
}

func newMemory(mib int) *memory { return &memory{semaphore.NewWeighted(int64(mib)), int64(mib)} }

// take waits until a guest of that size has room beside the others, and calls waits if it
// has to wait. A guest that is bigger than the host runs alone.
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

// availableMiB reads MemAvailable. A host that does not report it counts as big enough.
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
