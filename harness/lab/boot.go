package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// death is how one machine came out of its boot.
type death struct {
	exit     vm.Exit
	culprits []*cases.Case // had begun and not ended
	refused  bool          // its hello was not that of our guest on this kernel
	cut      bool          // it was ended with a run that goes on now
}

func (d *death) died() bool {
	switch d.exit.Fate {
	case vm.Panicked, vm.Hung, vm.Lost:
		return true
	}
	return d.starved()
}

// starved says that the host gave the machine too little: another may do better.
func (d *death) starved() bool { return d.exit.Host != nil }

// hopeless says that another machine would end the same way.
func (d *death) hopeless() bool {
	return d.exit.Fate == vm.Infra && !d.starved() || d.exit.Fate == vm.Unbooted || d.refused
}

// session is one boot: what was sent, in order, and how far the answers are.
type session struct {
	trial *trial
	m     *vm.Machine
	stop  context.CancelCauseFunc
	// interrupted says that the machine went away because the run did
	interrupted func() bool
	index       int
	batches     []plan.Batch
	worlds      []*cases.World // in the order in which they were sent
	setups      int            // answered
	next        int            // the batch whose answer is next
	staged      int            // worlds whose set-up has begun
	begun       bool           // the next batch has begun
	hello       time.Time
	refused     bool
	wrong       error // what the guest sent that ended the session
	decide      time.Duration
	done        int
	started     time.Time
	marks       []marked
	taint       uint64         // at hello
	fixtures    []step.Fixture // that the kernel refused
	port        io.ReadWriter
	replayed    bool // it is there from before; nothing is sent or waited for
}

// caseDeadline is how long a batch may take under KVM.
const caseDeadline = 10 * time.Second

// boot boots one machine for the cases and takes in what they show.
func (t *trial) boot(ctx context.Context, todo []*cases.Case, size int) *death {
	s := &session{trial: t, index: len(t.out.Boots)}
	t.lab.progress(Progress{Kernel: t.out.Ref, Stage: "boot", Done: t.results.done, Total: t.total, Failed: t.failed,
		Console: filepath.Join(t.dir, fmt.Sprintf("boot%d", s.index), "console.log")})
	dir := filepath.Join(t.dir, fmt.Sprintf("boot%d", s.index))
	if t.replays(dir) {
		return t.replay(dir, todo, size)
	}
	if t.recalls {
		t.over = true
		return &death{}
	}
	if err := s.directory(dir); err != nil {
		return s.end(vm.Exit{Fate: vm.Infra, Reason: err.Error()}, dir)
	}
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.stop, s.interrupted = stop, func() bool { return ctx.Err() != nil }
	s.started = time.Now()
	var err error
	if s.m, err = t.launch(inner, dir, 0); err == nil {
		s.port = s.m.Control()
		s.receive(todo, size)
	}
	s.disarm()
	exit := s.m.Wait()
	s.trial.symbolise(exit.Findings)
	s.keepEnding(dir, exit)
	return s.end(exit, dir)
}

// directory makes the boot's directory, with what repeats it beside it.
func (s *session) directory(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the boot's directory: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, digestsFile), []byte(s.digests()), 0o644); err != nil {
		return fmt.Errorf("write the boot's digests: %w", err)
	}
	return s.copyConfig(dir)
}

// digestsFile tells in the boot's directory what was booted.
const digestsFile = "digests"

func (s *session) digests() string {
	return fmt.Sprintf("kernel %s %s\nrelease %s\nsha256 %s\ninitramfs sha256 %s\n",
		s.trial.kernel.Ref, s.trial.kernel.Source, s.trial.kernel.Release, s.trial.kernel.Digest, s.trial.image.Digest)
}

func (s *session) copyConfig(dir string) error {
	to, first := filepath.Join(dir, "config"), filepath.Join(s.trial.dir, "boot0", "config")
	if s.trial.kernel.ConfigPath == "" || to != first && os.Link(first, to) == nil {
		return nil // there is none, or it is there for all machines
	}
	text, err := os.ReadFile(s.trial.kernel.ConfigPath)
	if err != nil {
		return fmt.Errorf("copy the kernel's configuration: %w", err)
	}
	if err := os.WriteFile(to, text, 0o644); err != nil {
		return fmt.Errorf("copy the kernel's configuration: %w", err)
	}
	return nil
}

// end records the boot and names who was running when it died.
func (s *session) end(exit vm.Exit, dir string) *death {
	corrupt := false
	if s.wrong != nil && exit.Fate == vm.Lost { // it may have gone away before it was stopped for that
		exit.Reason, corrupt = s.wrong.Error(), errors.Is(s.wrong, wire.ErrCorrupt)
	}
	s.place(exit.Findings)
	d := &death{exit: exit, refused: s.refused}
	name, err := filepath.Rel(s.trial.lab.Dir, dir)
	if err != nil {
		name = dir
	}
	b := result.Boot{Dir: name, Began: s.trial.began(s.m), Fate: exit.Fate, Reason: exit.Reason, Findings: exit.Findings,
		Boot: exit.Boot, Decide: s.decide, Total: exit.Total, Cases: s.done,
		Refused: s.fixtures, Host: exit.Host, Corrupt: corrupt}
	switch {
	case !d.died(), s.interrupted != nil && s.interrupted():
	case d.starved():
		s.askAgain(exit.Findings)
	case s.staged > s.setups: // in a set-up: without it none of its cases can run
		b.Under(result.Blame{Case: s.batches[s.next].Cases[0].ID, Setup: true})
		s.blame(s.trial.open(s.worlds[s.setups].Cases), "its set-up", exit)
	case s.begun:
		d.culprits = s.trial.open(s.batches[s.next].Cases)
		if len(d.culprits) == 1 {
			b.Under(result.Blame{Case: d.culprits[0].ID})
			s.blame(d.culprits, "it", exit)
			d.culprits = nil
		} else {
			b.Reason += fmt.Sprintf(" (under one of %d cases, %s to %s)", len(d.culprits), d.culprits[0].ID, d.culprits[len(d.culprits)-1].ID)
		}
	}
	s.trial.out.Boots = append(s.trial.out.Boots, b)
	s.trial.out.Decide += s.decide
	return d
}

// askAgain forgets what the cases showed under which the host gave the machine
// too little: another machine asks them again.
func (s *session) askAgain(findings []splat.Finding) {
	for i := range findings {
		if findings[i].Host == nil {
			continue
		}
		for _, c := range s.during(&findings[i]) {
			s.trial.results.forget(c)
		}
	}
}

func (s *session) blame(list []*cases.Case, under string, exit vm.Exit) {
	did := string(exit.Fate)
	if exit.Fate == vm.Lost {
		did = "was lost"
	}
	for _, c := range list {
		why := fmt.Sprintf("the machine %s under %s: %s", did, under, exit.Reason)
		s.trial.set(c, result.NewResult(c.ID, result.Broken, result.Cause{Kind: result.ByMachine, Fate: exit.Fate}, why, s.index))
	}
}

// receive reads records until the machine has no more to say. A record that
// is damaged or out of order stops the machine: nothing behind it counts.
func (s *session) receive(todo []*cases.Case, size int) {
	var in io.Reader = s.port
	if s.trial.lab.Tap != nil {
		in = s.trial.lab.Tap(in)
	}
	r := wire.NewReader(in)
	for {
		kind, payload, err := r.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = s.record(kind, payload, todo, size)
		}
		if err != nil {
			s.wrong = err
			s.stop(err)
			return
		}
		if kind == wire.KindDone {
			s.drain(r)
			return
		}
	}
}

// drain waits for the end of the channel; nothing may follow done.
func (s *session) drain(r *wire.Reader) {
	if _, _, err := r.Read(); !errors.Is(err, io.EOF) {
		s.trial.lab.log("%s: a record after done is ignored", s.trial.out.Ref)
	}
}

func (s *session) record(kind wire.Kind, payload []byte, todo []*cases.Case, size int) error {
	if (kind == wire.KindHello) == !s.hello.IsZero() {
		return fmt.Errorf("%w: an unexpected %s record", wire.ErrCorrupt, kind)
	}
	switch kind {
	case wire.KindHello:
		return s.greet(payload, todo, size)
	case wire.KindStage:
		return s.stage()
	case wire.KindSetup:
		return s.setup(payload)
	case wire.KindBegin:
		return s.begin(payload)
	case wire.KindAlive:
		s.further()
		return nil
	case wire.KindEnd:
		return s.answer(payload)
	case wire.KindFault:
		return s.fault(payload)
	case wire.KindCosts:
		if s.trial.lab.measures() {
			return s.costs(payload)
		}
	case wire.KindDone:
		return s.finished(payload)
	}
	return fmt.Errorf("%w: a %s record is not from a guest", wire.ErrCorrupt, kind)
}

// greet checks that the guest is ours, learns the kernel's facts, and sends
// the cases that it can run.
func (s *session) greet(payload []byte, todo []*cases.Case, size int) error {
	h, err := s.meet(payload)
	if err != nil {
		return err
	}
	s.learn(h)
	var ready []*cases.Case
	for _, c := range todo {
		if r := s.trial.judge.Unmet(c); r != nil {
			s.trial.set(c, *r)
		} else {
			ready = append(ready, c)
		}
	}
	s.batches = plan.Batches(ready, size)
	for i, b := range s.batches {
		if i == 0 || b.World != s.batches[i-1].World {
			s.worlds = append(s.worlds, b.World)
		}
	}
	s.report()
	if s.replayed {
		s.send()
	} else {
		go s.send()
	}
	return nil
}

// meet checks that the guest is ours and runs the kernel that it should.
func (s *session) meet(payload []byte) (*wire.Hello, error) {
	h := &wire.Hello{}
	if err := wire.DecodeJSON(payload, h); err != nil {
		return nil, err
	}
	s.refused = true
	if h.BuildID != s.trial.image.BuildID {
		return nil, fmt.Errorf("the guest says that it was built from %s, the image from %s", h.BuildID, s.trial.image.BuildID)
	}
	if s.trial.kernel.Release != "" && h.Release != s.trial.kernel.Release {
		return nil, fmt.Errorf("the guest runs %s, the image says %s", h.Release, s.trial.kernel.Release)
	}
	s.refused, s.hello = false, time.Now()
	s.m.Hello()
	s.taint, s.fixtures = h.Taint, h.Refused
	return h, nil
}

func (s *session) learn(h *wire.Hello) {
	facts := h.Facts
	facts.Config = s.trial.kernel.Config
	s.trial.out.Facts, s.trial.out.Release, s.trial.out.Drift = &facts, h.Release, cases.Drift(&facts)
	if s.trial.judge == nil {
		s.trial.judge = result.NewJudge(&facts, s.trial.lab.OmitRule)
	}
	switch {
	case !facts.Token:
		s.trial.remark(fmt.Sprintf("%s has no BPF tokens (they came with 6.9): checked is that it says so", h.Release))
	case !facts.BTF:
		s.trial.remark(fmt.Sprintf("%s shows no BTF: enumerations are taken from its release", h.Release))
	}
}

// send writes everything that the guest is to do. It needs no answer in
// between, so that the stored stream repeats a boot by hand.
func (s *session) send() {
	w := wire.NewWriter(s.port)
	var err error
	for i, b := range s.batches {
		if i == 0 || b.World != s.batches[i-1].World {
			err = errors.Join(err, w.Write(wire.KindWorld, wire.EncodeProgram(&b.World.Program)))
		}
		c := wire.Cells{First: b.First}
		for _, k := range b.Cases {
			c.Cells = append(c.Cells, s.trial.lab.cell(k))
		}
		if err = errors.Join(err, w.Write(wire.KindCells, wire.EncodeCells(&c))); err != nil {
			return // the machine is gone; the reader knows
		}
	}
	if s.trial.lab.measures() {
		w.Write(wire.KindMeasure, nil)
	}
	w.Write(wire.KindBye, nil)
}

// stage notes that a world's set-up has begun: what dies now dies under it.
func (s *session) stage() error {
	if s.begun || s.staged != s.setups || s.staged >= len(s.worlds) {
		return fmt.Errorf("%w: a stage record for no world", wire.ErrCorrupt)
	}
	s.mark(wire.Mark{Kind: wire.MarkSetup, First: uint32(s.staged)})
	s.staged++
	s.arm(s.batches[s.next].Cases[0].ID)
	return nil
}

func (s *session) setup(payload []byte) error {
	s.disarm()
	r, err := wire.DecodeResults(payload)
	if err != nil {
		return err
	}
	if s.setups != s.staged-1 || len(r.Cells) != 1 {
		return fmt.Errorf("%w: a setup record for no world", wire.ErrCorrupt)
	}
	w := s.worlds[s.setups]
	s.trial.judge.Setup(w, r.Cells[0])
	s.trial.out.Worlds = append(s.trial.out.Worlds, result.WorldResult{Group: w.Group.Name, Index: w.Index, Key: w.Key(), Seen: r.Cells[0]})
	s.setups++
	return nil
}

func (s *session) begin(payload []byte) error {
	r, err := wire.DecodeRange(payload)
	if err != nil {
		return err
	}
	if s.begun || s.next >= len(s.batches) || s.batches[s.next].First != r.First || len(s.batches[s.next].Cases) != int(r.Count) {
		return fmt.Errorf("%w: the guest started %d cases from %d on out of order", wire.ErrCorrupt, r.Count, r.First)
	}
	s.begun = true
	s.mark(wire.Mark{Kind: wire.MarkCells, First: r.First, Count: r.Count})
	s.arm(s.batches[s.next].Cases[0].ID)
	return nil
}

func (s *session) answer(payload []byte) error {
	r, err := wire.DecodeResults(payload)
	if err != nil {
		return err
	}
	if !s.begun || s.batches[s.next].First != r.First || len(s.batches[s.next].Cases) != len(r.Cells) {
		return fmt.Errorf("%w: it ends %d cases from %d on, which had not begun", wire.ErrCorrupt, len(r.Cells), r.First)
	}
	after := time.Since(s.hello)
	for i, c := range s.batches[s.next].Cases {
		if s.trial.lab.Stopwatch != nil {
			s.trial.lab.Stopwatch.Answered(c, r.Cells[i], after)
		}
		s.took(c, r.Cells[i])
	}
	s.step()
	return nil
}

func (s *session) took(c *cases.Case, seen []step.Observation) {
	r := s.trial.judge.Case(c, seen)
	r.Boot = s.index
	s.trial.set(c, r)
	s.done++
}

// fault takes the agent's word for what it could not do: the cases say nothing.
func (s *session) fault(payload []byte) error {
	var f wire.Fault
	if err := wire.DecodeJSON(payload, &f); err != nil {
		return err
	}
	if f.Count == 0 {
		s.disarm()
		if s.setups != s.staged-1 {
			return fmt.Errorf("the guest gave up: %s", f.Reason)
		}
		s.trial.judge.SetupFailed(s.worlds[s.setups], f.Reason)
		s.setups++
		return nil
	}
	if !s.begun || s.batches[s.next].First != f.Cell {
		return fmt.Errorf("%w: a fault in cases that had not begun", wire.ErrCorrupt)
	}
	for _, c := range s.batches[s.next].Cases {
		r := s.trial.judge.Faulted(c, f.Reason)
		r.Boot = s.index
		s.trial.set(c, r)
	}
	s.step()
	return nil
}

func (s *session) step() {
	s.disarm()
	s.begun = false
	s.next++
	s.report()
}

func (s *session) report() {
	s.trial.lab.progress(Progress{Kernel: s.trial.out.Ref, Stage: "run", Done: s.trial.results.done, Total: s.trial.total, Failed: s.trial.failed})
}

func (s *session) finished(payload []byte) error {
	if s.next != len(s.batches) {
		return fmt.Errorf("%w: done after %d of %d batches", wire.ErrCorrupt, s.next, len(s.batches))
	}
	if err := s.healthy(payload); err != nil {
		return err
	}
	s.decide = time.Since(s.hello)
	s.m.Done()
	return nil
}

// arm has the machine end when the batch does not answer in time.
func (s *session) arm(first string) {
	limit := s.m.Scale(cmp.Or(s.trial.lab.caseDeadline, caseDeadline))
	s.m.Expect(limit, fmt.Sprintf("no answer in %s from the cases from %s on", limit, first))
}

// further takes note that a step which takes long has come further: the next
// part of it has as long again.
func (s *session) further() {
	if s.begun {
		s.arm(s.batches[s.next].Cases[0].ID)
	}
}

func (s *session) disarm() { s.m.Relax() }
