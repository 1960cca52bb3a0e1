package guest

import (
	"encoding/json"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
)

// assemble gives a world its actors: processes of an earlier world with the same parent,
// kind and uid, which have closed what they owned, or new processes. Under emulation,
// starting one costs as much as a hundred calls.
func (g *agent) assemble(cast []step.Actor) error {
	g.forgetLSM()
	if err := g.freeFiles(); err != nil {
		return err
	}
	if err := g.restoreSysctls(); err != nil {
		return err
	}
	if err := g.retire(); err != nil {
		return err
	}
	if err := g.detachAll(); err != nil {
		return err
	}
	if len(g.idle) > maxIdle {
		g.dismissUnusual()
	}
	for _, a := range cast {
		p, err := g.employ(a)
		if err != nil {
			return fmt.Errorf("actor %s: %w", a.Name, err)
		}
		g.players = append(g.players, p)
	}
	return nil
}

// maxIdle limits the processes that wait for the next world: each takes some
// megabytes.
const maxIdle = 24

// retire makes the players of the last world close what they own. Players whose process
// has ended, or that a step forked, are removed.
func (g *agent) retire() error {
	all := append(g.players, g.idle...)
	g.players, g.idle = nil, nil
	for _, p := range all {
		if err := p.unbound(); err != nil {
			return err
		}
	}
	var leave []*player
	for _, p := range all {
		if p.ended() {
			leave = append(leave, p)
		} else {
			g.idle = append(g.idle, p)
		}
	}
	end(leave)
	for _, p := range g.idle {
		if p.retired {
			continue
		}
		p.retired = true
		p.forgetGiven()
		p.pending.drop()
		p.pending.add(verbForget)
		if _, err := g.flush(p); err != nil {
			return err
		}
	}
	return nil
}

// ended reports that a process has ended, or was not there from the beginning,
// or that one which it was forked by has.
func (p *player) ended() bool {
	return p != nil && (p.absent || p.actor.Kind == step.Child || p.parent.ended())
}

// usual are the actors that nearly every world has.
var usual = []step.Actor{
	{Name: "root", Kind: step.Init, Parent: -1},
	{Name: "nobody", Kind: step.Init, UID: 65534, Parent: -1},
	{Name: "owner", Kind: step.Userns, UID: 1000, Parent: -1},
}

// prestart starts the usual actors before any world asks for them, so that a machine which is
// restored from a snapshot has them. A kernel that refuses one refuses it to the world as well, which reports it.
func (g *agent) prestart() {
	for _, a := range usual {
		p, err := g.employ(a)
		if err != nil {
			return
		}
		p.retired = true
		g.idle = append(g.idle, p)
		if _, err := g.flush(p); err != nil {
			return
		}
	}
}

// employ returns a player for an actor.
func (g *agent) employ(a step.Actor) (*player, error) {
	var parent *player
	if a.Parent >= 0 {
		var err error
		if parent, err = g.player(uint32(a.Parent)); err != nil {
			return nil, err
		}
	}
	i := slices.IndexFunc(g.idle, func(p *player) bool {
		return p.parent == parent && p.actor.Kind == a.Kind && p.actor.UID == a.UID && p.actor.Place == a.Place
	})
	if i >= 0 {
		p := g.idle[i]
		g.idle = slices.Delete(g.idle, i, i+1)
		p.name, p.actor, p.retired = a.Name, a, false
		return p, nil
	}
	p, err := g.enter(a)
	if err != nil {
		return nil, err
	}
	p.actor, p.parent = a, parent
	p.pending.add(verbTypes, g.types...)
	return p, nil
}

// enter starts one actor, from here or from the actor that is its parent.
func (g *agent) enter(a step.Actor) (*player, error) {
	mine, its, err := newLink()
	if err != nil {
		return nil, err
	}
	p := &player{name: a.Name, link: mine, given: map[step.Handle]int{}, socket: noFD}
	if a.Kind == step.Child {
		p.absent, p.socket = true, its.fd
		return p, nil
	}
	if a.Parent >= 0 {
		return p, g.enterUnder(a, its.fd)
	}
	defer unix.Close(its.fd)
	if a.Kind == step.Userns {
		p.pid, err = startOwned(&a, its.fd, g.fix)
	} else {
		p.pid, err = start(programOf(&a), nil, self{a.UID, a.Bits}, its.fd, g.fix, "")
	}
	return p, err
}

// enterUnder has an actor fork another inside its namespaces.
func (g *agent) enterUnder(a step.Actor, socket int) error {
	parent, err := g.player(uint32(a.Parent))
	if err != nil {
		return err
	}
	payload, err := json.Marshal(&a)
	if err != nil {
		return fmt.Errorf("fork an actor: %w", err)
	}
	parent.pending.add(verbFork, payload...)
	parent.pending.fds = append(parent.pending.fds, socket)
	_, err = g.flush(parent)
	return err
}

// dismiss ends every actor.
func (g *agent) dismiss() {
	end(append(g.players, g.idle...))
	g.players, g.idle = nil, nil
}

// dismissUnusual ends the waiting actors that few worlds have.
func (g *agent) dismissUnusual() {
	var leave, stay []*player
	for _, p := range g.idle {
		if p.parent == nil && slices.ContainsFunc(usual, func(a step.Actor) bool {
			return p.actor.Kind == a.Kind && p.actor.UID == a.UID && p.actor.Place == a.Place
		}) {
			stay = append(stay, p)
		} else {
			leave = append(leave, p)
		}
	}
	end(leave)
	g.idle = stay
}

// end ends actors; a process ends when its socket is closed.
func end(all []*player) {
	for _, p := range all {
		closeFD(p.link.fd)
		closeFD(p.socket)
		p.forgetGiven()
		for _, fd := range p.pending.fds {
			unix.Close(fd)
		}
	}
	for _, p := range all {
		if p.pid != 0 {
			var status syscall.WaitStatus
			syscall.Wait4(p.pid, &status, 0, nil)
		}
	}
	if len(all) > 0 {
		reap()
	}
}
