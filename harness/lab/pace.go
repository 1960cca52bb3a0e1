package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"tokentest/harness/plan"
	"tokentest/harness/vm"
)

// What the machines of a kernel took is kept in times.json, for the time that is left of a later
// run. It holds only for the same cases on the same kernel, which its key digests.

// paceKeeper knows what earlier runs took, and the key of this one. The zero value knows nothing.
type paceKeeper struct {
	ref   string
	known map[string]float64 // times.json when the run began; nobody changes it
	parts string             // all of the key but how the machine begins
}

// paceOf describes the run of a kernel's cases, when its lanes are known.
func (r *runner) paceOf(t *trial, p *plan.Plan) paceKeeper {
	l := r.lab
	if l.UntilFail || l.Debug != nil {
		return paceKeeper{} // it takes as long as it takes
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %q %d %d %s %d %d", t.kernel.Digest, t.accel, l.Append, t.lanes, t.memMiB,
		l.Isolate, l.Repeat, p.Batch)
	for _, c := range p.Of(t.out.Ref) {
		fmt.Fprintln(h, c.ID)
	}
	return paceKeeper{ref: t.out.Ref, known: r.times, parts: hex.EncodeToString(h.Sum(nil)[:8])}
}

// key is the key for machines that begin in one way.
func (p *paceKeeper) key(began string) string {
	return fmt.Sprintf("machines of %s %s %s", p.ref, began, p.parts)
}

// took is how long the machines of the kernel took in an earlier run that began in the same
// way; 0 if that is not known.
func (p *paceKeeper) took(began string) time.Duration {
	return time.Duration(p.known[p.key(began)] * float64(time.Second))
}

// learned is what a run that ended teaches: a key and the time. A run in which a machine did not
// end well teaches nothing.
func (t *trial) learned(took time.Duration) map[string]float64 {
	if len(t.out.Boots) == 0 || t.pace.parts == "" {
		return nil
	}
	for i := range t.out.Boots {
		if t.out.Boots[i].Fate != vm.Clean {
			return nil
		}
	}
	return map[string]float64{t.pace.key(t.out.Boots[0].Began): took.Seconds()}
}

// reportBegan reports that a machine has started, how, and how long the kernel's cases took the
// last time.
func (t *trial) reportBegan(began string) {
	t.lab.progress(Progress{Kernel: t.out.Ref, Stage: "boot", Done: t.results.done, Total: t.total, Failed: t.failed,
		Began: began, Expect: t.pace.took(began)})
}
