package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"tokentest/cases/program"
	"tokentest/cases/uapi"
	"tokentest/harness/wire"
)

// agent is the broker: privileged, in the initial namespaces. It never makes
// the call under test itself.
type agent struct {
	in  *wire.Reader
	out *wire.Writer
	caller
	cast    []program.Actor // of the processes that run
	players []player
	sysctl  int
	types   []byte            // typeIDs, as actors are told
	max     map[string]uint32 // the ends of the enumerations, nil without BTF
	buf     []byte
}

type player struct {
	link link
	pid  int // 0 for a process that another actor forked
}

const (
	unprivSysctl  = "/proc/sys/kernel/unprivileged_bpf_disabled"
	unprivDefault = 2 // what a world begins with
)

// serve runs what the host sends until it says bye.
func (g *agent) serve() error {
	for {
		kind, payload, err := g.in.Read()
		if err != nil {
			return fmt.Errorf("read from the host: %w", err)
		}
		switch kind {
		case wire.KindWorld:
			err = g.world(payload)
		case wire.KindCells:
			err = g.cells(payload)
		case wire.KindBye:
			g.dismiss()
			return g.out.Write(wire.KindDone, nil)
		default:
			err = fmt.Errorf("a %s record is not for the guest", kind)
		}
		if err != nil {
			return err
		}
	}
}

func (g *agent) world(payload []byte) error {
	p, err := wire.DecodeProgram(payload)
	if err != nil {
		return err
	}
	seen, err := g.stage(p)
	if err != nil {
		return g.fault(&wire.Cells{}, err) // of no cell: the world's
	}
	return g.out.Write(wire.KindSetup, wire.EncodeResults(&wire.Results{Cells: [][]program.Observation{seen}}))
}

// stage prepares a world: the sysctl, the actors, the set-up steps.
func (g *agent) stage(p *program.Program) ([]program.Observation, error) {
	if err := g.setSysctl(unprivDefault); err != nil {
		return nil, err
	}
	if err := g.assemble(p.Actors); err != nil {
		return nil, err
	}
	return g.play(p.Setup)
}

// cells announces cells, runs them, and says what they showed. Cells whose
// steps are all one actor's go to it in one message.
func (g *agent) cells(payload []byte) error {
	c, err := wire.DecodeCells(payload)
	if err != nil {
		return err
	}
	if err := g.out.Write(wire.KindBegin, wire.EncodeRange(wire.Range{First: c.First, Count: uint32(len(c.Cells))})); err != nil {
		return err
	}
	steps := slices.Concat(slicesOf(c.Cells)...)
	seen, err := g.play(steps)
	if err != nil {
		return g.fault(c, err)
	}
	r := wire.Results{First: c.First}
	for _, cell := range c.Cells {
		r.Cells = append(r.Cells, seen[:len(cell)])
		seen = seen[len(cell):]
	}
	return g.out.Write(wire.KindEnd, wire.EncodeResults(&r))
}

func slicesOf(cells []program.Cell) [][]program.Step {
	out := make([][]program.Step, len(cells))
	for i, c := range cells {
		out[i] = c
	}
	return out
}

func (g *agent) fault(c *wire.Cells, why error) error {
	payload, err := wire.EncodeJSON(wire.Fault{Cell: c.First, Count: uint32(len(c.Cells)), Reason: why.Error()})
	if err != nil {
		return err
	}
	g.dismiss()
	return g.out.Write(wire.KindFault, payload)
}

// play runs steps in order: the broker's own here, the actors' in runs that
// are as long as one actor goes on.
func (g *agent) play(steps []program.Step) ([]program.Observation, error) {
	var seen []program.Observation
	for i := 0; i < len(steps); {
		s := &steps[i]
		if !ofActor(s.Op) {
			o, err := g.broke(s)
			if err != nil {
				return nil, err
			}
			seen = append(seen, o)
			i++
			continue
		}
		n := i + 1
		for n < len(steps) && ofActor(steps[n].Op) && steps[n].Actor == s.Actor {
			n++
		}
		part, err := g.ask(s.Actor, steps[i:n])
		if err != nil {
			return nil, err
		}
		seen = append(seen, part...)
		i = n
	}
	return seen, nil
}

func ofActor(op program.Op) bool {
	switch op {
	case program.OpBPFFS, program.OpSend, program.OpSysctl, program.OpSysrq:
		return false
	}
	return true
}

func (g *agent) player(i uint32) (*player, error) {
	if int(i) >= len(g.players) {
		return nil, fmt.Errorf("there is no actor %d", i)
	}
	return &g.players[i], nil
}

func (g *agent) ask(who uint32, steps []program.Step) ([]program.Observation, error) {
	p, err := g.player(who)
	if err != nil {
		return nil, err
	}
	answer, _, err := p.link.call(verbRun, wire.EncodeSteps(steps), noFD, g.buf)
	if err != nil {
		return nil, fmt.Errorf("actor %s: %w", g.cast[who].Name, err)
	}
	r, err := wire.DecodeResults(answer)
	if err != nil {
		return nil, err
	}
	if len(r.Cells) != 1 || len(r.Cells[0]) != len(steps) {
		return nil, fmt.Errorf("actor %s: it answered other steps than it was asked", g.cast[who].Name)
	}
	return r.Cells[0], nil
}

// broke does a step that wants privilege in the initial namespace, or two actors.
func (g *agent) broke(s *program.Step) (program.Observation, error) {
	p, err := g.player(s.Actor)
	if err != nil {
		return program.Observation{}, err
	}
	switch s.Op {
	case program.OpBPFFS:
		return g.delegate(p, s)
	case program.OpSend:
		return program.Observation{}, g.pass(p, s)
	case program.OpSysctl:
		v, _ := s.Num(program.KeyValue)
		return program.Observation{}, g.setSysctl(int(v))
	case program.OpSysrq:
		return program.Observation{}, os.WriteFile("/proc/sysrq-trigger", []byte(s.Args[0].Str), 0)
	}
	return program.Observation{}, fmt.Errorf("the broker does not know %s", s.Op)
}

// delegate makes a bpffs that an actor owns. It takes two processes:
//  1. The actor, in its user and mount namespace, calls fsopen("bpf") and
//     sends the context to the broker.
//  2. The broker, in the initial namespaces, sets the delegate_* options and
//     creates the superblock.
//  3. The actor mounts it and opens its root.
func (g *agent) delegate(p *player, s *program.Step) (program.Observation, error) {
	_, context, err := p.link.call(verbOpen, nil, noFD, g.buf)
	if err != nil {
		return program.Observation{}, err
	}
	defer closeFD(context)
	if errno := configure(context, s.Args); errno != 0 {
		return program.Observation{Errno: errno}, nil
	}
	if _, _, err = p.link.call(verbMount, []byte{byte(s.Out)}, noFD, g.buf); err != nil {
		return program.Observation{}, err
	}
	return program.Observation{Proof: program.Works}, nil
}

// configure sets the options in their order and creates the superblock.
func configure(context int, args []program.Arg) uapi.Errno {
	for _, a := range args {
		if err := unix.FsconfigSetString(context, a.Key.MountOption(), a.Str); err != nil {
			return errnoOf(err)
		}
	}
	return errnoOf(unix.FsconfigCreate(context))
}

func errnoOf(err error) uapi.Errno {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return uapi.Errno(errno)
	}
	if err != nil {
		return uapi.Errno(unix.EIO)
	}
	return 0
}

func (g *agent) pass(from *player, s *program.Step) error {
	h, _ := s.Num(program.KeyHandle)
	who, _ := s.Num(program.KeyTo)
	to, err := g.player(uint32(who))
	if err != nil {
		return err
	}
	_, fd, err := from.link.call(verbGive, []byte{byte(h)}, noFD, g.buf)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	_, _, err = to.link.call(verbTake, []byte{byte(h)}, fd, g.buf)
	return err
}

func (g *agent) setSysctl(v int) error {
	if g.sysctl == v {
		return nil
	}
	if err := os.WriteFile(unprivSysctl, fmt.Appendln(nil, v), 0); err != nil {
		return fmt.Errorf("set kernel.unprivileged_bpf_disabled: %w", err)
	}
	g.sysctl = v
	return nil
}

// assemble starts the actors of a world, or has those of the last one forget
// what they own when they are the same.
func (g *agent) assemble(cast []program.Actor) error {
	if len(g.players) > 0 && slices.Equal(cast, g.cast) {
		for _, p := range g.players {
			if _, _, err := p.link.call(verbForget, nil, noFD, g.buf); err != nil {
				return err
			}
		}
		return nil
	}
	g.dismiss()
	for _, a := range cast {
		p, err := g.enter(a)
		if err != nil {
			return fmt.Errorf("actor %s: %w", a.Name, err)
		}
		g.players = append(g.players, p)
		g.cast = append(g.cast, a)
		if _, _, err := p.link.call(verbTypes, g.types, noFD, g.buf); err != nil {
			return fmt.Errorf("actor %s: %w", a.Name, err)
		}
	}
	return nil
}

// enter starts one actor, from here or from the actor that is its parent.
func (g *agent) enter(a program.Actor) (player, error) {
	mine, its, err := newLink()
	if err != nil {
		return player{}, err
	}
	defer unix.Close(its.fd)
	p := player{link: mine}
	switch {
	case a.Parent >= len(g.players):
		err = fmt.Errorf("its parent is no actor")
	case a.Parent >= 0:
		userns := byte(0)
		if a.Kind == program.Userns {
			userns = 1
		}
		_, _, err = g.players[a.Parent].link.call(verbFork, []byte{userns}, its.fd, g.buf)
	case a.Kind == program.Userns:
		p.pid, err = startOwned(a.UID, its.fd, g.fix)
	default:
		p.pid, err = start(nil, a.UID, its.fd, g.fix)
	}
	return p, err
}

// dismiss ends the actors; a process ends when its socket is closed.
func (g *agent) dismiss() {
	for _, p := range g.players {
		unix.Close(p.link.fd)
	}
	for _, p := range g.players {
		if p.pid != 0 {
			var status syscall.WaitStatus
			syscall.Wait4(p.pid, &status, 0, nil)
		}
	}
	g.players, g.cast = nil, nil
}

// hello tells the host what this machine is.
func (g *agent) hello(buildID string, failed []error) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("read the kernel's release: %w", err)
	}
	h := wire.Hello{BuildID: buildID}
	for _, err := range failed {
		h.Failed = append(h.Failed, err.Error())
	}
	h.Release = unix.ByteSliceToString(u.Release[:])
	_, errno := tokenCreate(0, badFD)
	h.Token = errno == uapi.Errno(unix.EBADF)
	h.StructOpsIndex = g.btf.StructOpsIndex
	h.Max = g.max
	h.BTF = g.max != nil
	payload, err := wire.EncodeJSON(h)
	if err != nil {
		return err
	}
	return g.out.Write(wire.KindHello, payload)
}

// Main is the guest: PID 1 calls it with the machine prepared; an actor's
// process calls it under actorArg0. It returns when there is nothing more to do.
func Main(buildID string, failed []error) error {
	if os.Args[0] == actorArg0 {
		return runActor(os.Args)
	}
	port, err := openControl()
	if err != nil {
		return err
	}
	defer port.Close()
	g := newAgent(port)
	if err := g.hello(buildID, failed); err != nil {
		return err
	}
	return g.serve()
}

// IsActor reports whether this process is an actor's, which prepares nothing.
func IsActor() bool { return os.Args[0] == actorArg0 }

func newAgent(port io.ReadWriter) *agent {
	g := &agent{in: wire.NewReader(port), out: wire.NewWriter(port), sysctl: -1, buf: make([]byte, maxMessage)}
	g.readBTF()
	g.fix = makeFixtures()
	return g
}

// readBTF looks up what requests and hello need. A kernel without BTF is no
// fault: hello says so.
func (g *agent) readBTF() {
	b, err := loadBTF(wantedNames())
	if err == nil {
		g.max = map[string]uint32{}
		for _, e := range []uapi.Enum{uapi.Cmds, uapi.MapTypes, uapi.ProgTypes, uapi.AttachTypes} {
			g.max[e.Tag] = b.end(e.Tag)
		}
	}
	g.btf = b.ids()
	g.types, _ = json.Marshal(g.btf) // maps of numbers always can be
}
