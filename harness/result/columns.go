package result

// side finds the cases of a kernel by the numbers of their names.
type side struct {
	*column
	at []int32 // the place of each name, -1 for none
}

// columns returns both sides of a comparison where each is one kernel of a
// run that was read, and they keep their names together: the cases then need
// no names to be compared, of which there can be a million.
func (p *pairing) columns() (base, new *side, ok bool) {
	if len(p.base) != 1 || len(p.new) != 1 {
		return nil, nil, false
	}
	b, n := p.base[0].KernelRun, p.new[0].KernelRun
	if b.column == nil || n.column == nil || b.column.shared != n.column.shared || len(b.Cases)+len(n.Cases) > 0 {
		return nil, nil, false
	}
	base, once := b.column.side()
	new, also := n.column.side()
	return base, new, once && also
}

// side reports as well whether each case is there once.
func (c *column) side() (*side, bool) {
	out := &side{c, make([]int32, len(c.names))}
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

// compareColumns compares the cases of two kernels. What is the same is so for
// all that showed the same, and looked at once.
func (p *Pair) compareColumns(base, new *side) {
	same := map[[2]uint32]bool{}
	for i, name := range new.name {
		at := base.at[name]
		if at < 0 {
			p.add(new.names[name], nil, new.seen(i))
			continue
		}
		both := [2]uint32{base.rest[at], new.rest[i]}
		if same[both] {
			p.Same++
			continue
		}
		before := p.Same
		p.add(new.names[name], base.seen(int(at)), new.seen(i))
		same[both] = p.Same > before
	}
	for i, name := range base.name {
		if new.at[name] < 0 {
			p.vanished(base.names[name], base.column.at(i))
		}
	}
}

func (s *side) seen(i int) *seen {
	c := s.column.at(i)
	return &seen{worst: c, counts: c.Times, varied: c.varies()}
}
