// Package lab runs a plan: it resolves kernels, builds images, boots machines,
// sends the programs, has the results judged, and stores the records.
//
// It holds no rule and no format: package result judges, and package report
// renders.
//
// Start with Lab and its method Run; boot.go is one boot.
package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/kernel"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
	"tokentest/images"
)

// Lab holds what every kernel of a run shares. The zero value works inside a
// checkout, but for Dir.
type Lab struct {
	Dir       string            // the run's directory, which exists
	CacheDir  string            // "" means tokentest in the user's cache directory
	QEMU      string            // "" means qemu-system-x86_64 from PATH
	Accel     string            // "auto", "kvm" or "tcg"; "" means auto
	Deadline  time.Duration     // for each boot; 0 means vm's default
	Append    []string          // for the kernel's command line
	Offline   bool              // do not use the network
	Refresh   bool              // ask the mirror again
	Resume    bool              // go on with the run that Dir holds
	Entry     Entry             // how QEMU enters a bzImage
	Snapshot  bool              // begin from a snapshot after boot, which is made where there is none
	Isolate   Isolation         // which cases share a machine
	Console   io.Writer         // gets the kernels' log as it comes, all of it
	Debug     func(line string) // has each machine wait for a debugger, and is told how to attach one
	Repeat    int               // run everything so often; 0 means once
	UntilFail bool              // run everything until something is not as expected

	Build    kernel.BuildOptions // for kernels that are built from source
	Variants map[string]Variant  // kernels by another name, each with a configuration of its own
	Jobs     int                 // machines at a time; 0 means what the host can take
	Allow    *splat.Allow        // findings that are known and do not count
	Known    []cases.Known       // defects whose findings do not count on kernels that have them

	// Log gets lines that explain what takes time; nil is silence.
	Log func(format string, args ...any)
	// Progress gets every step of the run; nil is silence.
	Progress func(Progress)
	// Tap stands between the machine and the reader of its records; the
	// canary damages one with it.
	Tap func(io.Reader) io.Reader
	// OmitRule names a rule that the oracle leaves out; the canary shows with
	// it that a wrong oracle is noticed.
	OmitRule string

	// Lists are the cases that are not run, and those that are known to fail.
	Lists []result.ListEntry
	// AllowEmpty says that a run which decides nothing has a verdict.
	AllowEmpty bool

	// Stopwatch is for benchmarks; nil is none.
	Stopwatch *Stopwatch

	memory       *memory       // that machines share; nil means that Jobs alone counts
	caseDeadline time.Duration // for tests; 0 means the constant
}

// Progress says how far one kernel is.
type Progress struct {
	Kernel      string
	Stage       string // resolve, image, boot, run, done
	Done, Total int
	Failed      int
	Wrong       *result.CaseResult // one more that is not as expected; the rest is as before
	Console     string             // the log of the machine that boots
}

func (l *Lab) log(format string, args ...any) {
	if l.Log != nil {
		l.Log(format, args...)
	}
}

func (l *Lab) progress(p Progress) {
	if l.Progress != nil {
		l.Progress(p)
	}
}

const defaultQEMU = "qemu-system-x86_64"

// Check says what the host lacks without which nothing can be booted.
func (l *Lab) Check() error {
	_, err := exec.LookPath(cmp.Or(l.QEMU, defaultQEMU))
	switch {
	case err != nil && l.QEMU == "":
		return fmt.Errorf("find QEMU: no %s in PATH: scripts/setup.sh installs it, or name another with --qemu", defaultQEMU)
	case err != nil:
		return fmt.Errorf("find QEMU: %w", err)
	}
	return l.CheckSources()
}

// CheckSources says why no agent can be built that this program understands.
func (l *Lab) CheckSources() error { return l.imageOptions().Check() }

// Run does the plan. Records are kept as far as they came when ctx ends. The
// error is the host's: a store that cannot be written.
func (l *Lab) Run(ctx context.Context, p *plan.Plan, args []string) (*result.Run, error) {
	run := l.newRun(p, args)
	qemu := make(chan string, 1) // it is slow to say what it is, and has the whole run for that
	go func() { qemu <- l.qemuVersion(ctx) }()
	create := result.Create
	if l.Resume {
		create = result.Recreate
	}
	store, err := create(l.Dir)
	if err != nil {
		return run, err
	}
	err = l.matrix(ctx, p, run, store)
	if run.QEMU = <-qemu; err != nil {
		return run, errors.Join(err, store.Abandon())
	}
	if run.End = time.Now().UTC(); run.Interrupted {
		run.Resume = []string{l.Dir}
	}
	return run, store.Close(run)
}

const interrupted = "interrupted before it was tried"

// outcome is what came of one kernel.
type outcome struct {
	*result.KernelRun
	took  time.Duration // of its machines
	tool  string        // the build id of the image
	stale error         // the run cannot be resumed
	short bool          // it is what there was before: the kernel could not be resumed
}

// kernel runs the plan's cases on one kernel. Whatever goes wrong is in what
// it returns.
func (l *Lab) kernel(ctx context.Context, ref string, p *plan.Plan, index int) *outcome {
	out := &result.KernelRun{Ref: ref, Append: l.Append, Planned: len(p.Of(ref))}
	l.progress(Progress{Kernel: ref, Stage: "resolve", Total: len(p.Of(ref))})
	own := &result.Run{}
	t, err := l.prepare(ctx, ref, out, own)
	if err != nil {
		if kept := l.kept(ctx, ref, p, index, err); kept != nil {
			return kept
		}
		out.Error = err.Error()
		var mistake *kernel.UsageError
		var unfit *unfitError
		switch {
		case ctx.Err() != nil:
			out.Error = interrupted
		case errors.As(err, &mistake):
			out.Cause = err
		case kernel.Unbuildable(err), errors.As(err, &unfit):
			out.Unbuilt = true
		}
		return &outcome{KernelRun: out, tool: own.Tool}
	}
	release, err := l.admit(ctx, t)
	if err != nil {
		if kept := l.kept(ctx, ref, p, index, err); kept != nil {
			return kept
		}
		out.Error = interrupted
		return &outcome{KernelRun: out, tool: own.Tool}
	}
	defer release()
	start := time.Now()
	t.dir = filepath.Join(l.Dir, kernelDir(index))
	t.keepKernel()
	t.foresee()
	t.repeat(ctx, plan.ByWorld(p.Of(ref)), p.Batch)
	t.compareForeseen()
	return &outcome{KernelRun: out, took: time.Since(start), tool: own.Tool, stale: t.stale}
}

// trial is the run of one kernel.
type trial struct {
	lab     *Lab
	out     *result.KernelRun
	kernel  *kernel.Kernel
	image   *images.Image
	accel   vm.Accel
	entry   entry
	remarks []string // of out.Note
	dir     string
	judge   *result.Judge
	allow   *splat.Allow // findings that do not count in the machines that are booted now
	results results
	failed  int // of them, failed or broken
	total   int

	foreseen chan *step.Facts // what its image says; nil when that cannot be read

	recalls bool  // what its machines said is read, and none is started
	over    bool  // and there is nothing more to read
	stale   error // what they said is no answer to what is asked now

	memMiB     int
	slow       int      // how many times longer than usual its kernel takes
	arguments  []string // of the kernel
	tried      bool     // to have a snapshot
	symbols    *kernel.Symbols
	symbolless bool // they could not be read
	snapshot   *vm.Snapshot
	verifying  chan error // what it is found to be; nil when that is known
}

// prepare finds the kernel, builds its image and chooses the accelerator. What
// of the image is the same for every kernel is built meanwhile.
func (l *Lab) prepare(ctx context.Context, ref string, out *result.KernelRun, run *result.Run) (*trial, error) {
	agent := l.startAgent(ctx)
	defer agent.stop()
	k, err := l.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := describe(out, k); err != nil {
		return nil, err
	}
	if err := fit(k); err != nil {
		return nil, err
	}
	l.progress(Progress{Kernel: ref, Stage: "image"})
	img, err := l.buildImage(ctx, agent, k)
	if err != nil {
		return nil, err
	}
	out.Image, run.Tool = img.Digest, img.BuildID
	accel, why, err := l.chooseAccel(ctx, k)
	if err != nil {
		return nil, err
	}
	out.AccelName, out.Accel = string(accel), fmt.Sprintf("%s: %s", accel, why)
	t := &trial{lab: l, out: out, kernel: k, image: img, accel: accel}
	if t.entry, err = l.enter(ctx, k); err != nil {
		return nil, err
	}
	t.memMiB, t.slow = demands(k.Config)
	t.allow = l.allowOn(k)
	return t, nil
}

// Variant is a kernel that is built in one way of several.
type Variant struct {
	Ref   string
	Build kernel.BuildOptions
}

func (l *Lab) resolve(ctx context.Context, ref string) (*kernel.Kernel, error) {
	o := kernel.Options{CacheDir: l.CacheDir, Offline: l.Offline, Refresh: l.Refresh, Log: l.Log, Build: l.Build}
	if v, ok := l.Variants[ref]; ok {
		o.Build = v.Build
		return kernel.Resolve(ctx, v.Ref, o)
	}
	return kernel.Resolve(ctx, ref, o)
}

// shared are the packages that are the same on both sides of the channel.
var shared = map[string]fs.FS{"cases/step": step.Sources, "harness/wire": wire.Sources}

func (l *Lab) imageOptions() images.Options {
	return images.Options{CacheDir: l.CacheDir, Log: l.Log, Shared: shared}
}

// agent is an image without a kernel's modules, while it is built.
type agent struct {
	cancel context.CancelFunc
	done   chan struct{}
	image  *images.Image
	err    error
}

func (l *Lab) startAgent(ctx context.Context) *agent {
	ctx, cancel := context.WithCancel(ctx)
	a := &agent{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.image, a.err = images.Build(ctx, l.imageOptions())
	}()
	return a
}

// stop ends the building, if it is not done.
func (a *agent) stop() {
	a.cancel()
	<-a.done
}

func (l *Lab) buildImage(ctx context.Context, a *agent, k *kernel.Kernel) (*images.Image, error) {
	if <-a.done; a.err != nil {
		return nil, a.err
	}
	var mods []images.Module
	for _, m := range k.Modules {
		mods = append(mods, images.Module{Name: m.Name, Path: m.Path})
	}
	return images.WithModules(ctx, a.image, mods, l.imageOptions())
}

func (l *Lab) chooseAccel(ctx context.Context, k *kernel.Kernel) (vm.Accel, string, error) {
	switch l.Accel {
	case "kvm":
		return vm.KVM, "forced", nil
	case "tcg":
		return vm.TCG, "forced", nil
	}
	cache, err := l.cacheDir()
	if err != nil {
		return "", "", err
	}
	accel, why := vm.Probe(ctx, vm.ProbeOptions{QEMU: l.QEMU, Kernel: k.Image, Format: k.Format, CacheDir: cache})
	return accel, why, ctx.Err()
}

func (l *Lab) cacheDir() (string, error) {
	if l.CacheDir != "" {
		return l.CacheDir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	return filepath.Join(dir, "tokentest"), nil
}

// maxStrikes is how many machines in a row may die before the kernel is given up.
const maxStrikes = 3

// run boots machines until every case has its result.
func (t *trial) run(ctx context.Context, all []*cases.Case, batch int) {
	t.total, t.results = len(all), newResults(all)
	t.deny(all)
	together, alone := plan.Alone(all)
	queue := t.portions(controlsFirst(together))
	sizes := slices.Repeat([]int{batch}, len(queue))
	for strikes := 0; len(queue) > 0; {
		todo, size := t.open(queue[0]), sizes[0]
		queue, sizes = queue[1:], sizes[1:]
		if len(todo) == 0 {
			continue
		}
		d := t.boot(ctx, todo, size)
		switch {
		case t.ended(ctx):
			t.leave(all)
			queue = nil
		case d.cut:
			queue, sizes = append([][]*cases.Case{todo}, queue...), append([]int{size}, sizes...)
		case t.enterPacked(ctx, d.exit):
			queue, sizes = append([][]*cases.Case{todo}, queue...), append([]int{size}, sizes...)
		case d.hopeless():
			t.abandon(all, d.of(), fmt.Sprintf("the machine is %s: %s", d.exit.Fate, d.exit.Reason))
			queue = nil
		case len(d.culprits) > 1:
			strikes++
			queue, sizes = append([][]*cases.Case{d.culprits}, append([][]*cases.Case{todo}, queue...)...), append([]int{1, size}, sizes...)
		case d.died():
			strikes++
			queue, sizes = append([][]*cases.Case{todo}, queue...), append([]int{size}, sizes...)
		default:
			strikes = 0
			t.abandon(todo, result.Cause{Kind: result.Unanswered}, silent)
		}
		if strikes >= maxStrikes {
			t.abandon(all, d.of(), fmt.Sprintf("given up: %d machines in a row died, the last one %s: %s", strikes, d.exit.Fate, d.exit.Reason))
			queue = nil
		}
	}
	t.provoke(ctx, t.open(alone))
	t.finish(all)
}

// ended says that no more machines are to be started.
func (t *trial) ended(ctx context.Context) bool { return ctx.Err() != nil || t.over || t.stale != nil }

// controlsFirst moves the worlds that hold controls to the front, and there the
// controls: a case says nothing without them, so that of a run that is cut
// short as much as possible counts. Worlds stay together.
func controlsFirst(all []*cases.Case) []*cases.Case {
	holds := map[*cases.World]bool{}
	for _, c := range all {
		holds[c.World] = holds[c.World] || c.Control != ""
	}
	place := map[*cases.World]int{}
	for _, c := range all {
		if _, known := place[c.World]; !known {
			place[c.World] = len(place)
		}
	}
	late := func(yes bool) int {
		if yes {
			return 1
		}
		return 0
	}
	out := slices.Clone(all)
	slices.SortStableFunc(out, func(a, b *cases.Case) int {
		return cmp.Or(
			late(!holds[a.World])-late(!holds[b.World]),
			place[a.World]-place[b.World],
			late(a.Control == "")-late(b.Control == ""))
	})
	return out
}

// open returns the cases that have no result yet.
func (t *trial) open(list []*cases.Case) []*cases.Case {
	var out []*cases.Case
	for _, c := range list {
		if t.results.of(c) == nil {
			out = append(out, c)
		}
	}
	return out
}

// abandon breaks the cases that have no result.
func (t *trial) abandon(list []*cases.Case, cause result.Cause, why string) {
	for _, c := range t.open(list) {
		t.set(c, result.NewResult(c.ID, result.Broken, cause, why, len(t.out.Boots)-1))
	}
}

// silent is the cause of cases for which the guest did not answer, although its
// machine ended well.
const silent = "the guest did not answer for it"

// of is the cause of cases that a machine's death leaves without an answer.
func (d *death) of() result.Cause { return result.Cause{Kind: result.Unanswered, Fate: d.exit.Fate} }

// leave notes that the run was interrupted before the cases that have no result.
func (t *trial) leave(list []*cases.Case) {
	for _, c := range t.open(list) {
		t.set(c, result.NewResult(c.ID, result.Interrupted, result.Cause{Kind: result.NotTried}, "the run was interrupted", -1))
	}
}

func (t *trial) set(c *cases.Case, r result.CaseResult) {
	if r.Status == result.Fail || r.Status == result.Broken {
		t.failed++
		t.lab.progress(Progress{Kernel: t.out.Ref, Wrong: &r})
	}
	t.results.set(c, r)
}

// finish applies the controls.
func (t *trial) finish(all []*cases.Case) {
	result.Guards(t.out.Facts, all, t.results.of)
	t.out.Cases = t.results.list
	result.Expect(t.lab.Lists, t.out)
	if t.judge != nil {
		t.out.Rules = t.judge.Rules()
	}
	t.lab.progress(Progress{Kernel: t.out.Ref, Stage: "done", Done: len(all), Total: len(all)})
}

// Bare boots a kernel with an init that powers off at once and returns how
// long that took: the yardstick of benchmarks. Dir need not exist.
func (l *Lab) Bare(ctx context.Context, ref string) (time.Duration, error) {
	t, err := l.prepare(ctx, ref, &result.KernelRun{}, &result.Run{})
	if err != nil {
		return 0, err
	}
	img, err := images.Bare(ctx, l.imageOptions())
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return 0, fmt.Errorf("make the boot's directory: %w", err)
	}
	m := &vm.Machine{QEMU: l.QEMU, Kernel: t.kernel.Image, Initrd: img.Path, Accel: t.accel, Dir: l.Dir, MemMiB: t.memMiB, Slow: t.slow}
	if err := m.Start(ctx); err != nil {
		return 0, err
	}
	m.Hello() // it says nothing; that it powers off is all there is
	m.Done()
	e := m.Wait()
	switch {
	case e.Fate != vm.Clean:
		return 0, fmt.Errorf("boot %s bare: %s: %s", ref, e.Fate, e.Reason)
	case e.Code != 0: // it looks clean, for Done was said beforehand
		return 0, fmt.Errorf("boot %s bare: qemu exited with status %d", ref, e.Code)
	}
	return e.Total, nil
}
