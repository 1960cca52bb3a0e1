package sim

import (
	"maps"
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
)

// The mounts on a place are a stack: each is mounted on the root of the one below it. A
// shared mount has peers, which are its copies in this and other places. A mount on one
// peer appears on all of them: propagate_mnt and propagate_umount of fs/pnode.c.

func top(stack []*oracle.Mount) *oracle.Mount {
	if len(stack) == 0 {
		return nil
	}
	return stack[len(stack)-1]
}

// attach mounts on top of a place, and on the peers of what is there.
func (s *Sim) attach(a *actor, m *oracle.Mount, at uint64) {
	under := top(s.tables[a.mounts][at])
	s.put(a.mounts, at, m, len(s.tables[a.mounts][at]))
	if under == nil || under.Peers == 0 {
		return
	}
	s.group(m)
	s.eachPeer(under, func(ns int, at uint64, place int) {
		s.put(ns, at, &oracle.Mount{FS: m.FS, Peers: m.Peers, Only: m.Only}, place+1) // below what lies there already
	})
}

func (s *Sim) put(ns int, at uint64, m *oracle.Mount, place int) {
	s.sequence++
	m.At, m.Seq = at, s.sequence
	if s.tables[ns] == nil {
		s.tables[ns] = map[uint64][]*oracle.Mount{}
	}
	s.tables[ns][at] = slices.Insert(s.tables[ns][at], place, m)
}

// group puts a mount that is private into a peer group of its own.
func (s *Sim) group(m *oracle.Mount) {
	if m.Peers == 0 {
		s.groups++
		m.Peers = s.groups
	}
}

// eachPeer calls f for each mounted peer of a shared mount but itself, with its
// place in its stack.
func (s *Sim) eachPeer(m *oracle.Mount, f func(ns int, at uint64, place int)) {
	for _, ns := range slices.Sorted(maps.Keys(s.tables)) {
		for _, at := range slices.Sorted(maps.Keys(s.tables[ns])) {
			for i, p := range s.tables[ns][at] {
				if p != m && p.Peers == m.Peers {
					f(ns, at, i)
				}
			}
		}
	}
}

func (s *Sim) share(a *actor, st *step.Step) Expect {
	m := s.mounted(a, st, step.KeyAt)
	e := s.decide(a, st, &oracle.MountCall{What: oracle.Share, On: m})
	if e.OK() && m != nil {
		s.group(m)
	}
	return e
}

// copies are the mounts that umount(2) of a place removes: the top one, and those on the
// peers of the mount below it.
func (s *Sim) copies(a *actor, at uint64) []*oracle.Mount {
	stack := s.tables[a.mounts][at]
	if len(stack) == 0 {
		return nil
	}
	out := stack[len(stack)-1:]
	if len(stack) > 1 && stack[len(stack)-2].Peers != 0 {
		s.eachPeer(stack[len(stack)-2], func(ns int, at uint64, place int) {
			if p := s.tables[ns][at]; place+1 < len(p) {
				out = append(slices.Clip(out), p[place+1])
			}
		})
	}
	return out
}

func (s *Sim) umount(a *actor, st *step.Step) Expect {
	at, _ := st.Num(step.KeyAt)
	gone := s.copies(a, at)
	lazy, _ := st.Num(step.KeyLazy)
	e := s.decide(a, st, &oracle.MountCall{What: oracle.Umount, On: s.mounted(a, st, step.KeyAt), Lazy: lazy != 0,
		Busy: slices.ContainsFunc(gone, s.busy)})
	if e.OK() {
		for _, places := range s.tables {
			for at, stack := range places {
				places[at] = slices.DeleteFunc(slices.Clone(stack), func(m *oracle.Mount) bool { return slices.Contains(gone, m) })
			}
		}
	}
	return e
}

// busy reports whether an actor has a file of a mount open.
func (s *Sim) busy(m *oracle.Mount) bool {
	return slices.ContainsFunc(s.actors, func(a actor) bool {
		for _, fd := range a.fds {
			if fd.Mount == m && fd.Kind != oracle.ContextFD {
				return true
			}
		}
		return false
	})
}
