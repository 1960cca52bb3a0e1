package sim

import (
	"fmt"
	"maps"
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// attachments is what is attached after the steps so far.
type attachments struct {
	chains map[step.Spot]*oracle.Chain
	bonds  map[*oracle.Bond]bond
}

// bond is what a link holds.
type bond struct {
	to   step.Spot
	prog *oracle.Program
}

func (t *attachments) clone() attachments {
	out := attachments{map[step.Spot]*oracle.Chain{}, maps.Clone(t.bonds)}
	for to, c := range t.chains {
		out.chains[to] = &oracle.Chain{Flags: c.Flags, Entries: slices.Clone(c.Entries)}
	}
	return out
}

// points say what the kernel's functions get as a target.
var points = map[step.AttachPoint]oracle.Point{
	step.AtDevice: oracle.Device, step.AtNetns: oracle.Netns, step.AtCgroup: oracle.Cgroup,
	step.AtSockMap: oracle.SockMap, step.AtEvent: oracle.Event, step.AtProbe: oracle.Probe,
	step.AtTracepoint: oracle.Tracepoint,
}

// chain is what is attached at a target now: a link whose last descriptor is closed is gone.
func (s *Sim) chain(to step.Spot) *oracle.Chain {
	c := s.attached.chains[to]
	if c == nil {
		c = &oracle.Chain{}
		s.attached.chains[to] = c
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		e.Lost = e.Pinned && !s.held(e.Link)
	}
	c.Entries = slices.DeleteFunc(c.Entries, func(e oracle.Entry) bool {
		return e.Link != nil && !e.Pinned && !s.held(e.Link)
	})
	if len(c.Entries) == 0 {
		c.Flags = 0
	}
	return c
}

// held reports whether a process has a descriptor of a link.
func (s *Sim) held(l *oracle.Bond) bool {
	for i := range s.actors {
		for _, fd := range s.actors[i].fds {
			if fd.Link == l {
				return true
			}
		}
	}
	return false
}

// pinned notes that a link has a name, which the simulation does not follow any further.
func (s *Sim) pinned(l *oracle.Bond) {
	if l == nil {
		return
	}
	entries := s.chain(s.attached.bonds[l].to).Entries
	for i := range entries {
		entries[i].Pinned = entries[i].Pinned || entries[i].Link == l
	}
}

// attach is the request of a step that attaches or detaches.
func (s *Sim) attachRequest(a *actor, st *step.Step, cmd uapi.Cmd) (*oracle.Attach, step.Spot) {
	n, _ := st.Num(step.KeySpot)
	to := step.Spot(n)
	shape := to.Shape()
	r := &oracle.Attach{What: cmd, To: oracle.Target{Attach: shape.Attach, At: points[shape.At]}, Chain: s.chain(to),
		Flags: or(st, step.KeyFlags, 0), RelID: or(st, step.KeyID, 0), Fault: faultOf(st)}
	r.Prog, r.Rel, r.Old = a.given(st, step.KeyHandle), a.given(st, step.KeyRelative), a.given(st, step.KeyOld)
	if cmd == uapi.BPF_PROG_DETACH {
		r.Prog = a.given(st, step.KeyProg)
	}
	return r, to
}

// given is a descriptor that a step names, or nil.
func (a *actor) given(st *step.Step, k step.Key) *oracle.FD {
	h, ok := st.Num(k)
	if !ok {
		return nil
	}
	fd := a.fds[step.Handle(h)]
	return &fd
}

func (s *Sim) linkCreate(a *actor, st *step.Step) Expect {
	if s.kernel.Settings.JITFull {
		s.untrack(a, st)
		return notFollowed(st, "the rules do not follow trampolines where net.core.bpf_jit_limit is used up")
	}
	r, to := s.attachRequest(a, st, uapi.BPF_LINK_CREATE)
	e := s.decide(a, st, r)
	if !e.OK() || st.Out == 0 || r.Prog == nil || r.Prog.Loaded == nil { // the link is gone with its descriptor
		return e
	}
	l := &oracle.Bond{To: r.To, Type: r.Prog.Loaded.Type}
	c := r.Chain
	at := len(c.Entries)
	switch {
	case to == step.SpotTCX:
		at = r.Inserted()
	case to == step.SpotSkMsg: // the link takes the place of what was attached without one
		c.Entries, at = nil, 0
	case r.To.At == oracle.Cgroup:
		c.Flags = oracle.LinkFlags
	}
	c.Entries = slices.Insert(c.Entries, at, oracle.Entry{Prog: r.Prog.Loaded, Link: l})
	s.attached.bonds[l] = bond{to, r.Prog.Loaded}
	a.keep(st, oracle.FD{Kind: oracle.Object, Pinned: true, Link: l})
	return e
}

func (s *Sim) progAttach(a *actor, st *step.Step) Expect {
	r, to := s.attachRequest(a, st, uapi.BPF_PROG_ATTACH)
	e := s.decide(a, st, r)
	if !e.OK() || r.Prog.Loaded == nil {
		return e
	}
	c, entry := r.Chain, oracle.Entry{Prog: r.Prog.Loaded}
	switch at := r.Replaces(); {
	case at >= 0:
		c.Entries[at] = entry
	case to == step.SpotTCX:
		c.Entries = slices.Insert(c.Entries, r.Inserted(), entry)
	case r.To.At == oracle.Cgroup && r.Flags&oracle.LinkFlags != 0:
		c.Entries = append(c.Entries, entry)
	default: // it replaces what was there
		c.Entries = []oracle.Entry{entry}
	}
	c.Flags = r.Flags & oracle.SavedFlags
	return e
}

func (s *Sim) progDetach(a *actor, st *step.Step) Expect {
	r, to := s.attachRequest(a, st, uapi.BPF_PROG_DETACH)
	e := s.decide(a, st, r)
	if !e.OK() {
		return e
	}
	c := r.Chain
	at := 0
	switch {
	case to == step.SpotTCX:
		at = r.Detached()
	case r.To.At == oracle.Cgroup && c.Flags&oracle.LinkFlags != 0:
		at = slices.IndexFunc(c.Entries, func(e oracle.Entry) bool { return e.Prog == r.Named() && e.Link == nil })
	}
	if at >= 0 && at < len(c.Entries) { // a rule that is left out allows more
		c.Entries = slices.Delete(c.Entries, at, at+1)
	}
	return e
}

// linkRequest is the request of a step about a link.
func (s *Sim) linkRequest(a *actor, st *step.Step, cmd uapi.Cmd) *oracle.OnLink {
	r := &oracle.OnLink{What: cmd, FD: a.handle(st, step.KeyHandle), New: a.handle(st, step.KeyProg),
		Old: a.given(st, step.KeyOld), Chain: &oracle.Chain{}}
	if l := r.FD.Link; l != nil {
		b := s.attached.bonds[l]
		r.Has, r.Chain = b.prog, s.chain(b.to)
		r.Gone = !slices.ContainsFunc(r.Chain.Entries, func(e oracle.Entry) bool { return e.Link == l })
	}
	return r
}

func (s *Sim) linkUpdate(a *actor, st *step.Step) Expect {
	r := s.linkRequest(a, st, uapi.BPF_LINK_UPDATE)
	e := s.decide(a, st, r)
	if !e.OK() {
		return e
	}
	b := s.attached.bonds[r.FD.Link]
	b.prog = r.New.Loaded
	s.attached.bonds[r.FD.Link] = b
	for i := range r.Chain.Entries {
		if r.Chain.Entries[i].Link == r.FD.Link {
			r.Chain.Entries[i].Prog = r.New.Loaded
		}
	}
	return e
}

func (s *Sim) linkDetach(a *actor, st *step.Step) Expect {
	r := s.linkRequest(a, st, uapi.BPF_LINK_DETACH)
	e := s.decide(a, st, r)
	if e.OK() {
		r.Chain.Entries = slices.DeleteFunc(r.Chain.Entries, func(e oracle.Entry) bool { return e.Link == r.FD.Link })
	}
	return e
}

func (s *Sim) iterCreate(a *actor, st *step.Step) Expect {
	return s.decide(a, st, s.linkRequest(a, st, uapi.BPF_ITER_CREATE))
}

// linkInfo compares what the kernel tells of a link.
func (s *Sim) linkInfo(a *actor, st *step.Step) Expect {
	req := &oracle.LinkInfo{FD: a.handle(st, step.KeyHandle)}
	e := s.decide(a, st, req)
	if !e.OK() {
		return e
	}
	to, addresses := s.attached.bonds[req.FD.Link].to, "none"
	req.Several = to == step.SpotFentryMulti
	if w := s.world(a, st); to.ShowsAddresses() {
		addresses = map[bool]string{true: "shown", false: "hidden"}[req.ShowsAddresses(&w)]
	}
	e.Text = fmt.Sprintf("type %d, program shown, addresses %s", to.Shape().Type, addresses)
	return e
}

func (s *Sim) queryEvent(a *actor, st *step.Step) Expect {
	return s.decide(a, st, &oracle.QueryEvent{})
}

// showAttached compares how many programs are at a target, and how many of them links hold (bpf_mprog_query).
// Only root asks, who has every capability.
func (s *Sim) showAttached(_ *actor, st *step.Step) Expect {
	n, _ := st.Num(step.KeySpot)
	c := s.chain(step.Spot(n))
	if c.Uncertain() || !step.Spot(n).IsQueried() {
		return Expect{Verdict: oracle.Verdict{Rule: "the rules do not follow what is attached there",
			ID: "attached/not-modelled"}}
	}
	e := harnessStep(st.Op)
	e.Text = fmt.Sprintf("%d programs", len(c.Entries))
	if step.Spot(n) == step.SpotTCX {
		linked := 0
		for _, e := range c.Entries {
			if e.Link != nil {
				linked++
			}
		}
		e.Text += fmt.Sprintf(", %d by links", linked)
	}
	return e
}
