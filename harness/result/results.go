package result

// Results are the results of a kernel's cases while it runs, each distinct one once. Make one with NewResults; a case
// has the place of its name there.
type Results struct {
	*packer
	body []uint32 // of each case: the number of its body plus 1, 0 for no result
}

// NewResults returns the results of cases that have none yet.
func NewResults(ids []string) *Results {
	return &Results{newPacker(&pool{names: ids}), make([]uint32, len(ids))}
}

// Len returns how many cases there are.
func (r *Results) Len() int { return len(r.body) }

// Has reports whether a case has a result.
func (r *Results) Has(i int) bool { return r.body[i] > 0 }

// At returns a copy of a case's result, nil if it has none. The caller must not change its steps.
func (r *Results) At(i int) *CaseResult {
	if r.body[i] == 0 {
		return nil
	}
	out := r.bodies[r.body[i]-1]
	out.ID = r.names[i]
	return &out
}

// Peek returns a case's result without its name, nil if it has none. The caller must not change it.
func (r *Results) Peek(i int) *CaseResult {
	if r.body[i] == 0 {
		return nil
	}
	return &r.bodies[r.body[i]-1]
}

// Set stores a result, whose name does not matter.
func (r *Results) Set(i int, to CaseResult) {
	n, known := r.known[keyOf(&to)]
	if !known || to.Times != nil {
		n = r.keep(&to)
	}
	r.body[i] = n + 1
}

// Drop removes a result.
func (r *Results) Drop(i int) { r.body[i] = 0 }

// Hold makes results those of the kernel. Cases without one are absent.
func (k *KernelRun) Hold(r *Results) {
	k.Cases, k.packed = nil, &packedCases{pool: r.pool}
	for i, n := range r.body {
		if n > 0 {
			k.packed.add(uint32(i), n-1)
		}
	}
}
