package result

import (
	"iter"
	"reflect"
	"slices"
)

// shared is what the cases of stored runs have in common. A million cases have
// a hundred thousand names, and what follows the name in a record, the rest, is
// one of a few hundred texts: each is kept once.
type shared struct {
	names  []string
	nameAt map[string]uint32
	rests  []CaseResult // without their names
	restAt map[string]uint32
	next   uint32 // the name that most likely follows: kernels have the same cases in the same order
}

func newShared() *shared {
	return &shared{nameAt: map[string]uint32{}, restAt: map[string]uint32{}}
}

// maxRests bounds what is found again by its text: of a run whose every answer
// differs each is kept by itself.
const maxRests = 1 << 16

// name returns the number of a name.
func (s *shared) name(raw []byte) uint32 {
	n := s.next
	if int(n) >= len(s.names) || s.names[n] != string(raw) {
		known := false
		if n, known = s.nameAt[string(raw)]; !known {
			n = uint32(len(s.names))
			s.names = append(s.names, string(raw))
			s.nameAt[s.names[n]] = n
		}
	}
	s.next = n + 1
	return n
}

// keep returns the number of a rest that was not known by its text; nil is a
// text that will not be seen again.
func (s *shared) keep(c *CaseResult, text []byte) uint32 {
	n := uint32(len(s.rests))
	rest := *c
	rest.ID = ""
	s.rests = append(s.rests, rest)
	if text != nil && len(s.restAt) < maxRests {
		s.restAt[string(text)] = n
	}
	return n
}

// column is the cases of a kernel as its records tell them.
type column struct {
	*shared
	name, rest []uint32
	recorded   int // cases that have a record, whichever were chosen
}

func (c *column) add(name, rest uint32) {
	c.name, c.rest = append(c.name, name), append(c.rest, rest)
}

// at returns a case, which is the caller's own but for its steps.
func (c *column) at(i int) *CaseResult {
	out := c.rests[c.rest[i]]
	out.ID = c.names[c.name[i]]
	return &out
}

// All yields the cases of a kernel in the order in which they are kept. Of a
// run that was read they are copies.
func (k *KernelRun) All() iter.Seq[*CaseResult] {
	return k.Where(func(*CaseResult) bool { return true })
}

// Those yields the cases that have a status.
func (k *KernelRun) Those(s Status) iter.Seq[*CaseResult] {
	return k.Where(func(c *CaseResult) bool { return c.Status == s })
}

// Where yields the cases of which keep is true; keep is not shown their names.
func (k *KernelRun) Where(keep func(*CaseResult) bool) iter.Seq[*CaseResult] {
	return func(yield func(*CaseResult) bool) {
		for i := range k.Cases {
			if keep(&k.Cases[i]) && !yield(&k.Cases[i]) {
				return
			}
		}
		if k.column == nil {
			return
		}
		for i, n := range k.column.rest {
			if keep(&k.column.rests[n]) && !yield(k.column.at(i)) {
				return
			}
		}
	}
}

// distinct yields the cases of a kernel, those that differ in their names alone
// once. They are not the caller's to change, and may have no name.
func (k *KernelRun) distinct() iter.Seq[*CaseResult] {
	return func(yield func(*CaseResult) bool) {
		for i := range k.Cases {
			if !yield(&k.Cases[i]) {
				return
			}
		}
		if k.column == nil {
			return
		}
		seen := make([]bool, len(k.column.rests))
		for _, n := range k.column.rest {
			if !seen[n] && !yield(&k.column.rests[n]) {
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
	if k.column == nil {
		return nil
	}
	n, known := k.column.nameAt[id]
	if i := slices.Index(k.column.name, n); known && i >= 0 {
		return k.column.at(i)
	}
	return nil
}

// Len is how many cases the kernel has.
func (k *KernelRun) Len() int {
	if k.column != nil {
		return len(k.Cases) + len(k.column.name)
	}
	return len(k.Cases)
}

// Counts says how many cases of a kernel have each status.
func (k *KernelRun) Counts() map[Status]int {
	n := map[Status]int{}
	for i := range k.Cases {
		n[k.Cases[i].Status]++
	}
	if k.column == nil {
		return n
	}
	by := make([]int, len(k.column.rests))
	for _, rest := range k.column.rest {
		by[rest]++
	}
	for rest, times := range by {
		if times > 0 {
			n[k.column.rests[rest].Status] += times
		}
	}
	return n
}

// unpack makes a list of the cases, as a run that is being made has them.
func (k *KernelRun) unpack() {
	if k.column != nil && k.Len() > 0 {
		k.Cases = k.list()
	}
	k.column = nil
}

// list returns the cases as a list that the caller may change.
func (k *KernelRun) list() []CaseResult {
	if k.column == nil {
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
	return k.column.names[k.column.name[i-len(k.Cases)]]
}

// restAt returns a case by its place that may have no name, and is not the
// caller's to change.
func (k *KernelRun) restAt(i int) *CaseResult {
	if i < len(k.Cases) {
		return &k.Cases[i]
	}
	return &k.column.rests[k.column.rest[i-len(k.Cases)]]
}

// caseAt returns a case by its place; the steps are not the caller's to change.
func (k *KernelRun) caseAt(i int) CaseResult {
	out := *k.restAt(i)
	out.ID = k.idAt(i)
	return out
}

// pack keeps the kernel's cases as a run that was read does.
func (k *KernelRun) pack(s *shared) {
	col, p := &column{shared: s}, newPacker(s)
	for i := range k.Cases {
		c := &k.Cases[i]
		n, known := p.known[keyOf(c)]
		if !known || c.Times != nil {
			n = p.keep(c)
		}
		col.add(s.name([]byte(c.ID)), n)
	}
	k.Cases, k.column = nil, col
}

// packer finds what results have in common. Cases that share their steps, as
// those that passed do, share all but their names.
type packer struct {
	*shared
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

func newPacker(s *shared) *packer { return &packer{s, map[packKey]uint32{}} }

func keyOf(c *CaseResult) packKey {
	key := packKey{status: c.Status, reason: c.Reason, cause: c.Cause, fault: c.Fault, boot: c.Boot}
	if len(c.Steps) > 0 {
		key.first = &c.Steps[0]
	}
	return key
}

func (p *packer) keep(c *CaseResult) uint32 {
	n := p.shared.keep(c, nil)
	if c.Times == nil {
		p.known[keyOf(c)] = n
	}
	return n
}

// rest returns the number of a result; was is that of what it showed before,
// which most often is the same.
func (p *packer) rest(c *CaseResult, was uint32) uint32 {
	if n, known := p.known[keyOf(c)]; known && c.Times == nil {
		return n
	}
	bare := *c
	bare.ID = ""
	if !reflect.DeepEqual(p.rests[was], bare) {
		return p.keep(c)
	}
	if len(c.Steps) <= 1 && c.Times == nil { // those of longer ones are its own
		p.known[keyOf(c)] = was
	}
	return was
}
