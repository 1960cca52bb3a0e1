package result

import (
	"iter"
	"reflect"
	"slices"
)

// pool holds once what the cases of stored runs have in common. A million cases have a
// hundred thousand names, and the rest of a record, the body, is one of a few hundred.
type pool struct {
	names  []string
	nameAt map[string]uint32
	bodies []CaseResult // without names
	bodyAt map[string]uint32
	next   uint32 // the most likely next name: kernels have the same cases in the same order
}

func newPool() *pool {
	return &pool{nameAt: map[string]uint32{}, bodyAt: map[string]uint32{}}
}

// numberOf returns the number of a name that the pool has.
func (p *pool) numberOf(name string) (n uint32, known bool) {
	if p.nameAt == nil { // of a run in progress
		i := slices.Index(p.names, name)
		return uint32(i), i >= 0
	}
	n, known = p.nameAt[name]
	return n, known
}

// maxBodies bounds the bodies that are found again by their text, for runs in which every
// answer differs.
const maxBodies = 1 << 16

// name returns the number of a name.
func (p *pool) name(raw []byte) uint32 {
	n := p.next
	if int(n) >= len(p.names) || p.names[n] != string(raw) {
		known := false
		if n, known = p.nameAt[string(raw)]; !known {
			n = uint32(len(p.names))
			p.names = append(p.names, string(raw))
			p.nameAt[p.names[n]] = n
		}
	}
	p.next = n + 1
	return n
}

// keep adds a body and returns its number; text is its text, by which it is found again,
// or nil.
func (p *pool) keep(c *CaseResult, text []byte) uint32 {
	n := uint32(len(p.bodies))
	body := *c
	body.ID = ""
	p.bodies = append(p.bodies, body)
	if text != nil && len(p.bodyAt) < maxBodies {
		p.bodyAt[string(text)] = n
	}
	return n
}

// packedCases are the cases of a kernel of a stored run.
type packedCases struct {
	*pool
	name, body []uint32 // of each case: its numbers in the pool
	recorded   int      // cases that have a record, also those that Loader.Keep leaves out
}

func (c *packedCases) add(name, body uint32) {
	c.name, c.body = append(c.name, name), append(c.body, body)
}

// at returns a copy of a case; its steps must not be changed.
func (c *packedCases) at(i int) *CaseResult {
	out := c.bodies[c.body[i]]
	out.ID = c.names[c.name[i]]
	return &out
}

// All yields the cases of a kernel in their order. Those of a stored run are copies.
func (k *KernelRun) All() iter.Seq[*CaseResult] {
	return k.Where(func(*CaseResult) bool { return true })
}

// Those yields the cases with a status.
func (k *KernelRun) Those(s Status) iter.Seq[*CaseResult] {
	return k.Where(func(c *CaseResult) bool { return c.Status == s })
}

// Where yields the cases for which keep returns true; keep may see a case without its name.
func (k *KernelRun) Where(keep func(*CaseResult) bool) iter.Seq[*CaseResult] {
	return func(yield func(*CaseResult) bool) {
		for i := range k.Cases {
			if keep(&k.Cases[i]) && !yield(&k.Cases[i]) {
				return
			}
		}
		if k.packed == nil {
			return
		}
		for i, n := range k.packed.body {
			if keep(&k.packed.bodies[n]) && !yield(k.packed.at(i)) {
				return
			}
		}
	}
}

// distinct yields the cases of a kernel, but only one of those that differ in nothing but
// their names. The caller must not change them; they may have no name.
func (k *KernelRun) distinct() iter.Seq[*CaseResult] {
	return func(yield func(*CaseResult) bool) {
		for i := range k.Cases {
			if !yield(&k.Cases[i]) {
				return
			}
		}
		if k.packed == nil {
			return
		}
		seen := make([]bool, len(k.packed.bodies))
		for _, n := range k.packed.body {
			if !seen[n] && !yield(&k.packed.bodies[n]) {
				return
			}
			seen[n] = true
		}
	}
}

// Find returns a case by its name, or nil.
func (k *KernelRun) Find(id string) *CaseResult {
	for i := range k.Cases {
		if k.Cases[i].ID == id {
			return &k.Cases[i]
		}
	}
	if k.packed == nil {
		return nil
	}
	n, known := k.packed.numberOf(id)
	if i := slices.Index(k.packed.name, n); known && i >= 0 {
		return k.packed.at(i)
	}
	return nil
}

// Len returns how many cases the kernel has.
func (k *KernelRun) Len() int {
	if k.packed != nil {
		return len(k.Cases) + len(k.packed.name)
	}
	return len(k.Cases)
}

// Counts returns how many cases of a kernel have each status.
func (k *KernelRun) Counts() map[Status]int {
	n := map[Status]int{}
	for i := range k.Cases {
		n[k.Cases[i].Status]++
	}
	if k.packed == nil {
		return n
	}
	by := make([]int, len(k.packed.bodies))
	for _, body := range k.packed.body {
		by[body]++
	}
	for body, times := range by {
		if times > 0 {
			n[k.packed.bodies[body].Status] += times
		}
	}
	return n
}

// Unpack turns the cases into a list, which the caller may change.
func (k *KernelRun) Unpack() {
	if k.packed != nil && k.Len() > 0 {
		k.Cases = k.list()
	}
	k.packed = nil
}

// list returns the cases as a list that the caller may change.
func (k *KernelRun) list() []CaseResult {
	if k.packed == nil {
		return slices.Clone(k.Cases)
	}
	out := make([]CaseResult, 0, k.Len())
	for c := range k.All() {
		out = append(out, *c)
	}
	return out
}

// idAt returns the name of a case by its place.
func (k *KernelRun) idAt(i int) string {
	if i < len(k.Cases) {
		return k.Cases[i].ID
	}
	return k.packed.names[k.packed.name[i-len(k.Cases)]]
}

// namelessAt returns a case by its place. It may have no name, and the caller must not
// change it.
func (k *KernelRun) namelessAt(i int) *CaseResult {
	if i < len(k.Cases) {
		return &k.Cases[i]
	}
	return &k.packed.bodies[k.packed.body[i-len(k.Cases)]]
}

// caseAt returns a copy of a case by its place; its steps must not be changed.
func (k *KernelRun) caseAt(i int) CaseResult {
	out := *k.namelessAt(i)
	out.ID = k.idAt(i)
	return out
}

// pack stores the kernel's cases as a stored run has them.
func (k *KernelRun) pack(in *pool) {
	out, p := &packedCases{pool: in}, newPacker(in)
	for i := range k.Cases {
		c := &k.Cases[i]
		n, known := p.known[keyOf(c)]
		if !known || c.Times != nil {
			n = p.keep(c)
		}
		out.add(in.name([]byte(c.ID)), n)
	}
	k.Cases, k.packed = nil, out
}

// packer finds results with the same body. Cases that share their steps, as those that
// passed do, have one body.
type packer struct {
	*pool
	known map[packKey]uint32
}

type packKey struct {
	status Status
	reason string
	cause  Cause
	fault  Culprit
	boot   int
	first  *StepResult
}

func newPacker(in *pool) *packer { return &packer{in, map[packKey]uint32{}} }

func keyOf(c *CaseResult) packKey {
	key := packKey{status: c.Status, reason: c.Reason, cause: c.Cause, fault: c.Fault, boot: c.Boot}
	if len(c.Steps) > 0 {
		key.first = &c.Steps[0]
	}
	return key
}

func (p *packer) keep(c *CaseResult) uint32 {
	n := p.pool.keep(c, nil)
	if c.Times == nil {
		p.known[keyOf(c)] = n
	}
	return n
}

// bodyOf returns the number of a result's body; was is the number before, which is most
// often the same.
func (p *packer) bodyOf(c *CaseResult, was uint32) uint32 {
	if n, known := p.known[keyOf(c)]; known && c.Times == nil {
		return n
	}
	bare := *c
	bare.ID = ""
	if !reflect.DeepEqual(p.bodies[was], bare) {
		return p.keep(c)
	}
	if len(c.Steps) <= 1 && c.Times == nil { // cases of more steps do not share them
		p.known[keyOf(c)] = was
	}
	return was
}
