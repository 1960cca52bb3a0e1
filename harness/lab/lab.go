// Package lab runs a plan: it resolves kernels, builds images, boots machines, sends the
// programs, lets package result judge the observations, and stores the records.
//
// It holds no rule and no format: package result judges, and package report renders.
//
// Start with Lab and its method Run. A runner runs the kernels of a plan (run.go), a
// trial is the run of one kernel (trial.go), a session is one boot (boot.go).
package lab

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/arch"
	"tokentest/harness/cachedir"
	"tokentest/harness/kernel"
	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
	"tokentest/images"
)

// Lab is the configuration of a run: what all its kernels share. The zero value works if Dir is
// set.
type Lab struct {
	Dir         string            // the run's directory, which must exist
	CacheDir    string            // "" means cachedir.Default
	Agent       string            // the checkout that the agent is built from; "" means as images.Options says
	QEMU        string            // "" means that of a kernel's architecture from PATH
	Accel       string            // "auto", "kvm" or "tcg"; "" means auto
	Deadline    time.Duration     // of each boot; 0 means vm's default
	Append      []string          // arguments for the kernel's command line
	Offline     bool              // do not use the network
	Refresh     bool              // ask the mirror again
	Resume      bool              // continue the run in Dir
	Entry       Entry             // how QEMU enters a bzImage
	Snapshot    SnapshotUse       // which machines begin from a snapshot
	SnapshotDir string            // of snapshots; "" means in the cache
	Isolate     Isolation         // which cases share a machine
	Console     io.Writer         // gets the kernel logs as they come, with all their lines
	Debug       func(line string) // if set, each machine waits for a debugger; gets the command that attaches one
	Repeat      int               // how often to run everything; 0 means once
	UntilFail   bool              // repeat everything until a result is not as expected

	Build kernel.BuildOptions // for kernels that are built from source
	// Elsewhere builds them in place of this host, as kernel.Options has it.
	Elsewhere func(ctx context.Context, b *kernel.Built, bo kernel.BuildOptions, o kernel.Options) (*kernel.Kernel, error)

	Variants map[string]Variant // kernels that have another name, by that name
	Given    map[string]Given   // kernels that are there already with their images, by their references
	Jobs     int                // machines at a time; 0 means as many as the host has room for
	Allow    *splat.Allow       // known findings, which do not count
	Known    []cases.Known      // defects whose findings do not count on kernels that have them

	// Log gets lines about work that takes time; nil drops them.
	Log func(format string, args ...any)
	// Progress gets each step of the run; nil drops them. Kernels that run at the
	// same time call it concurrently.
	Progress func(Progress)

	// Each is called with each result as soon as it is known; it may be nil. A case that runs again
	// has another result, and machines that run at the same time call it concurrently.
	Each func(Result)
	// Flags are for the record: what a repetition of a case needs beside its kernel.
	Flags []string

	// Lists are the cases that are not run and those that are known to fail.
	Lists []result.ListEntry
	// AllowEmpty says that a run which decides nothing has a verdict.
	AllowEmpty bool

	// Trace is code whose translation QEMU logs in each machine that begins from a snapshot, as
	// vm.Machine.Trace says; none logs nothing.
	Trace []vm.Range
	// Follow, if not nil, is called for each machine that begins from a snapshot. The follower gets
	// what QEMU logs of the code in Trace, as vm.Machine.Blocks says.
	Follow func() Follower
	// Patches change the kernel in each machine that begins from a snapshot. Such a kernel has
	// one machine, which must begin from a snapshot: what it shows is not confirmed on others.
	Patches []vm.Patch
	// Stopwatch times the calls of the cases for a benchmark; nil does not.
	Stopwatch *Stopwatch
	// Faults are injected into the run; the zero value injects none.
	Faults Faults
}

// Faults break the harness on purpose. The canary shows with them that a fault turns a
// run red.
type Faults struct {
	// Tap, if not nil, wraps the reader of a machine's records and may damage them.
	Tap func(io.Reader) io.Reader
	// OmitRule is the name of a rule that the oracle leaves out; "" is none.
	OmitRule string
}

// Follower gets what one machine executes. Between two lines that the guest's marks leave in the
// log is what the cases of one Mark execute.
type Follower interface {
	io.Writer
	// Mark is called when the guest has announced the set-up of a world, or cases, in the order of the
	// marks in the kernel's log. It runs beside Write.
	Mark(setup bool, of []*cases.Case)
}

// Result is the result of a case before lists are applied.
type Result struct {
	Kernel string // its reference
	Of     *cases.Case
	*result.CaseResult
	// Took is the time that the guest took for the case, or its share of the time for a batch; 0
	// if the guest was not asked.
	Took time.Duration
}

// Progress is a step of the run of one kernel.
type Progress struct {
	Kernel      string             // its reference
	Stage       string             // resolve, image, snapshot, boot, run, done
	Done, Total int                // cases
	Failed      int                // cases that failed or are broken
	Wrong       *result.CaseResult // a result that is not as expected; then only Kernel is set besides
	Console     string             // at boot: the path of the machine's console log

	// Began says how the machine began, as result.Boot.Began. It is set in the first report of
	// the stage boot after the machine has started.
	Began string
	// Expect is how long the machines of the kernel took in an earlier run of the same cases
	// that began in the same way; 0 if that is not known. It is set with Began.
	Expect time.Duration
	// Doing says what the stage resolve or image does and how far it is; "" is nothing new.
	Doing string
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

// Check returns an error that says what the host lacks to boot machines for the kernels that references name, or for
// those of its own architecture.
func (l *Lab) Check(refs ...string) error {
	if err := l.CheckQEMU(refs...); err != nil {
		return err
	}
	return l.CheckSources()
}

// CheckQEMU returns an error that says what the host lacks to boot such machines whose images are there.
func (l *Lab) CheckQEMU(refs ...string) error {
	if len(refs) == 0 {
		refs = []string{""}
	}
	for _, ref := range refs {
		if err := l.checkQEMU(l.archOf(ref)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) checkQEMU(of *arch.Arch) error {
	_, err := exec.LookPath(cmp.Or(l.QEMU, of.QEMU.Program))
	switch {
	case err != nil && l.QEMU == "":
		return fmt.Errorf("find QEMU: no %s in PATH: install it as tokentest doctor says, or name another with --qemu",
			of.QEMU.Program)
	case err != nil:
		return fmt.Errorf("find QEMU: %w", err)
	}
	return nil
}

// CheckSources returns an error if there is no agent that this program understands. It logs a line if the agent is not
// the built-in one.
func (l *Lab) CheckSources() error { return l.imageOptions(nil).Check() }

// prepare finds the kernel, builds its image and chooses the accelerator. The part of
// the image that all kernels share is built while the kernel is fetched. prepare fills in
// out and run.Tool as far as it comes.
func (l *Lab) prepare(ctx context.Context, ref string, out *result.KernelRun, run *result.Run) (*trial, error) {
	g, err := l.ready(ctx, ref, out)
	if err != nil {
		return nil, err
	}
	k, img := g.Kernel, g.Image
	run.Tool = img.BuildID
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

// Variant is a kernel that is built in one of several ways.
type Variant struct {
	Ref   string
	Build kernel.BuildOptions
}

// kernelOptions say how a kernel is found; ref is what the progress names.
func (l *Lab) kernelOptions(ref string) kernel.Options {
	return kernel.Options{CacheDir: l.CacheDir, Offline: l.Offline, Refresh: l.Refresh, Log: l.Log, Build: l.Build,
		Elsewhere: l.Elsewhere,
		Step: func(text string) {
			l.progress(Progress{Kernel: ref, Stage: "resolve", Doing: cmp.Or(text, "finding the kernel")})
		}}
}

// Resolve finds or builds a kernel as a run does.
func (l *Lab) Resolve(ctx context.Context, ref string) (*kernel.Kernel, error) {
	o := l.kernelOptions(ref)
	if v, ok := l.Variants[ref]; ok {
		o.Build = v.Build
		return kernel.Resolve(ctx, v.Ref, o)
	}
	return kernel.Resolve(ctx, ref, o)
}

// shared are the packages that host and guest must build from the same sources.
var shared = images.Shared{"cases/step": step.Sources, "harness/wire": wire.Sources}

func (l *Lab) imageOptions(of *arch.Arch) images.Options {
	return images.Options{Arch: of, Source: l.Agent, CacheDir: l.CacheDir, Log: l.Log, Shared: shared}
}

// archOf is the architecture of a kernel that is not resolved yet.
func (l *Lab) archOf(ref string) *arch.Arch {
	if v, ok := l.Variants[ref]; ok {
		ref = v.Ref
	}
	return kernel.ArchOf(ref)
}

// agent is the build of an image without a kernel's modules.
type agent struct {
	of     *arch.Arch
	cancel context.CancelFunc
	done   chan struct{}
	image  *images.Image
	err    error
}

func (l *Lab) startAgent(ctx context.Context, of *arch.Arch) *agent {
	ctx, cancel := context.WithCancel(ctx)
	a := &agent{of: arch.Or(of), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.image, a.err = images.Build(ctx, l.imageOptions(of))
	}()
	return a
}

// stop cancels the build and waits for its end.
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
	img, err := images.WithActors32(ctx, a.image, l.imageOptions(k.Arch))
	if err != nil {
		return nil, err
	}
	return images.WithModules(ctx, img, mods, l.imageOptions(k.Arch))
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
	accel, why := vm.Probe(ctx, vm.ProbeOptions{
		Arch: k.Arch, QEMU: l.QEMU, Kernel: k.Image, Format: k.Format, CacheDir: cache})
	return accel, why, ctx.Err()
}

func (l *Lab) cacheDir() (string, error) {
	if l.CacheDir != "" {
		return l.CacheDir, nil
	}
	dir, err := cachedir.Default()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	return dir, nil
}

// Bare boots a kernel with an init that powers off at once and returns how long that
// took: the yardstick of benchmarks. It creates Dir.
func (l *Lab) Bare(ctx context.Context, ref string) (time.Duration, error) {
	t, err := l.prepare(ctx, ref, &result.KernelRun{}, &result.Run{})
	if err != nil {
		return 0, err
	}
	img, err := images.Bare(ctx, l.imageOptions(t.kernel.Arch))
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return 0, fmt.Errorf("create the boot directory: %w", err)
	}
	m := &vm.Machine{
		Arch: t.kernel.Arch, BigPages: bigPages(t.kernel.Config), QEMU: l.QEMU,
		Kernel: t.entry.file, Initrd: img.Path, Accel: t.accel, Dir: l.Dir,
		MemMiB: t.memMiB, Slow: t.slow, Program: true,
	}
	if err := m.Start(ctx); err != nil {
		return 0, err
	}
	m.Hello() // this init sends nothing; only its power-off counts
	m.Done()
	e := m.Wait()
	switch {
	case e.Fate != vm.Clean:
		return 0, fmt.Errorf("boot %s bare: %s: %s", ref, e.Fate, e.Reason)
	case e.Code != 0: // it looks clean, because Done was called in advance
		return 0, fmt.Errorf("boot %s bare: qemu exited with status %d", ref, e.Code)
	}
	return e.Total, nil
}
