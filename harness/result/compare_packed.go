package result

// packedSide finds the cases of a kernel by the numbers of their names.
type packedSide struct {
	cases *packedCases
	at    []int32 // the place of each name in cases; -1 is none
}

// packedSides returns both sides of a comparison. ok is false unless each side is one
// kernel of a stored run and both share a pool: then the cases, of which there can be a
// million, are compared without their names.
func (p *pairing) packedSides() (base, new *packedSide, ok bool) {
	if len(p.base) != 1 || len(p.new) != 1 {
		return nil, nil, false
	}
	b, n := p.base[0].KernelRun, p.new[0].KernelRun
	if b.packed == nil || n.packed == nil || b.packed.pool != n.packed.pool || len(b.Cases)+len(n.Cases) > 0 {
		return nil, nil, false
	}
	base, baseUnique := b.packed.side()
	new, newUnique := n.packed.side()
	return base, new, baseUnique && newUnique
}

// side also reports whether each case is there only once.
func (c *packedCases) side() (*packedSide, bool) {
	out := &packedSide{c, make([]int32, len(c.names))}
	for i := range out.at {
		out.at[i] = -1
	}
	for i, name := range c.name {
		if out.at[name] >= 0 {
			return nil, false
		}
		out.at[name] = int32(i)
	}
	return out, true
}

// comparePacked compares the cases of two kernels. Two bodies that are the same need only
// one comparison.
func (p *Pair) comparePacked(base, new *packedSide) {
	same := map[[2]uint32]bool{}
	names := new.cases.names
	for i, name := range new.cases.name {
		at := base.at[name]
		if at < 0 {
			p.add(names[name], nil, new.seen(i))
			continue
		}
		both := [2]uint32{base.cases.body[at], new.cases.body[i]}
		if same[both] {
			p.Same++
			continue
		}
		before := p.Same
		p.add(names[name], base.seen(int(at)), new.seen(i))
		same[both] = p.Same > before
	}
	for i, name := range base.cases.name {
		if new.at[name] < 0 {
			p.vanished(names[name], base.cases.at(i))
		}
	}
}

func (s *packedSide) seen(i int) *seen {
	c := s.cases.at(i)
	return &seen{worst: c, counts: c.Times, varied: c.varies()}
}
