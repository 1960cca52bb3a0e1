// Package guest is the agent in the test machine: it sets up the actors of a
// program, makes the system calls of each step, and sends back what it observed.
//
// It holds no expectation and judges nothing: it imports neither cases nor the
// oracle. It makes every call under test itself, never through a BPF library.
//
// Start with Main, which speaks package wire with the host; doers.go has the
// function for each operation. The agent acts as the broker, with all privileges;
// each actor is a process (actor.go), and a worker thread with the capabilities of
// the step makes the call (worker.go).
package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/wire"
)

// agent is the broker: privileged, in the initial namespaces. It never makes
// the call under test itself.
type agent struct {
	in  *wire.Reader
	out *wire.Writer
	caller
	players  []*player // of the world, as its actors are numbered
	idle     []*player // of earlier worlds, for later ones
	sysctl   int
	sysctls  map[string][]byte // what the world's end restores, by file
	fileMax  []byte            // fs.file-max before a step set it, nil if none did
	policy   *policy           // the SELinux policy that was loaded
	types    []byte            // typeIDs, encoded for the actors
	max      map[string]uint32 // the ends of the enumerations, nil without BTF
	members  map[string][]string
	built    builtIn
	buf      []byte
	refused  []step.Fixture // fixtures that the kernel refused
	log      kernelLog
	staged   int                    // worlds
	stats    int                    // keeps the statistics of programs on, see enableStats
	hooks    map[uapi.Hook]*lsmHook // those with our program
	lsm      map[step.Handle]lsmPlace
	attached bool // the world attaches programs that stay
	guestProgram
}

// player is an actor's process. Acts whose result is not needed at once wait, and
// are sent with the next ones.
type player struct {
	name    string
	actor   step.Actor
	parent  *player // nil where the agent itself forked it
	retired bool    // it has closed what it owned
	link    link
	absent  bool   // it is not forked yet, or has ended
	socket  int    // its end of the link until it is forked
	pid     int    // 0 if another actor forked the process
	number  uint32 // its process number, 0 until the agent asks for it
	pending script
	cgroup  string              // the memory cgroup that it was put into
	given   map[step.Handle]int // descriptors that it sent and still has
}

const (
	unprivDefault = 2 // what a world begins with
	unprivLocked  = 1 // no other value can follow
)

var unprivDisabled = step.SettingNamed(step.UnprivDisabled)

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
		case wire.KindMeasure:
			err = g.measure()
		case wire.KindBye:
			g.dismiss()
			return g.done()
		case wire.KindFile, wire.KindExec, wire.KindInput, wire.KindSignal, wire.KindModule:
			err = g.program(kind, payload)
		default:
			err = fmt.Errorf("unexpected %s record from the host", kind)
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
	g.log.begin(wire.Mark{Kind: wire.MarkSetup, First: uint32(g.staged)})
	g.staged++
	if err := g.out.Write(wire.KindStage, nil); err != nil {
		return err
	}
	seen, err := g.stage(p)
	if err != nil {
		return g.fault(wire.Range{}, err) // of no cell: the world's
	}
	return g.out.Queue(wire.KindSetup, wire.EncodeResults(&wire.Results{Cells: [][]step.Observation{seen}}))
}

// stage prepares a world: the sysctl, the actors, the set-up steps.
func (g *agent) stage(p *step.Program) ([]step.Observation, error) {
	if errno := g.setSysctl(unprivDefault); errno != 0 && !g.locked() {
		return nil, fmt.Errorf("set kernel.unprivileged_bpf_disabled: %w", unix.Errno(errno))
	}
	if err := g.closeReceived(); err != nil { // a program that a step runs
		return nil, err
	}
	for _, dir := range p.Dirs {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return nil, fmt.Errorf("make the place %s: %w", dir, err)
		}
	}
	if err := g.assemble(p.Actors); err != nil {
		return nil, err
	}
	return g.play(p.Setup)
}

// cells announces cells, runs them, and sends their results.
func (g *agent) cells(payload []byte) error {
	r, actor, alone := wire.Alone(payload)
	g.log.begin(wire.Mark{Kind: wire.MarkCells, First: r.First, Count: r.Count})
	if err := g.out.Write(wire.KindBegin, wire.EncodeRange(r)); err != nil {
		return err
	}
	run := g.severalActors
	if alone {
		run = func(payload []byte) ([]byte, error) { return g.oneActor(actor, payload) }
	}
	results, err := run(payload)
	if errors.Is(err, wire.ErrCorrupt) {
		return err
	}
	if err != nil {
		return g.fault(r, err)
	}
	return g.out.Queue(wire.KindEnd, results)
}

// oneActor has an actor run a record whose steps are all its own. The record and the
// answer are passed on unchanged: under emulation, decoding and encoding them costs
// more than most calls.
func (g *agent) oneActor(actor uint32, payload []byte) ([]byte, error) {
	p, err := g.player(actor)
	if err != nil {
		return nil, err
	}
	p.pending.add(verbCells, payload...)
	p.forgetGiven()
	results, _, err := g.ask(p)
	return results, err
}

// severalActors plays a record's cells step by step.
func (g *agent) severalActors(payload []byte) ([]byte, error) {
	c, err := wire.DecodeCells(payload)
	if err != nil {
		return nil, err
	}
	seen, err := g.play(joined(c.Cells))
	if err != nil {
		return nil, err
	}
	return wire.EncodeResults(resultsOf(c, seen)), nil
}

// joined is the steps of cells in one list.
func joined(cells []step.Cell) []step.Step {
	var out []step.Step
	for _, c := range cells {
		out = append(out, c...)
	}
	return out
}

// resultsOf splits what the steps of cells showed by cell.
func resultsOf(c *wire.Cells, seen []step.Observation) *wire.Results {
	r := &wire.Results{First: c.First, Cells: make([][]step.Observation, len(c.Cells))}
	for i, cell := range c.Cells {
		r.Cells[i], seen = seen[:len(cell)], seen[len(cell):]
	}
	return r
}

func (g *agent) fault(r wire.Range, why error) error {
	payload, err := wire.EncodeJSON(wire.Fault{Cell: r.First, Count: r.Count, Reason: why.Error()})
	if err != nil {
		return err
	}
	g.dismiss()
	return g.out.Write(wire.KindFault, payload)
}

// play runs steps in order. It does the broker's steps itself, and sends consecutive
// steps of one actor together.
func (g *agent) play(steps []step.Step) ([]step.Observation, error) {
	seen := make([]step.Observation, len(steps))
	for i := 0; i < len(steps); {
		p, err := g.player(steps[i].Actor)
		if err != nil {
			return nil, err
		}
		if err := g.settle(p); err != nil {
			return nil, err
		}
		n := i + 1
		if !steps[i].Op.Brokered() {
			for n < len(steps) && !steps[n].Op.Brokered() && steps[n].Actor == steps[i].Actor {
				n++
			}
			p.queue(steps[i:n], seen[i:n])
		} else if seen[i], err = g.playBroker(p, &steps[i]); err != nil {
			return nil, err
		}
		i = n
	}
	return seen, g.settle(nil)
}

// settle sends the waiting steps of every player except one, so that steps of
// different actors happen in order.
func (g *agent) settle(but *player) error {
	for _, p := range g.players {
		if p == but || len(p.pending.want) == 0 && !p.pending.shown {
			continue
		}
		if _, err := g.flush(p); err != nil {
			return err
		}
	}
	return nil
}

func (g *agent) player(i uint32) (*player, error) {
	if int(i) >= len(g.players) {
		return nil, fmt.Errorf("there is no actor %d", i)
	}
	return g.players[i], nil
}

// queue adds steps to the player's script. Their observations are stored in where.
func (p *player) queue(steps []step.Step, where []step.Observation) {
	p.pending.add(verbRun, wire.EncodeSteps(steps)...)
	p.pending.want = append(p.pending.want, where)
	p.forgetGiven()
}

func (p *player) forgetGiven() {
	for h, fd := range p.given {
		unix.Close(fd)
		delete(p.given, h)
	}
}

// flush sends the player's script and stores the answer.
func (g *agent) flush(p *player) ([]int, error) {
	want := p.pending.want
	answer, fds, err := g.ask(p)
	if err != nil && !errors.Is(err, errNotOpen) || answer == nil {
		return fds, err
	}
	notOpen := err
	r, err := wire.DecodeResults(answer)
	if err != nil {
		return nil, err
	}
	seen := r.Cells[0]
	for _, where := range want {
		if len(seen) < len(where) {
			return nil, fmt.Errorf("actor %s: it answered fewer steps than the agent sent", p.name)
		}
		seen = seen[copy(where, seen):]
	}
	return fds, notOpen
}

// ask sends the player's script, unless it is empty, and returns the encoded answer.
func (g *agent) ask(p *player) (answer []byte, fds []int, err error) {
	s := p.pending
	p.pending = script{}
	if len(s.acts) == 0 {
		return nil, nil, nil
	}
	if p.absent {
		s.drop()
		return nil, nil, fmt.Errorf("actor %s: %w", p.name, errNoActor)
	}
	answer, fds, err = p.link.call(&s, g.buf)
	for _, fd := range s.fds {
		unix.Close(fd)
	}
	if err != nil {
		return answer, fds, fmt.Errorf("actor %s: %w", p.name, err)
	}
	return answer, fds, nil
}

// playBroker does a step that needs privilege in the initial namespace, or two actors.
func (g *agent) playBroker(p *player, s *step.Step) (step.Observation, error) {
	if !s.Op.Known() || doers[s.Op].broker == nil {
		return step.Observation{}, fmt.Errorf("the agent %w %s", errUnknownOp, s.Op)
	}
	return doers[s.Op].broker(g, p, s)
}

// sysctlStep sets kernel.unprivileged_bpf_disabled, after all earlier steps.
func (g *agent) sysctlStep(_ *player, s *step.Step) (step.Observation, error) {
	if err := g.settle(nil); err != nil {
		return step.Observation{}, err
	}
	v, _ := s.Num(step.KeyValue)
	return step.Observation{Errno: g.setSysctl(int(v))}, nil
}

func (g *agent) sysrq(_ *player, s *step.Step) (step.Observation, error) {
	return step.Observation{}, os.WriteFile("/proc/sysrq-trigger", []byte(str(s, step.KeyValue)), 0)
}

// ErrnoOf returns the errno in an error, EIO if it has none, 0 for nil.
func ErrnoOf(err error) uapi.Errno { return errnoOf(err) }

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

// pass passes a descriptor from one actor to another.
func (g *agent) pass(from *player, s *step.Step) (step.Observation, error) {
	none := step.Observation{}
	n, _ := s.Num(step.KeyHandle)
	h := step.Handle(n)
	who, _ := s.Num(step.KeyTo)
	to, err := g.player(uint32(who))
	if err != nil {
		return none, err
	}
	if _, ok := from.given[h]; !ok {
		from.pending.add(verbGive, byte(h))
		from.pending.gives++
		fds, err := g.flush(from)
		if errors.Is(err, errNotOpen) {
			return step.Observation{Errno: uapi.Errno(unix.EBADF)}, nil
		}
		if err != nil {
			return none, err
		}
		from.given[h] = fds[len(fds)-1]
	}
	fd, err := unix.FcntlInt(uintptr(from.given[h]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return none, fmt.Errorf("duplicate a descriptor for actor %s: %w", to.name, err)
	}
	to.pending.take(h, fd)
	return none, nil
}

// setSysctl writes kernel.unprivileged_bpf_disabled. The value 1 cannot be changed:
// all later worlds of the machine set it to 1 themselves.
func (g *agent) setSysctl(v int) uapi.Errno {
	if g.sysctl == v {
		return 0
	}
	errno := errnoOf(os.WriteFile(unprivDisabled.File, fmt.Appendln(nil, v), 0))
	if errno == 0 {
		g.sysctl = v
	}
	return errno
}

// locked reports whether kernel.unprivileged_bpf_disabled is 1, set by an earlier
// world or since the boot.
func (g *agent) locked() bool {
	if g.sysctl == unprivLocked {
		return true
	}
	v, ok := readSetting(unprivDisabled)
	if ok && v == unprivLocked {
		g.sysctl = unprivLocked
	}
	return g.sysctl == unprivLocked
}

// hello describes this machine to the host.
func (g *agent) hello(buildID string, settings map[string]step.Reading, changes []step.Change) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("read the kernel's release: %w", err)
	}
	h := wire.Hello{BuildID: buildID}
	taint, err := readTaint(taintFile)
	if err != nil {
		return err
	}
	h.Taint = taint
	h.Settings, h.Changes = settings, changes
	h.Refused = g.refused
	h.Release, h.Machine = unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:])
	h.PageSize = uint32(os.Getpagesize())
	h.ISA, h.NoArena = readISA(cpuFile), refusedArena()
	h.No32, h.Linux32 = refused32(), hasLinux32()
	_, errno := tokenCreate(0, badFD, &step.Step{})
	h.Token = errno == uapi.Errno(unix.EBADF)
	h.StructOpsIndex = g.btf.StructOpsIndex
	h.Max, h.Enumerators = g.max, g.members
	h.ConfigOff, h.ConfigOn, h.OptionsFrom, h.TypesOff = g.built.off, g.built.on, g.built.from, g.built.typesOff
	h.BTF = g.max != nil
	h.LSM = activeLSMs()
	h.MitigationsOff = settings[step.Mitigations].Booted != 0
	payload, err := wire.EncodeJSON(h)
	if err != nil {
		return err
	}
	return g.out.Write(wire.KindHello, payload)
}

// Main is the guest. PID 1 calls it after it has prepared the machine; an actor's
// process calls it under actorArg0. It returns when the host says bye. changes is
// what PID 1 changed in the kernel.
func Main(buildID string, changes []step.Change) error {
	if isPart() {
		return Part()
	}
	if isCase() {
		if err := runCases(os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "runcase:", err)
		}
		return nil
	}
	debug.SetGCPercent(-1) // a run makes little garbage
	port, err := openControl()
	if err != nil {
		return err
	}
	defer port.Close()
	settings := readSettings()
	changes = append(changes, prepare(settings)...)
	g := newAgent(port)
	if name, value, _ := strings.Cut(wire.ForCases, "="); os.Getenv(name) == value {
		changes = append(changes, g.getReady())
	}
	g.log = openKernelLog()
	if err := g.hello(buildID, settings, changes); err != nil {
		return err
	}
	return g.serve()
}

// getReady does in advance what most cases need. A user's program sees none of it: it would find actors
// beside it, and statistics that it did not turn on.
func (g *agent) getReady() step.Change {
	calmRuntime()
	var errno uapi.Errno
	g.stats, errno = again(enableStats)
	g.prestart()
	return step.Change{Kind: step.ChangeStatistics, Name: step.Statistics.Name, Errno: errno}
}

// IsActor reports whether this process is an actor, runs a program for one, or runs a case by
// hand. None prepares the machine.
func IsActor() bool {
	return isPart() || isCase()
}

func isPart() bool { return os.Args[0] == actorArg0 || os.Args[0] == runArg0 }

// Part is an actor's process, or the one that becomes an actor's program. Without the rest of Main it is small.
func Part() error {
	switch os.Args[0] {
	case actorArg0:
		return runActor(os.Args)
	case runArg0:
		return runProgram(os.Args)
	}
	return nil
}

func newAgent(port io.ReadWriter) *agent {
	g := &agent{
		in:     wire.NewReader(port),
		out:    wire.NewWriter(port),
		stats:  noFD,
		sysctl: -1, sysctls: map[string][]byte{},
		buf:   make([]byte, maxMessage),
		hooks: map[uapi.Hook]*lsmHook{},
		lsm:   map[step.Handle]lsmPlace{},
	}
	g.readBTF()
	m := &maker{}
	g.fix = makeFixtures(m)
	g.fix.commands = g.makeCommandFixtures(m)
	g.refused = m.refused
	return g
}

// readBTF looks up what requests and hello need. A kernel without BTF is no error:
// hello says so.
func (g *agent) readBTF() {
	b, err := loadBTF(wantedNames())
	if err == nil {
		g.max, g.members = map[string]uint32{}, map[string][]string{}
		for _, e := range []uapi.Enum{uapi.Cmds, uapi.MapTypes, uapi.ProgTypes, uapi.AttachTypes} {
			list := b.members(e.Tag)
			g.max[e.Tag] = step.End(list)
			for _, m := range list {
				g.members[e.Tag] = append(g.members[e.Tag], m.Name)
			}
		}
		if names := newHelpers(b.members(uapi.HelperEnum)); len(names) > 0 {
			g.members[uapi.HelperEnum] = names
		}
	}
	g.built = whatIsBuiltIn(b)
	g.btf = b.ids()
	g.types, _ = json.Marshal(g.btf) // maps of numbers always can be
}
