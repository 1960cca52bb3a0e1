package bench

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// marginal holds the cost of one more decision, and the cost of its call alone in the same
// guest.
type marginal struct {
	classes map[class]int // places in list
	list    []class
	example []*cases.Case   // of each class
	floor   []time.Duration // the shortest time of each class; 0 if it is not known
	sizes   []*size
	now     *tally // of the run that is timed
	last    *cases.World
	userns  time.Duration
	bpffs   time.Duration
	peak    int64
	why     error // of the last measurement that does not count
}

// size is a run of all decisions or of a sample of them.
type size struct {
	plan *plan.Plan
	took []time.Duration // the time to the last answer, for each complete run
	tally
}

// tally counts the answers of a run.
type tally struct {
	calls map[int]int   // how many of each class
	n     int           // decisions
	after time.Duration // of the last answer
	setup []*cases.World
}

// class is a set of calls that cost the same: they have the same operation, the same answer
// and the same arguments except descriptors.
type class struct {
	op    step.Op
	what  uint64 // the type, or the command
	args  string // the other arguments
	errno uapi.Errno
}

func classOf(s *step.Step, errno uapi.Errno) class {
	c := class{op: s.Op, errno: errno}
	var args []byte
	for _, a := range s.Args {
		switch paramKind(s.Op, a.Key) {
		case step.KindMapType, step.KindProgType, step.KindCmd:
			c.what = a.Num
		case step.KindHandle:
			args = append(args, byte(a.Key))
		default:
			args = binary.AppendUvarint(append(args, byte(a.Key)), a.Num)
		}
	}
	c.args = string(args)
	return c
}

// paramKind is the kind of an argument of an operation, 0 for an argument that case files cannot have.
func paramKind(o step.Op, k step.Key) step.Kind {
	if p := o.Row().Of(k); p != nil {
		return p.Kind
	}
	return 0
}

// whats are the names of the type or command of a class.
var whats = map[step.Kind]func(n uint64) string{
	step.KindMapType:  func(n uint64) string { return uapi.MapType(n).String() },
	step.KindProgType: func(n uint64) string { return uapi.ProgType(n).String() },
	step.KindCmd:      func(n uint64) string { return uapi.Cmd(n).String() },
}

func (c *class) String() string {
	words := []string{c.op.String()}
	for _, p := range c.op.Row().Params {
		if name := whats[p.Kind]; name != nil {
			words = append(words, name(c.what))
		}
	}
	return strings.Join(append(words, c.errno.String()), " ")
}

// turn starts the count of a run.
func (m *marginal) turn() { m.now, m.last = &tally{calls: map[int]int{}}, nil }

// count adds a complete run of a size.
func (m *marginal) count(s *size) {
	s.tally = *m.now
	s.took = append(s.took, s.after)
}

// answer counts a case of the run that is timed.
func (m *marginal) answer(c *cases.Case, seen []step.Observation, after time.Duration) {
	s := m.now
	s.n++
	s.after = after
	if m.last != c.World {
		m.last, s.setup = c.World, append(s.setup, c.World)
	}
	cell := c.Cell()
	for i := range cell[:min(len(cell), len(seen))] {
		n := m.class(classOf(&cell[i], seen[i].Errno))
		if len(cell) == 1 && m.example[n] == nil {
			m.example[n] = c
		}
		s.calls[n]++
	}
}

// class returns the index of a class.
func (m *marginal) class(k class) int {
	n, known := m.classes[k]
	if !known {
		n = len(m.list)
		m.classes[k] = n
		m.list, m.example, m.floor = append(m.list, k), append(m.example, nil), append(m.floor, 0)
	}
	return n
}

// examples returns one case of each class, ordered by world.
func (m *marginal) examples() []*cases.Case {
	out := slices.DeleteFunc(slices.Clone(m.example), func(c *cases.Case) bool { return c == nil })
	slices.SortStableFunc(out, func(a, b *cases.Case) int {
		return cmp.Or(strings.Compare(a.Group.Name, b.Group.Name), int(a.Index-b.Index))
	})
	return plan.ByWorld(out)
}

// measured stores the time of a call from the run that repeats it.
func (m *marginal) measured(c *cases.Case, seen []step.Observation, _ time.Duration) {
	cell := c.Cell()
	if n, known := m.classes[classOf(&cell[0], seen[0].Errno)]; known && len(seen[0].Values) == 1 {
		m.floor[n] = least(m.floor[n], int64(seen[0].Values[0]))
	}
}

// least returns the smaller duration. If old is 0 there is no earlier one.
func least(old time.Duration, ns int64) time.Duration {
	if d := time.Duration(max(1, ns)); old == 0 || d < old {
		return d
	}
	return old
}

// alone returns the time of the calls of a run's cells, and the number of calls whose time
// is not known.
func (m *marginal) alone(s *size) (sum time.Duration, unknown int) {
	for n, count := range s.calls {
		sum += m.floor[n] * time.Duration(count)
		if m.floor[n] == 0 {
			unknown += count
		}
	}
	return sum, unknown
}

// setup is the time of the calls of a world's set-up. The processes of its actors may already run.
func (m *marginal) setup(w *cases.World) (sum time.Duration) {
	for i := range w.Program.Setup {
		s := &w.Program.Setup[i]
		if s.Op == step.OpBPFFS {
			sum += m.bpffs
		} else if n, known := m.classes[classOf(s, 0)]; known {
			sum += m.floor[n]
		}
	}
	return sum
}

// repeatFor is how long each call is repeated.
const repeatFor = 4 * time.Millisecond

// samples are how many decisions the smaller runs have, about.
var samples = []int{1_000, 10_000}

// sample takes every nth case, which keeps the mix, with the controls
// that guard it, and one of each world, so that every size has the same set-ups.
func sample(p *plan.Plan, n int) *plan.Plan {
	var chosen []*cases.Case
	worlds := map[*cases.World]bool{}
	for i, c := range p.Cases {
		every := i == 0 || i*n/len(p.Cases) != (i-1)*n/len(p.Cases)
		if every || !worlds[c.World] {
			chosen, worlds[c.World] = append(chosen, c), true
		}
	}
	out := *p
	out.Cases = plan.WithGuards(p.Cases, chosen)
	return &out
}

// measureBatch is the number of calls that are timed between two progress events of the
// guest: each takes several times repeatFor, on a busy host much longer.
const measureBatch = 16

// marginalCosts runs samples of the plan's cases, then all cases, and repeats one call of
// each class. The cost of a call is its shortest time, the cost of a run the median of its
// times. A measurement that fails or is not reached in time is left out.
func (b *bench) marginalCosts(ctx context.Context, p *plan.Plan) error {
	cells := *p
	cells.Cases = slices.DeleteFunc(slices.Clone(p.Cases), func(c *cases.Case) bool { return c.Scenario() })
	p = &cells
	m := &marginal{classes: map[class]int{}}
	for _, n := range samples {
		if n < len(p.Cases) {
			m.sizes = append(m.sizes, &size{plan: sample(p, n)})
		}
	}
	m.sizes = append(m.sizes, &size{plan: p})
	limited, cancel := b.limited(ctx, marginalLimit)
	defer cancel()
	for i, rounds := 0, max(1, b.Rounds); i < rounds && limited.Err() == nil; i++ {
		err := b.marginalRound(limited, p, m, fmt.Sprintf("round %d of %d", i+1, rounds), i == 0)
		if err != nil && ctx.Err() != nil {
			m.why = context.Cause(ctx)
			m.write(b.out)
		}
		if err != nil {
			return err
		}
	}
	if m.peak == 0 {
		m.peak, _ = peakMemory() // it is then 0, and not measured
	}
	b.missed += m.write(b.out)
	return nil
}

// marginalRound times each size once. The first round also times the calls, before the
// largest size, because that can take all the remaining time.
func (b *bench) marginalRound(ctx context.Context, p *plan.Plan, m *marginal, which string, first bool) error {
	for j, s := range m.sizes {
		if first && j > 0 && j == len(m.sizes)-1 {
			if err := m.leaveOut(b, ctx, "the calls alone", b.measureCalls(ctx, p, m, which)); err != nil {
				return err
			}
		}
		what := fmt.Sprintf("%s: %d decisions", which, len(s.plan.Cases))
		if err := m.leaveOut(b, ctx, what, b.timeSize(ctx, s, m, what)); err != nil {
			return err
		}
	}
	if first {
		var err error
		if m.peak, err = peakMemory(); err != nil {
			return err
		}
	}
	return m.leaveOut(b, ctx, "the calls alone", b.measureCalls(ctx, p, m, which))
}

// leaveOut logs and stores why a measurement does not count. It returns only an error that
// must end the bench.
func (m *marginal) leaveOut(b *bench, ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	why := unmeasured(ctx, err)
	switch {
	case why == nil:
		return err
	case why != m.why:
		b.Log("%s: %s: does not count: %v", b.Kernel, what, why)
	}
	m.why = why
	return nil
}

func (b *bench) timeSize(ctx context.Context, s *size, m *marginal, what string) error {
	m.turn()
	r, err := b.timedRun(ctx, s.plan, &lab.Stopwatch{Answered: m.answer}, what)
	if err != nil {
		return err
	}
	if err := complete(ctx, r); err != nil {
		return fmt.Errorf("time %s: %w", b.Kernel, err)
	}
	m.count(s)
	return nil
}

// measureCalls runs the examples and repeats the call of each.
func (b *bench) measureCalls(ctx context.Context, p *plan.Plan, m *marginal, which string) error {
	watch := &lab.Stopwatch{Repeat: repeatFor, Answered: m.measured}
	calls := &plan.Plan{Kernels: p.Kernels, Cases: m.examples(), Batch: measureBatch, Files: p.Files}
	if len(calls.Cases) == 0 {
		return &unmeasuredError{"no run has shown a call"}
	}
	r, err := b.timedRun(ctx, calls, watch, fmt.Sprintf("%s: %d calls, each in a tight loop", which, len(calls.Cases)))
	if err != nil {
		return err
	}
	if watch.Costs.Userns > 0 {
		m.userns, m.bpffs = least(m.userns, watch.Costs.Userns), least(m.bpffs, watch.Costs.BPFFS)
		return nil
	}
	if err := complete(ctx, r); err != nil {
		return &unmeasuredError{err.Error()}
	}
	return &unmeasuredError{"the guest did not answer"}
}

func (b *bench) timedRun(ctx context.Context, p *plan.Plan, watch *lab.Stopwatch, what string) (*result.Run, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l, err := b.lab()
	if err != nil {
		return nil, err
	}
	l.Stopwatch = watch
	defer b.saying(l, what)()
	return l.Run(ctx, p, nil)
}

// shownCalls are the calls whose time is printed.
var shownCalls = []class{
	{op: step.OpMapCreate, what: uint64(uapi.BPF_MAP_TYPE_HASH), errno: uapi.Errno(unix.EPERM)},
	{op: step.OpMapCreate, what: uint64(uapi.BPF_MAP_TYPE_HASH)},
	{op: step.OpProgLoad, what: uint64(uapi.BPF_PROG_TYPE_SOCKET_FILTER)},
}

// write prints the figures, and returns how many could not be measured.
func (m *marginal) write(w io.Writer) (missed int) {
	miss := func(format string, args ...any) {
		missed++
		fmt.Fprintf(w, "  %s: not measured: %v\n", fmt.Sprintf(format, args...), m.why)
	}
	if m.userns == 0 {
		miss("the calls alone, in a tight loop")
	} else {
		m.writeCalls(w)
	}
	for i := 1; i < len(m.sizes); i++ {
		from, to := m.sizes[i-1], m.sizes[i]
		what := fmt.Sprintf("from %d to %d decisions, one more", len(from.plan.Cases), len(to.plan.Cases))
		if len(from.took) == 0 || len(to.took) == 0 {
			miss("%s", what)
			continue
		}
		less, _ := m.alone(from)
		more, _ := m.alone(to)
		m.line(w, what, to.n-from.n, median(to.took)-median(from.took), more-less)
	}
	all := m.sizes[len(m.sizes)-1]
	if len(all.took) == 0 {
		miss("all %d decisions, each", len(all.plan.Cases))
	} else {
		m.writeAll(w, all)
	}
	if m.peak == 0 {
		miss("the tool's peak memory")
	} else {
		fmt.Fprintf(w, "  the tool's peak memory: %d MB (budget 100)\n", m.peak>>20)
	}
	return missed
}

func (m *marginal) writeCalls(w io.Writer) {
	fmt.Fprint(w, "  the calls alone, in a tight loop:")
	for _, c := range shownCalls {
		if n, known := m.classes[c]; known && m.floor[n] > 0 {
			fmt.Fprintf(w, " %s %.1f us,", &c, us(m.floor[n]))
		}
	}
	fmt.Fprintf(w, " a user namespace %.1f us, a bpffs %.1f us\n", us(m.userns), us(m.bpffs))
}

func (m *marginal) writeAll(w io.Writer, all *size) {
	alone, unknown := m.alone(all)
	for _, world := range all.setup {
		alone += m.setup(world)
	}
	m.line(w, fmt.Sprintf("all %d decisions with their %d set-ups, each", all.n, len(all.setup)), all.n,
		median(all.took), alone)
	if unknown > 0 && m.userns > 0 {
		fmt.Fprintf(w, "  %d calls were not timed and are counted as 0\n", unknown)
	}
}

func (m *marginal) line(w io.Writer, what string, n int, took, alone time.Duration) {
	each := func(d time.Duration) float64 { return us(d) / float64(max(n, 1)) }
	fmt.Fprintf(w, "  %s: %.1f us, ", what, each(took))
	if m.userns == 0 || alone <= 0 {
		fmt.Fprintln(w, "the call alone not measured")
		return
	}
	fmt.Fprintf(w, "the call alone %.1f us, ratio %.2f (budget 2.00)\n", each(alone), took.Seconds()/alone.Seconds())
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// peakMemory returns the peak resident size of this process.
func peakMemory() (bytes int64, err error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read this process's memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("read this process's memory: no VmHWM in /proc/self/status")
}
