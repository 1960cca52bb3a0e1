package lab

import (
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

// bootOutcome is how one boot ended.
type bootOutcome struct {
	exit     vm.Exit
	culprits []*cases.Case // several cases one of which the machine died under
	refused  bool          // its hello was not that of our guest on this kernel
	idle     bool          // it did not begin the first set-up
	cut      bool          // the run that is resumed now was interrupted in this boot
}

// died reports whether the machine ended before it had answered for all cases.
func (b *bootOutcome) died() bool {
	switch b.exit.Fate {
	case vm.Panicked, vm.Hung, vm.Lost:
		return true
	}
	return b.starved()
}

// starved reports whether the host gave the machine too little: another may do better.
func (b *bootOutcome) starved() bool { return b.exit.Host != nil }

// hopeless reports whether another machine would end the same way.
func (b *bootOutcome) hopeless() bool {
	return b.exit.Fate == vm.Infra && !b.starved() || b.exit.Fate == vm.Unbooted || b.refused
}

// session is the conversation with one machine: what was sent, in order, and how far the
// answers are.
type session struct {
	trial *trial
	m     *vm.Machine
	stop  context.CancelCauseFunc
	// interrupted reports whether the machine ended because the run did.
	interrupted func() bool
	failedFast  func() bool // whether --failfast did; nil where nothing stops early
	index       int         // of the boot
	began       string      // result.Boot.Began
	saver       *saver      // nil unless the machine is to be saved after hello
	port        io.ReadWriter
	replayed    bool // the boot is a stored one: nothing waits for its answers

	hello    time.Time // zero before hello
	refused  bool      // bootOutcome.refused
	wrong    error     // what the guest sent that ended the session
	taint    uint64    // the kernel's taint flags at hello
	fixtures []step.Fixture
	decide   time.Duration // from hello to done

	batches    []plan.Batch
	worlds     []*cases.World // in the order in which they are sent
	setups     int            // set-ups that were answered
	setupsSeen int            // set-ups that have started
	next       int            // the index of the batch that is answered next
	inBatch    bool           // that batch has started
	sent       time.Time      // when it started
	done       int            // cases that were answered
	marks      []timedMark
}

// boot boots one machine for the cases and stores their results; size is how many cases
// go into a batch.
func (t *trial) boot(ctx context.Context, todo []*cases.Case, size int) *bootOutcome {
	s := &session{trial: t, index: len(t.out.Boots)}
	dir := filepath.Join(t.dir, fmt.Sprintf("boot%d", s.index))
	t.lab.progress(Progress{
		Kernel: t.out.Ref, Stage: "boot", Done: t.results.done, Total: t.total, Failed: t.failed,
		Console: filepath.Join(dir, "console.log"),
	})
	if t.replays(dir) {
		return t.replay(dir, todo, size)
	}
	if t.replaysOnly {
		t.exhausted = true
		return &bootOutcome{}
	}
	if err := s.directory(dir); err != nil {
		return s.end(vm.Exit{Fate: vm.Infra, Reason: err.Error()}, dir)
	}
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.stop, s.interrupted = stop, func() bool { return ctx.Err() != nil }
	s.failedFast = func() bool { return errors.Is(context.Cause(ctx), ErrFailFast) }
	var err error
	if s.m, err = t.launch(inner, dir, 0); err == nil {
		s.saver, t.saver = t.saver, nil
		s.noteBegan(dir)
		s.port = s.m.Control()
		s.receive(todo, size)
	}
	s.disarm()
	exit := s.m.Wait()
	s.trial.symbolise(exit.Findings)
	s.keepEnding(dir, exit)
	s.dropSnapshot(exit)
	s.trial.bootedPacked(exit)
	return s.end(exit, dir)
}

// directory creates the boot's directory, with the files that describe what is booted.
func (s *session) directory(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create the boot directory: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, digestsFile), []byte(s.digests()), 0o644); err != nil {
		return fmt.Errorf("write the digests of the boot: %w", err)
	}
	return s.copyConfig(dir)
}

// digestsFile in the boot's directory says what was booted.
const digestsFile = "digests"

func (s *session) digests() string {
	return fmt.Sprintf("kernel %s %s\nrelease %s\nsha256 %s\ninitramfs sha256 %s\n",
		s.trial.kernel.Ref, s.trial.kernel.Source, s.trial.kernel.Release, s.trial.kernel.Digest, s.trial.image.Digest)
}

func (s *session) copyConfig(dir string) error {
	to, first := filepath.Join(dir, "config"), filepath.Join(s.trial.dir, "boot0", "config")
	if s.trial.kernel.ConfigPath == "" || to != first && os.Link(first, to) == nil {
		return nil // there is none, or boot0 has it and a link is enough
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

// end records the boot and names the cases that ran when it died.
func (s *session) end(exit vm.Exit, dir string) *bootOutcome {
	corrupt := false
	if s.wrong != nil && exit.Fate == vm.Lost { // we stopped it for that, or it ended by itself at once
		exit.Reason, corrupt = s.wrong.Error(), errors.Is(s.wrong, wire.ErrCorrupt)
	}
	s.attribute(exit.Findings)
	out := &bootOutcome{exit: exit, refused: s.refused, idle: s.setupsSeen == 0}
	name, err := filepath.Rel(s.trial.lab.Dir, dir)
	if err != nil {
		name = dir
	}
	b := result.Boot{Dir: name, Began: s.began, Fate: exit.Fate, Signal: exit.Signal, Reason: exit.Reason,
		Findings: exit.Findings, Boot: exit.Boot, Decide: s.decide, Total: exit.Total, Cases: s.done,
		Refused: s.fixtures, Host: exit.Host, Corrupt: corrupt,
		Stopped: exit.Fate == vm.Lost && s.interrupted != nil && s.interrupted()}
	switch {
	case !out.died(), s.interrupted != nil && s.interrupted():
	case out.starved():
		s.forgetStarved(exit.Findings)
	case s.setupsSeen > s.setups: // in a set-up, without which none of its cases can run
		b.Under(result.Blame{Case: s.batches[s.next].Cases[0].ID, Setup: true})
		s.blame(s.trial.withoutResult(s.worlds[s.setups].Cases), "its set-up", exit)
	case s.inBatch:
		list := s.trial.withoutResult(s.batches[s.next].Cases)
		if len(list) == 1 {
			b.Under(result.Blame{Case: list[0].ID})
			s.blame(list, "it", exit)
		} else {
			out.culprits = list
			b.Reason += fmt.Sprintf(" (under one of %d cases, %s to %s)", len(list), list[0].ID, list[len(list)-1].ID)
		}
	}
	s.trial.out.Boots = append(s.trial.out.Boots, b)
	s.trial.out.Decide += s.decide
	return out
}

// forgetStarved drops the results of the cases that ran while the host gave the machine
// too little, so that another machine runs them.
func (s *session) forgetStarved(findings []splat.Finding) {
	for i := range findings {
		if findings[i].Host == nil {
			continue
		}
		for _, c := range s.running(&findings[i]) {
			s.trial.results.forget(c)
		}
	}
}

// blame makes the cases broken under which the machine died; under is "it" or "its set-up".
func (s *session) blame(list []*cases.Case, under string, exit vm.Exit) {
	did := string(exit.Fate)
	if exit.Fate == vm.Lost {
		did = "was lost"
	}
	why := fmt.Sprintf("the machine %s under %s: %s", did, under, exit.Reason)
	for _, c := range list {
		cause := result.Cause{Kind: result.ByMachine, Fate: exit.Fate}
		s.trial.set(c, result.NewResult(c.ID, result.Broken, cause, why, s.index))
	}
}

// receive reads records until the machine ends or says done. A record that is damaged or
// out of order stops the machine: nothing after it counts.
func (s *session) receive(todo []*cases.Case, size int) {
	var in io.Reader = s.port
	if s.trial.lab.Faults.Tap != nil {
		in = s.trial.lab.Faults.Tap(in)
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
		if s.failedFast != nil && s.failedFast() {
			return // what the guest sends before QEMU ends came after the first failure
		}
	}
}

// drain reads until the channel ends; nothing may follow done.
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
		s.extend()
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
	return fmt.Errorf("%w: a guest does not send a %s record", wire.ErrCorrupt, kind)
}

// greet checks that the guest is ours, stores the kernel's facts, and sends the cases that
// the kernel can run.
func (s *session) greet(payload []byte, todo []*cases.Case, size int) error {
	h, err := s.checkHello(payload)
	if err != nil {
		return err
	}
	s.save(payload)
	s.storeFacts(h)
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

// checkHello checks that the guest is ours and runs the right kernel.
func (s *session) checkHello(payload []byte) (*wire.Hello, error) {
	h := &wire.Hello{}
	if err := wire.DecodeJSON(payload, h); err != nil {
		return nil, err
	}
	s.refused = true
	if h.BuildID != s.trial.image.BuildID {
		return nil, fmt.Errorf("the guest's build id is %s, the image's is %s", h.BuildID, s.trial.image.BuildID)
	}
	if s.trial.kernel.Release != "" && h.Release != s.trial.kernel.Release {
		return nil, fmt.Errorf("the guest runs kernel %s, the image is of %s", h.Release, s.trial.kernel.Release)
	}
	s.refused, s.hello = false, time.Now()
	s.m.Hello()
	s.taint, s.fixtures = h.Taint, h.Refused
	return h, nil
}

func (s *session) storeFacts(h *wire.Hello) {
	facts := h.Facts
	facts.Config = s.trial.kernel.Config
	s.trial.out.Facts, s.trial.out.Release, s.trial.out.Drift = &facts, h.Release, cases.Drift(&facts)
	if s.trial.judge == nil {
		s.trial.judge = result.NewJudge(&facts, s.trial.lab.Faults.OmitRule)
	}
	switch {
	case !facts.Token:
		s.trial.remark(fmt.Sprintf("%s has no BPF tokens (they came with 6.9): checked is that it says so", h.Release))
	case !facts.BTF:
		s.trial.remark(fmt.Sprintf("%s shows no BTF: enumerations are taken from its release", h.Release))
	}
}

// send writes everything that the guest must do. It waits for no answer in between, so the
// stored stream repeats a boot by hand.
func (s *session) send() {
	w := wire.NewWriter(s.port)
	var err error
	sent := map[string]bool{}
	for i, b := range s.batches {
		if i == 0 || b.World != s.batches[i-1].World {
			err = errors.Join(err, sendPrograms(b.World, sent, w.Write))
			err = errors.Join(err, w.Write(wire.KindWorld, wire.EncodeProgram(&b.World.Program)))
		}
		c := wire.Cells{First: b.First}
		for _, k := range b.Cases {
			c.Cells = append(c.Cells, s.trial.lab.cell(k))
		}
		if err = errors.Join(err, w.Write(wire.KindCells, wire.EncodeCells(&c))); err != nil {
			return // the machine is gone, which the reader reports
		}
	}
	if s.trial.lab.measures() {
		w.Write(wire.KindMeasure, nil)
	}
	w.Write(wire.KindBye, nil)
}

// stage records that the set-up of a world has started: a machine that dies now dies under
// it.
func (s *session) stage() error {
	if s.inBatch || s.setupsSeen != s.setups || s.setupsSeen >= len(s.worlds) {
		return fmt.Errorf("%w: a stage record for no world", wire.ErrCorrupt)
	}
	s.addMark(wire.Mark{Kind: wire.MarkSetup, First: uint32(s.setupsSeen)})
	s.setupsSeen++
	s.arm(s.batches[s.next].Cases[0].ID)
	return nil
}

func (s *session) setup(payload []byte) error {
	s.disarm()
	r, err := wire.DecodeResults(payload)
	if err != nil {
		return err
	}
	if s.setups != s.setupsSeen-1 || len(r.Cells) != 1 {
		return fmt.Errorf("%w: a setup record for no world", wire.ErrCorrupt)
	}
	w := s.worlds[s.setups]
	s.trial.judge.Setup(w, r.Cells[0])
	s.trial.out.Worlds = append(s.trial.out.Worlds,
		result.WorldResult{Group: w.Group.Name, Index: w.Index, Key: w.Key(), Seen: r.Cells[0]})
	s.setups++
	return nil
}

// isNext reports whether a batch of count cells from first is the next one.
func (s *session) isNext(first uint32, count int) bool {
	return s.next < len(s.batches) && s.batches[s.next].First == first && len(s.batches[s.next].Cases) == count
}

func (s *session) begin(payload []byte) error {
	r, err := wire.DecodeRange(payload)
	if err != nil {
		return err
	}
	if s.inBatch || !s.isNext(r.First, int(r.Count)) {
		return fmt.Errorf("%w: the guest started %d cases from %d on out of order", wire.ErrCorrupt, r.Count, r.First)
	}
	s.inBatch, s.sent = true, time.Now()
	s.addMark(wire.Mark{Kind: wire.MarkCells, First: r.First, Count: r.Count})
	s.arm(s.batches[s.next].Cases[0].ID)
	return nil
}

func (s *session) answer(payload []byte) error {
	r, err := wire.DecodeResults(payload)
	if err != nil {
		return err
	}
	if !s.inBatch || !s.isNext(r.First, len(r.Cells)) {
		return fmt.Errorf("%w: the guest answered %d cases from %d on that it had not started",
			wire.ErrCorrupt, len(r.Cells), r.First)
	}
	after := time.Since(s.hello)
	s.trial.took = time.Since(s.sent) / time.Duration(max(1, len(r.Cells)))
	defer func() { s.trial.took = 0 }()
	for i, c := range s.batches[s.next].Cases {
		if s.trial.lab.Stopwatch != nil {
			s.trial.lab.Stopwatch.Answered(c, r.Cells[i], after)
		}
		s.judge(c, r.Cells[i])
	}
	s.endBatch()
	return nil
}

func (s *session) judge(c *cases.Case, seen []step.Observation) {
	r := s.trial.judge.Case(c, seen)
	r.Boot = s.index
	s.trial.set(c, r)
	s.done++
}

// fault takes the agent's record of what it could not do: the kernel is not asked, so its
// cases say nothing about it.
func (s *session) fault(payload []byte) error {
	var f wire.Fault
	if err := wire.DecodeJSON(payload, &f); err != nil {
		return err
	}
	if f.Count == 0 {
		s.disarm()
		if s.setups != s.setupsSeen-1 {
			return fmt.Errorf("the guest gave up: %s", f.Reason)
		}
		s.trial.judge.SetupFailed(s.worlds[s.setups], f.Reason)
		s.setups++
		return nil
	}
	if !s.inBatch || s.batches[s.next].First != f.Cell {
		return fmt.Errorf("%w: a fault record for cases that had not started", wire.ErrCorrupt)
	}
	for _, c := range s.batches[s.next].Cases {
		r := s.trial.judge.Faulted(c, f.Reason)
		r.Boot = s.index
		s.trial.set(c, r)
	}
	s.endBatch()
	return nil
}

func (s *session) endBatch() {
	s.disarm()
	s.inBatch = false
	s.next++
	s.report()
}

func (s *session) report() {
	t := s.trial
	t.lab.progress(Progress{
		Kernel: t.out.Ref, Stage: "run", Done: t.results.done, Total: t.total, Failed: t.failed,
	})
}

func (s *session) finished(payload []byte) error {
	if s.next != len(s.batches) {
		return fmt.Errorf("%w: done after %d of %d batches", wire.ErrCorrupt, s.next, len(s.batches))
	}
	if err := s.storeHealth(payload); err != nil {
		return err
	}
	s.decide = time.Since(s.hello)
	s.m.Done()
	return nil
}

// arm makes the machine end if the batch is not answered in time.
func (s *session) arm(first string) {
	limit := s.m.Scale(s.trial.deadlines.batch)
	s.m.Expect(limit, fmt.Sprintf("no answer in %s from the cases from %s on", limit, first))
}

// extend restarts the deadline of a batch whose long step has made progress.
func (s *session) extend() {
	if s.inBatch {
		s.arm(s.batches[s.next].Cases[0].ID)
	}
}

func (s *session) disarm() { s.m.Relax() }
