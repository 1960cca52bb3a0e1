package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokentest/harness/guestprog"
	"tokentest/harness/lab"
	"tokentest/harness/progress"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/scan"
	"tokentest/harness/signals"
	"tokentest/harness/usage"
	"tokentest/harness/wire"
)

// machineFlags choose the machine in which a program runs, and its files.
type machineFlags struct {
	kernel, accel, qemu string
	boot                lab.Entry
	mem, cpus           int
	offline             bool
	snapshot            lab.SnapshotUse
	deadline            time.Duration
	allow, append       []string
	console, gdb        bool
	program             guestprog.Options
	allowEmpty          bool
	out                 string
}

func (f *machineFlags) register(fl *pflag.FlagSet) {
	fl.StringVarP(&f.kernel, "kernel", "k", defaultKernel, "boot the kernel `REF`")
	fl.StringVar(&f.accel, "accel", "auto", "run the guest on `HOW`: auto, kvm or tcg")
	entryFlag(fl, &f.boot)
	fl.StringVar(&f.qemu, "qemu", "", "run `PROGRAM` as QEMU (default: that of the kernel's architecture)")
	fl.IntVar(&f.mem, "memory", 0, "the same as --mem")
	fl.IntVar(&f.cpus, "cpus", 1, "give the machine `N` processors")
	fl.BoolVar(&f.offline, "offline", false, "do not use the network")
	snapshotFlag(fl, &f.snapshot, lab.NeverRestore)
	fl.DurationVar(&f.deadline, "deadline", 0,
		"end the machine after `TIME` (default 24h; one that no longer answers, or whose console has printed 32 MiB, is "+
			"ended much sooner)")
	fl.StringArrayVar(&f.allow, "allow", nil, "do not count the kernel's reports that `FILE` lists; may be repeated")
	fl.StringArrayVar(&f.append, "append", nil, "boot with the kernel `ARGUMENT`; may be repeated")
	fl.BoolVar(&f.console, "console", false, "show the kernel's log on stderr")
	fl.BoolVar(&f.gdb, "gdb", false, "have the machine wait for a debugger, and print the line that attaches one")
	f.registerProgram(fl)
	fl.StringArrayVar(&f.program.Get, "get", nil, "fetch `FILE` when the program has ended; may be repeated")
	fl.StringVarP(&f.out, "out", "o", "", "keep the machine's records in `DIR`, which must not exist")
}

// registerProgram has the flags about the program itself.
func (f *machineFlags) registerProgram(fl *pflag.FlagSet) {
	fl.IntVar(&f.mem, "mem", 0, "give the machine `MIB` of memory (default 512, more if the files or the kernel need it)")
	fl.StringVarP(&f.program.User, "user", "u", "", "run as the user `UID[:GID]`, or nobody (default root)")
	fl.StringVar(&f.program.Root, "root", "",
		"make the directory `DIR` the program's root; the program is then one in it")
	fl.StringVar(&f.program.Dir, "dir", "",
		"run in the directory `DIR` of the machine (default the one here, or / with --root)")
	fl.StringArrayVar(&f.program.With, "with", nil,
		"bring `FILE[:PLACE]`, which may be a directory, to the same or another place; may be repeated")
	fl.BoolVar(&f.program.NoTestdata, "no-testdata", false, "do not bring the directory of a Go test along")
}

// execRepeat are the flags that a repetition of a program needs.
var execRepeat = []string{"kernel", "accel", "boot", "qemu", "mem", "memory", "cpus",
	"snapshot", "deadline", "allow", "append", "user",
	"root", "dir", "with", "get", "no-testdata", "cache", "agent", "parse"}

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
Other programs come with --with; u-root's commands (cat, ls, uname, a shell and
more) are in the machine for those that do not.
The first SIGINT, SIGTERM, SIGHUP or SIGQUIT goes to the program, and the machine is
ended if that does not end it within a second (ten after SIGQUIT).
Mounted are proc, sysfs, devtmpfs, bpffs, cgroup2, securityfs, debugfs, tracefs
and tmpfs; the loopback device is up, and there is no other network. The machine has
a host name, the users root and nobody, localhost, /var/tmp, and the kernel's
configuration in /boot, if it is known. Modules of a packaged kernel, a tree or this
host's kernel are loaded when the kernel or modprobe asks for one.

With --parse the program's output is read as KTAP, TAP, test2json or go test -v
and each test in it becomes a case of a run with a report like any other.

The exit code is the program's, or 128 and its signal; 125 when there is no
verdict (the host, the boot, a machine that was lost), 126 when the program
cannot be run (a directory, or no permission), 127 when there is none, and 1 where
the kernel crashed, hung or reported a fault, or a file of --get did not come back,
under a program that says that all is well.

With --out DIR, DIR/machine.json holds the machine's fate, its findings, and how
the program ended.`,
		Example: `  tokentest exec --kernel deb:6.12 -- ./a.out -v
  go test -exec 'tokentest exec --kernel deb:6.12 --' ./...
  tokentest exec --kernel deb:6.12 --parse auto -- ./fs_test`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("no program; usage: %s", c.UseLine())
			}
			if parse != "" {
				return a.execParsed(c, f, args, parse, format)
			}
			return a.exec(c.Context(), f, args)
		},
	}
	c.Flags().SetInterspersed(false)
	f.register(c.Flags())
	c.Flags().StringVar(&parse, "parse", "", "read the output as `FORMAT`: auto, tap, test2json, gotest or test_progs")
	c.Flags().StringVarP(&format, "format", "f", "", "with --parse, "+formatHelp())
	emptyFlag(c.Flags(), &f.allowEmpty)
	return c
}

// exec runs a program and returns its exit code.
func (a *app) exec(ctx context.Context, f *machineFlags, args []string) error {
	o, p, err := a.program(f, args)
	if err != nil {
		return err
	}
	stderr := &guestprog.Tail{To: a.stderr}
	p.Stdin, p.Stdout, p.Stderr = a.stdin, a.stdout, stderr
	l, err := a.machineLab(ctx, f)
	if err != nil {
		return err
	}
	defer a.discard(f, l)
	ended, err := a.attend(ctx, l, f, p)
	if err != nil {
		a.code = guestprog.ExitNoMachine
		return codedError{err, guestprog.ExitNoMachine}
	}
	a.code = a.verdict(ctx, o, ended, l)
	a.say(o.Advice(ended, a.code, stderr))
	if err := guestprog.Store(l.Dir, ended, a.code); err != nil {
		fmt.Fprintf(a.stderr, "tokentest: %v\n", err) // the program's exit code counts
	}
	return nil
}

// codedError is an error with an exit code of its own.
type codedError struct {
	error
	code int
}

func (e codedError) Unwrap() error { return e.error }

// attend runs the program, and forwards signals to it.
func (a *app) attend(ctx context.Context, l *lab.Lab, f *machineFlags, p *lab.Program) (*lab.Ended, error) {
	signals := make(chan wire.Signal)
	p.Signals = signals
	stop := guestprog.Forward(ctx, signals)
	defer stop()
	return l.Exec(ctx, f.kernel, p)
}

// verdict prints what a local run would not print, such as findings in the kernel log, and returns the exit code.
func (a *app) verdict(ctx context.Context, o *guestprog.Options, e *lab.Ended, l *lab.Lab) int {
	code, says := o.Verdict(e, l.Dir, ctx.Err() != nil)
	a.say(says)
	return code
}

// say prints lines to standard error, also with --quiet.
func (a *app) say(lines []string) {
	for _, line := range lines {
		fmt.Fprintf(a.stderr, "tokentest: %s\n", line)
	}
}

// machineLab prepares a lab for one machine. Its directory is removed at the end unless --out
// names it or the machine failed.
func (a *app) machineLab(ctx context.Context, f *machineFlags) (*lab.Lab, error) {
	cache, err := a.makeCache()
	if err != nil {
		return nil, err
	}
	if err := checkAccel(f.accel); err != nil {
		return nil, err
	}
	signals.Of(ctx).Keep(guestprog.ExitNoMachine)
	l := &lab.Lab{CacheDir: cache, Agent: a.agent, QEMU: f.qemu, Accel: f.accel, Entry: f.boot, Deadline: f.deadline,
		Offline: f.offline, Snapshot: f.snapshot}
	l.Log = progress.Late(a.note, 5*time.Second)
	a.watch(l, f.console, f.gdb)
	if l.Allow, err = scan.ReadAllow(f.allow); err != nil {
		return nil, err
	}
	if err := l.Check(); err != nil {
		return nil, err
	}
	l.Dir, err = runs.Make(f.out)
	return l, err
}

// discard removes the records of a machine that did not fail, unless --out names their directory.
func (a *app) discard(f *machineFlags, l *lab.Lab) {
	if f.out == "" && a.code != result.ExitDiffers && a.code != guestprog.ExitNoMachine {
		os.RemoveAll(l.Dir)
	}
}

// program collects the files of the program to run.
func (a *app) program(f *machineFlags, args []string) (*guestprog.Options, *lab.Program, error) {
	o, err := f.program.For(args)
	if err != nil {
		return nil, nil, err
	}
	p, err := guestprog.New(o)
	var cannot *guestprog.ProgramError
	if errors.As(err, &cannot) {
		return nil, nil, codedError{err, cannot.Code}
	}
	if err != nil {
		return nil, nil, err
	}
	p.MemMiB, p.CPUs, p.Append = f.mem, f.cpus, f.append
	return &o, p, nil
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
