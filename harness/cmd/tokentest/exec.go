package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/signals"
	"tokentest/harness/usage"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// machineFlags choose the machine in which a program runs, and what is in it.
type machineFlags struct {
	kernel, accel, qemu string
	boot                lab.Entry
	mem                 int
	offline, snapshot   bool
	deadline            time.Duration
	allow, append       []string
	console, gdb        bool
	user, root, dir     string
	allowEmpty          bool
	with, get           []string
	bare                bool
	out                 string
}

func (f *machineFlags) register(fl *pflag.FlagSet) {
	fl.StringVarP(&f.kernel, "kernel", "k", defaultKernel, "boot the kernel `REF`")
	fl.StringVar(&f.accel, "accel", "auto", "run the guest on `HOW`: auto, kvm or tcg")
	entryFlag(fl, &f.boot)
	fl.StringVar(&f.qemu, "qemu", "", "run `PROGRAM` as QEMU (default qemu-system-x86_64)")
	fl.IntVar(&f.mem, "mem", 0, "give the machine `MIB` of memory (default 512, more where files or kernel want it)")
	fl.BoolVar(&f.offline, "offline", false, "do not use the network")
	fl.BoolVar(&f.snapshot, "snapshot", false, "begin from a snapshot of the machine after its boot")
	fl.DurationVar(&f.deadline, "deadline", 0, "end the machine after `TIME` (default 24h; one that no longer answers, or whose console has printed 32 MiB, is ended much sooner)")
	fl.StringArrayVar(&f.allow, "allow", nil, "do not count the kernel's reports that `FILE` lists; may be repeated")
	fl.StringArrayVar(&f.append, "append", nil, "boot with the kernel `ARGUMENT`; may be repeated")
	fl.BoolVar(&f.console, "console", false, "show the kernel's log on stderr as it comes")
	fl.BoolVar(&f.gdb, "gdb", false, "have the machine wait for a debugger, and print the line that attaches one")
	fl.StringVarP(&f.user, "user", "u", "", "run as the user `UID[:GID]`, or nobody (default root)")
	fl.StringVar(&f.root, "root", "", "make the directory `DIR` the program's root; the program is then one in it")
	fl.StringVar(&f.dir, "dir", "", "run in the directory `DIR` of the machine (default the one here, or / with --root)")
	fl.StringArrayVar(&f.with, "with", nil, "bring `FILE[:PLACE]`, which may be a directory, to the same or another place; may be repeated")
	fl.StringArrayVar(&f.get, "get", nil, "fetch `FILE` when the program has ended; may be repeated")
	fl.BoolVar(&f.bare, "no-testdata", false, "do not bring the directory of a Go test along")
	fl.StringVarP(&f.out, "out", "o", "", "keep the machine's records in `DIR`, which must not exist")
}

func (a *app) execCmd() *cobra.Command {
	f := &machineFlags{}
	var parse, format string
	c := &cobra.Command{
		Use:   "exec [flags] -- PROGRAM [ARG...]",
		Short: "run a program in a machine as if it were run here",
		Long: `Boot a kernel and run a program of this host in the machine, as root or as
--user, with the standard input, output and error, the environment, the working
directory and the exit status as if it were run here. The libraries of a
dynamically linked program come along, and so does the directory of a Go test.
The first SIGINT, SIGTERM, SIGHUP or SIGQUIT goes to the program, and the machine is
ended if that does not end it within a second (ten after SIGQUIT).
Mounted are proc, sysfs, devtmpfs, bpffs, cgroup2, securityfs, debugfs, tracefs
and tmpfs; the loopback device is up, and there is no other network.

With --parse the program's output is read as KTAP, TAP, test2json or go test -v
and each test in it becomes a case of a run with a report like any other.

The exit code is the program's, or 128 and its signal; 125 when there is no
verdict (the host, the boot, a machine that was lost), 126 when the program
cannot be run, 127 when there is none, and 1 where the kernel crashed, hung or
reported a fault under a program that says that all is well.

With --out DIR, DIR/machine.json holds the machine's fate, its findings, and how
the program ended.`,
		Example: `  tokentest exec --kernel deb:6.12 -- ./a.out -v
  go test -exec 'tokentest exec --kernel deb:6.12 --' ./...
  tokentest exec --kernel deb:6.12 --parse auto -- ./fs_test`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("no program: want %s", c.UseLine())
			}
			if parse != "" {
				return a.execParsed(c.Context(), f, args, parse, format)
			}
			return a.exec(c.Context(), f, args)
		},
	}
	c.Flags().SetInterspersed(false)
	f.register(c.Flags())
	c.Flags().StringVar(&parse, "parse", "", "read the program's output as `FORMAT`: auto, tap, test2json or gotest")
	c.Flags().StringVarP(&format, "format", "f", "", "with --parse, "+formatHelp())
	emptyFlag(c.Flags(), &f.allowEmpty)
	return c
}

// Exit codes that tell of a program that did not run, as shells and container
// tools give them.
const (
	exitNoMachine = 125
	exitCannotRun = 126
	exitNotFound  = 127
)

// exec runs a program and answers with its exit code.
func (a *app) exec(ctx context.Context, f *machineFlags, args []string) error {
	p, err := a.program(f, args)
	if err != nil {
		return err
	}
	p.Stdin, p.Stdout, p.Stderr = a.stdin, a.stdout, a.stderr
	l, err := a.machineLab(ctx, f)
	if err != nil {
		return err
	}
	defer a.discard(f, l)
	ended, err := a.attend(ctx, l, f, p)
	if err != nil {
		a.code = exitNoMachine
		return codedError{err, exitNoMachine}
	}
	a.code = a.verdict(ctx, ended, l)
	if err := keepMachine(l.Dir, ended, a.code); err != nil {
		fmt.Fprintf(a.stderr, "tokentest: %v\n", err) // the program's exit code counts
	}
	return nil
}

// machineFile says how a machine that exec started ended.
const machineFile = "machine.json"

// keepMachine stores in dir the kernel with its one boot, in the form of run.json, and how the program ended.
func keepMachine(dir string, e *lab.Ended, code int) error {
	text, err := json.MarshalIndent(struct {
		*result.KernelRun
		Program  *wire.Exit `json:"program,omitempty"`
		ExitCode int        `json:"exit_code"`
	}{e.Kernel, e.Exit, code}, "", "  ")
	if err == nil {
		err = renameio.WriteFile(filepath.Join(dir, machineFile), append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("store how the machine ended: %w", err)
	}
	return nil
}

// codedError is an error with an exit code of its own.
type codedError struct {
	error
	code int
}

func (e codedError) Unwrap() error { return e.error }

// attend runs the program, with the signals that come for it.
func (a *app) attend(ctx context.Context, l *lab.Lab, f *machineFlags, p *lab.Program) (*lab.Ended, error) {
	signals := make(chan wire.Signal)
	p.Signals = signals
	stop := forward(ctx, signals)
	defer stop()
	return l.Exec(ctx, f.kernel, p)
}

// How long a program may take to end after a signal, before its machine is
// ended. Go programs print all their goroutines at SIGQUIT.
const (
	graceProgram = 700 * time.Millisecond
	graceQuit    = 10 * time.Second
)

// forward has the first signal that would end this command go to the program,
// and all SIGUSR1 and SIGUSR2. A program that does not end in time is ended
// with its machine, and so it is at the second signal.
func forward(ctx context.Context, to chan<- wire.Signal) (stop func()) {
	h := signals.Of(ctx)
	var limit *time.Timer
	drop := h.Take(func(s os.Signal) bool {
		if limit != nil || !send(to, s) {
			return false
		}
		grace := graceProgram
		if s == syscall.SIGQUIT {
			grace = graceQuit
		}
		limit = time.AfterFunc(grace, h.Interrupt)
		return true
	})
	more, done := make(chan os.Signal, 4), make(chan struct{})
	signal.Notify(more, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for {
			select {
			case s := <-more:
				send(to, s)
			case <-done:
				return
			}
		}
	}()
	return func() {
		drop()
		signal.Stop(more)
		close(done)
	}
}

// send hands a signal to the program. There may be none yet.
func send(to chan<- wire.Signal, s os.Signal) bool {
	n, ok := s.(syscall.Signal)
	if !ok {
		return false
	}
	select {
	case to <- wire.Signal{Number: int(n)}:
		return true
	case <-time.After(50 * time.Millisecond):
		return false
	}
}

// verdict turns how a program and its machine ended into an exit code, and
// says what a local run would not have said.
func (a *app) verdict(ctx context.Context, e *lab.Ended, l *lab.Lab) int {
	b := &e.Kernel.Boots[0]
	for _, f := range b.Findings {
		if f.Counts() {
			fmt.Fprintf(a.stderr, "tokentest: the kernel reports %s: %s [%s]\n", f.Kind, f.Title, f.Fingerprint)
		}
	}
	if b.Fate == vm.Lost && ctx.Err() != nil {
		fmt.Fprintf(a.stderr, "tokentest: %v\n", signals.ErrInterrupted)
		if e.Exit != nil && e.Exit.Code != 0 {
			return e.Exit.Code
		}
		return exitNoMachine
	}
	if b.Fate != vm.Clean {
		fmt.Fprintf(a.stderr, "tokentest: %s: the machine is %s: %s (%s)\n", e.Kernel.Ref, b.Fate, b.Reason, filepath.Join(l.Dir, b.Dir))
	}
	code := 0
	switch {
	case e.Exit == nil && (b.Fate == vm.Panicked || b.Fate == vm.Hung):
		return result.ExitDiffers
	case e.Exit == nil:
		return exitNoMachine
	case e.Exit.Missing:
		code = exitNotFound
	case e.Exit.Error != "":
		code = exitCannotRun
	default:
		code = e.Exit.Code
	}
	if e.Exit.Error != "" {
		fmt.Fprintf(a.stderr, "tokentest: run the program: %s\n", e.Exit.Error)
	}
	if code == 0 && b.Fate != vm.Clean && b.Host == nil {
		return result.ExitDiffers
	}
	return code
}

// machineLab prepares a lab for one machine, whose directory goes away when
// all is well and nobody named it.
func (a *app) machineLab(ctx context.Context, f *machineFlags) (*lab.Lab, error) {
	cache, err := a.makeCache()
	if err != nil {
		return nil, err
	}
	if err := checkAccel(f.accel); err != nil {
		return nil, err
	}
	signals.Of(ctx).Keep(exitNoMachine)
	l := &lab.Lab{CacheDir: cache, QEMU: f.qemu, Accel: f.accel, Entry: f.boot, Deadline: f.deadline, Offline: f.offline, Snapshot: f.snapshot}
	l.Log = a.lateNote(5 * time.Second)
	a.watch(l, f.console, f.gdb)
	if l.Allow, err = readAllow(f.allow); err != nil {
		return nil, err
	}
	if err := l.Check(); err != nil {
		return nil, err
	}
	l.Dir, err = runs.Make(f.out)
	return l, err
}

// discard removes the records of a machine about which there is nothing to say.
func (a *app) discard(f *machineFlags, l *lab.Lab) {
	if f.out == "" && a.code != result.ExitDiffers && a.code != exitNoMachine {
		os.RemoveAll(l.Dir)
	}
}

// lateNote keeps quiet about what takes no time: a program's output is not to
// be mixed with notes. After a while it says what it kept back.
func (a *app) lateNote(after time.Duration) func(string, ...any) {
	start := time.Now()
	var kept []string
	return func(format string, args ...any) {
		kept = append(kept, fmt.Sprintf(format, args...))
		if time.Since(start) < after {
			return
		}
		for _, line := range kept {
			a.note("tokentest: %s", line)
		}
		kept = nil
	}
}

// program collects what is to run.
func (a *app) program(f *machineFlags, args []string) (*lab.Program, error) {
	p := &lab.Program{MemMiB: f.mem, Append: f.append}
	p.Args, p.Env = slices.Clone(args), os.Environ()
	here, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	p.Dir = here
	if p.UID, p.GID, err = parseUser(f.user); err != nil {
		return nil, err
	}
	if f.root == "" {
		err = bringProgram(p, here, f.bare)
	} else {
		p.Root, p.Dir = guestRoot, "/"
		err = bring(p, f.root, guestRoot)
	}
	if err != nil {
		return nil, err
	}
	if err := bringExtras(p, f, here); err != nil {
		return nil, err
	}
	return p, placesAllowed(p)
}

// watch lets a person look inside the lab's machines.
func (a *app) watch(l *lab.Lab, console, gdb bool) {
	if console {
		l.Console = a.stderr
	}
	if gdb {
		l.Debug = func(line string) {
			fmt.Fprintf(a.stderr, "tokentest: the machine waits for a debugger; continue it there: %s\n", line)
		}
	}
}

// bringExtras adds what the user named.
func bringExtras(p *lab.Program, f *machineFlags, here string) error {
	for _, w := range f.with {
		from, to, given := strings.Cut(w, ":")
		if !given {
			to = absolute(here, from)
		}
		if err := errors.Join(bring(p, from, filepath.Join(p.Root, absolute("/", to))), bringLibraries(p, from)); err != nil {
			return err
		}
	}
	if f.dir != "" {
		p.Dir = absolute("/", f.dir)
	}
	for _, g := range f.get {
		p.Get = append(p.Get, absolute(here, g))
	}
	return nil
}

// guestRoot is where a directory that becomes a root is put.
const guestRoot = "/root.d"

// bring adds a file or directory.
func bring(p *lab.Program, from, to string) error {
	files, err := lab.Gather(from, to)
	if err != nil {
		return usage.Of(err)
	}
	p.Files = append(p.Files, files...)
	return nil
}

// placesAllowed refuses files where the machine has file systems of its own.
func placesAllowed(p *lab.Program) error {
	for _, f := range p.Files {
		for _, own := range []string{"/proc", "/sys", "/dev"} {
			if f.To == own || strings.HasPrefix(f.To, own+"/") {
				return usage.Errorf("%s: nothing can be brought to %s of a machine; name another place with --with %s:PLACE", f.From, own, f.From)
			}
		}
	}
	return nil
}

func absolute(base, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(base, name)
}

// bringProgram adds the program, with what it loads and, for a Go test, the
// directory that it expects to be in.
func bringProgram(p *lab.Program, here string, bare bool) error {
	path, err := exec.LookPath(p.Args[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return codedError{fmt.Errorf("find the program: %w", err), exitNotFound}
	}
	path = absolute(here, path)
	p.Args[0] = path
	if err := errors.Join(bring(p, path, path), bringLibraries(p, path)); err != nil {
		return err
	}
	if !isGoTest(p.Args) {
		return nil
	}
	wantFiles(p, here)
	if bare {
		return nil
	}
	return bringPackage(p, here)
}

// bringLibraries adds what a file loads, if it is a program.
func bringLibraries(p *lab.Program, path string) error {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || p.Root != "" {
		return nil
	}
	libraries, err := lab.Libraries(path)
	if err != nil {
		return usage.Of(err)
	}
	for _, name := range libraries {
		if err := bring(p, name, name); err != nil {
			return err
		}
	}
	return nil
}

// isGoTest says whether the program is what go test builds and runs.
func isGoTest(args []string) bool {
	return strings.HasSuffix(args[0], ".test") && slices.ContainsFunc(args[1:], func(s string) bool { return strings.HasPrefix(s, "-test.") })
}

// maxPackage bounds what comes along by itself.
const maxPackage = 256 << 20

// bringPackage adds the files of the directory, and testdata as a whole.
func bringPackage(p *lab.Program, here string) error {
	entries, err := os.ReadDir(here)
	if err != nil {
		return fmt.Errorf("read the test's directory: %w", err)
	}
	before := lab.Size(p.Files)
	for _, e := range entries {
		name := filepath.Join(here, e.Name())
		if e.Type().IsRegular() && name != p.Args[0] || e.IsDir() && e.Name() == "testdata" {
			if err := bring(p, name, name); err != nil {
				return err
			}
		}
	}
	if size := lab.Size(p.Files) - before; size > maxPackage {
		return usage.Errorf("the test's directory %s holds %d MiB: use --no-testdata, and --with for what the test needs of it", here, size>>20)
	}
	return nil
}

// wantFiles asks for the files that a Go test is told to write.
func wantFiles(p *lab.Program, here string) {
	base := here
	for _, a := range p.Args[1:] {
		if dir, ok := strings.CutPrefix(a, "-test.outputdir="); ok {
			base = absolute(here, dir)
		}
	}
	for _, a := range p.Args[1:] {
		name, value, ok := strings.Cut(a, "=")
		if !ok || value == "" {
			continue
		}
		switch name {
		case "-test.coverprofile", "-test.cpuprofile", "-test.memprofile", "-test.blockprofile", "-test.mutexprofile", "-test.trace", "-test.testlogfile":
			file := absolute(base, value)
			p.Get = append(p.Get, file)
			p.Make = append(p.Make, filepath.Dir(file))
		case "-test.gocoverdir", "-test.fuzzcachedir":
			p.Make = append(p.Make, absolute(here, value))
		}
	}
}

// parseUser reads UID[:GID].
func parseUser(s string) (uid, gid uint32, err error) {
	switch s {
	case "", "root":
		return 0, 0, nil
	case "nobody":
		return 65534, 65534, nil
	}
	u, g, both := strings.Cut(s, ":")
	if !both {
		g = u
	}
	uid64, err1 := strconv.ParseUint(u, 10, 32)
	gid64, err2 := strconv.ParseUint(g, 10, 32)
	if err1 != nil || err2 != nil {
		return 0, 0, usage.Errorf("--user %q: want UID, UID:GID, root or nobody: the machine knows no other names", s)
	}
	return uint32(uid64), uint32(gid64), nil
}
