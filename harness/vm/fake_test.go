package vm

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakePrefix begins the names under which the test binary is a fake QEMU: the rest of
// the name is the act that it plays. (A link, unlike a script that was just written,
// is never still open for writing.)
const fakePrefix = "fakeqemu-"

func TestMain(m *testing.M) {
	if act, ok := strings.CutPrefix(filepath.Base(os.Args[0]), fakePrefix); ok {
		os.Exit(fakeQEMU(act))
	}
	os.Exit(m.Run())
}

// fakeGuest holds the guest's ends of the channels.
type fakeGuest struct{ console, virtio, serial *os.File }

func (g fakeGuest) say(format string, args ...any) { fmt.Fprintf(g.console, format+"\n", args...) }

func (g fakeGuest) forever() int {
	time.Sleep(time.Minute)
	return 0
}

// aborts ends this process like a failed assertion.
func (g fakeGuest) aborts() int {
	syscall.Exec("/bin/sh", []string{"sh", "-c", "kill -ABRT $$"}, nil)
	return g.forever()
}

// lockup is the agent of a kernel that reports a lockup; at is the kernel's time stamp in
// seconds.
func (g fakeGuest) lockup(at float64) int {
	time.Sleep(100 * time.Millisecond)
	g.say("[%12.6f] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [swapper/0:1]", at)
	g.say("[%12.6f] RIP: 0010:crypto_sha3_final+0xb7/0x160", at)
	return g.agent(g.virtio)
}

// agent says hello on a port, then answers.
func (g fakeGuest) agent(port *os.File) int {
	fmt.Fprintln(port, "hello")
	return g.answer(port)
}

// answer answers lines until "off", then says done.
func (g fakeGuest) answer(port *os.File) int {
	for in := bufio.NewScanner(port); in.Scan(); {
		fmt.Fprintln(port, "got", in.Text())
		if in.Text() == "off" {
			fmt.Fprintln(port, "done")
			return 0
		}
	}
	return 0
}

var acts = map[string]func(g fakeGuest) int{
	"clean":    func(g fakeGuest) int { return g.agent(g.virtio) },
	"restored": func(g fakeGuest) int { return g.answer(g.virtio) },
	"serial":   func(g fakeGuest) int { return g.agent(g.serial) },
	"badargs": func(fakeGuest) int {
		fmt.Fprintln(os.Stderr, "qemu: warning: x\nqemu: -frob: invalid option")
		return 1
	},
	"nomem": func(fakeGuest) int {
		fmt.Fprintln(os.Stderr, "qemu: cannot set up guest memory: Cannot allocate memory")
		return 1
	},
	"asserts": func(g fakeGuest) int {
		fmt.Fprintln(os.Stderr, "qemu: warning: old\nqemu: error: failed to set MSR 0x345 to 0x2000")
		fmt.Fprintln(os.Stderr, "qemu: kvm.c:3109: kvm_buf_set_msrs: Assertion `ret == n' failed.")
		return g.aborts()
	},
	"assertslate": func(g fakeGuest) int {
		fmt.Fprintln(g.virtio, "hello")
		bufio.NewReader(g.virtio).ReadString('\n')
		fmt.Fprintln(os.Stderr, "qemu: tcg.c:7: Assertion `x' failed.")
		return g.aborts()
	},
	"lockup":    func(g fakeGuest) int { return g.lockup(2) },
	"farlockup": func(g fakeGuest) int { return g.lockup(286.920377) },
	"lockuppanic": func(g fakeGuest) int {
		fmt.Fprintln(g.virtio, "hello")
		g.say("[    1.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [swapper/0:1]")
		g.say("[    1.1] Kernel panic - not syncing: softlockup: hung tasks")
		return 0
	},
	"mute": func(fakeGuest) int { return 0 },
	"kvmfail": func(g fakeGuest) int {
		fmt.Fprintln(os.Stderr, "KVM internal error. Suberror: 1\nemulation failure\nEAX=00000000")
		return g.forever()
	},
	"earlypanic": func(g fakeGuest) int {
		g.say("[    1.0] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)")
		return 0
	},
	"silentboot": func(g fakeGuest) int { g.say("[    0.0] Linux version 6.12.0"); return g.forever() },
	"tainted": func(g fakeGuest) int {
		g.say("[    1.0] ------------[ cut here ]------------")
		g.say("[    1.0] WARNING: CPU: 0 PID: 9 at kernel/bpf/token.c:12 bpf_token_create+0x10/0x20")
		g.say("[    1.0] ---[ end trace 0000000000000000 ]---")
		return g.agent(g.virtio)
	},
	"panicked": func(g fakeGuest) int {
		fmt.Fprintln(g.virtio, "hello")
		g.say("[    2.0] BUG: kernel NULL pointer dereference, address: 0000000000000008")
		g.say("[    2.0] Oops: Oops: 0000 [#1] PREEMPT SMP")
		g.say("[    2.0] RIP: 0010:bpf_token_put+0x4/0x80")
		g.say("[    2.0] ---[ end trace 0000000000000000 ]---")
		g.say("[    2.1] Kernel panic - not syncing: Fatal exception")
		return 0
	},
	"panicstays": func(g fakeGuest) int {
		fmt.Fprintln(g.virtio, "hello")
		g.say("[    2.1] Kernel panic - not syncing: stuck")
		return g.forever()
	},
	"agentexit": func(g fakeGuest) int {
		fmt.Fprintln(g.virtio, "hello")
		g.say("[    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000300")
		return 0
	},
	"hung":     func(g fakeGuest) int { fmt.Fprintln(g.virtio, "hello"); return g.forever() },
	"poweroff": func(g fakeGuest) int { fmt.Fprintln(g.virtio, "hello"); return 0 },
	"abort": func(g fakeGuest) int {
		fmt.Fprintln(g.virtio, "hello")
		fmt.Fprintln(os.Stderr, "qemu: bad disk")
		return 1
	},
	"stay": func(g fakeGuest) int { fmt.Fprintln(g.virtio, "hello\ndone"); return g.forever() },
	"flood": func(g fakeGuest) int {
		lines := strings.Repeat(strings.Repeat("flood ", 20)+"\n", 500)
		for range 20 << 20 / len(lines) {
			io.WriteString(g.console, lines)
		}
		g.say("[    9.0] WARNING: CPU: 0 PID: 9 at kernel/late.c:12 late+0x10/0x20")
		return g.agent(g.virtio)
	},
	"late": func(g fakeGuest) int {
		io.WriteString(g.console, strings.Repeat("late\n", 120<<10)) // less than the pipe holds
		g.say("[    9.0] WARNING: CPU: 0 PID: 9 at kernel/late.c:12 late+0x10/0x20")
		return g.agent(g.virtio)
	},
	"endless": func(g fakeGuest) int {
		fmt.Fprintln(g.virtio, "hello")
		for {
			g.say("[    1.0] flood")
		}
	},
	"linux": func(g fakeGuest) int { g.say("[    0.0] Linux version 6.12.0"); return g.forever() },
}

func fakeQEMU(act string) int {
	return acts[act](fakeGuest{os.NewFile(3, "console"), os.NewFile(4, "virtio"), os.NewFile(5, "serial")})
}

// fake returns the path of a fake QEMU that plays act.
func fake(t *testing.T, act string) string {
	t.Helper()
	if acts[act] == nil {
		t.Fatalf("no act %q", act)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), fakePrefix+act)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// idle are the usages on a host on which nothing else runs.
func idle(int) map[string]usage { return nil }

// busy returns the usages on a host on which QEMU waits for a processor nearly always.
func busy() func(int) map[string]usage {
	start := time.Now()
	return func(int) map[string]usage {
		d := time.Since(start)
		return map[string]usage{"vcpu": {ran: d / 20, waited: d - d/20}, "main": {waited: d / 2}}
	}
}

// machine is a Machine with a fake QEMU and short clocks.
func machine(t *testing.T, act string) *Machine {
	return &Machine{QEMU: fake(t, act), Kernel: "bzImage", Accel: KVM, Dir: t.TempDir(),
		Deadline: 10 * time.Second, Quiet: 5 * time.Second, usages: idle}
}

func TestFates(t *testing.T) {
	for _, want := range []struct {
		act    string
		quiet  time.Duration
		fate   Fate
		reason string
	}{
		{"clean", 0, Clean, "powered off after its done record"},
		{"serial", 0, Clean, "powered off after its done record"},
		{"tainted", 0, Tainted, "WARNING in bpf_token_create (kernel/bpf/token.c) (findings: 1)"},
		{"panicked", 0, Panicked, "BUG: kernel NULL pointer dereference in bpf_token_put"},
		{"panicstays", 0, Panicked, "kernel panic: stuck"},
		{"hung", 300 * time.Millisecond, Hung, "silent for 300ms"},
		{"stay", 300 * time.Millisecond, Hung, "no power-off after the done record: silent for 300ms"},
		{"poweroff", 0, Lost, "the guest powered off before its done record; the console is empty"},
		{"abort", 0, Lost, "qemu exited with status 1: qemu: bad disk"},
		{"agentexit", 0, Lost, "the guest agent exited (exitcode=0x00000300)"},
		{"mute", 0, Unbooted, "the machine ended before the guest said hello; the console is empty"},
		{"earlypanic", 0, Unbooted, "before the guest said hello: kernel panic: " +
			"VFS: Unable to mount root fs on unknown-block(0,0)"},
		{"silentboot", 300 * time.Millisecond, Unbooted, "no hello: silent for 300ms; " +
			`last console line: "[    0.0] Linux version 6.12.0"`},
		{"badargs", 0, Infra, "qemu exited with status 1: qemu: -frob: invalid option"},
		{"nomem", 0, Infra, "qemu exited with status 1: qemu: cannot set up guest memory: Cannot allocate memory"},
		{"kvmfail", 0, Infra, "qemu: KVM internal error. Suberror: 1; use --accel tcg, or name another QEMU with --qemu"},
		{"asserts", 0, Infra, "qemu crashed (aborted): qemu: error: failed to set MSR 0x345 to 0x2000; " +
			"qemu: kvm.c:3109: kvm_buf_set_msrs: Assertion `ret == n' failed.; " +
			"use --accel tcg, or name another QEMU with --qemu"},
		{"assertslate", 0, Lost, "qemu crashed (aborted): qemu: tcg.c:7: Assertion `x' failed."},
	} {
		t.Run(want.act, func(t *testing.T) {
			t.Parallel()
			m := machine(t, want.act)
			m.Quiet = cmp.Or(want.quiet, m.Quiet)
			got := converse(t, m, "off")
			if got.Fate != want.fate || got.Reason != want.reason {
				t.Errorf("got  %s: %s\nwant %s: %s", got.Fate, got.Reason, want.fate, want.reason)
			}
			if booted := got.Fate != Unbooted && got.Fate != Infra; booted != (got.Boot > 0) {
				t.Errorf("boot took %v although the fate is %s", got.Boot, got.Fate)
			}
			gone(t, m)
		})
	}
}

// gone checks that no process of m is left.
func gone(t *testing.T, m *Machine) {
	t.Helper()
	if err := syscall.Kill(-m.boot.proc.cmd.Process.Pid, 0); err != syscall.ESRCH {
		t.Errorf("process group %d: got %v, want %v", m.boot.proc.cmd.Process.Pid, err, syscall.ESRCH)
	}
}

// hello starts m and waits until its guest has said hello.
func hello(t *testing.T, ctx context.Context, m *Machine) *bufio.Reader {
	t.Helper()
	if err := m.Start(ctx); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(m.Control())
	if line, err := r.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("got %q, %v, want hello", line, err)
	}
	m.Hello()
	return r
}

func TestKill(t *testing.T) {
	m := machine(t, "hung")
	r := hello(t, t.Context(), m)
	m.Kill("case x passed its deadline")
	m.Kill("too late")
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("read after kill: got %v, want EOF", err)
	}
	if got := m.Wait(); got.Fate != Hung || got.Reason != "case x passed its deadline" {
		t.Errorf("got %s: %s", got.Fate, got.Reason)
	}
	m.Kill("after the end")
	if got := m.Wait(); got.Reason != "case x passed its deadline" {
		t.Errorf("a kill after the end changed the reason to %q", got.Reason)
	}
	gone(t, m)
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := machine(t, "hung")
	hello(t, ctx, m)
	cancel()
	if got := m.Wait(); got.Fate != Lost || got.Reason != "stopped by the caller: interrupted" || got.Code != -1 {
		t.Errorf("got %+v", got)
	}
	gone(t, m)
}

func TestCancelBeforeFirstByte(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := machine(t, "silentboot")
	if err := m.Start(ctx); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := m.Control().Write([]byte("x")); err == nil {
		t.Error("a write to a guest that never sent a byte succeeded")
	}
	if _, err := m.Control().Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: got %v, want EOF", err)
	}
	if got := m.Wait(); got.Fate != Lost {
		t.Errorf("got %s: %s, want lost", got.Fate, got.Reason)
	}
}

func TestKilledFromOutside(t *testing.T) {
	for _, act := range []string{"hung", "silentboot"} {
		m := machine(t, act)
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		syscall.Kill(m.boot.proc.cmd.Process.Pid, syscall.SIGKILL)
		if got := m.Wait(); got.Fate != Lost || got.Reason != "qemu was killed from outside: killed" {
			t.Errorf("%s: got %s: %s", act, got.Fate, got.Reason)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	good := Machine{QEMU: "/nonexistent/qemu", Kernel: "bzImage", Accel: TCG, Dir: t.TempDir()}
	for want, spoil := range map[string]func(*Machine){
		"start qemu: fork/exec /nonexistent/qemu: no such file": func(m *Machine) {},
		`start qemu: exec: "no-such-qemu"`:                      func(m *Machine) { m.QEMU = "no-such-qemu" },
		"Accel":                                                 func(m *Machine) { m.Accel = "" },
		"Kernel":                                                func(m *Machine) { m.Kernel = "" },
		"Dir":                                                   func(m *Machine) { m.Dir = "" },
		"CPUs":                                                  func(m *Machine) { m.CPUs = -1 },
		"prepare boot directory":                                func(m *Machine) { m.Dir = filepath.Join(m.Dir, "missing") },
	} {
		m := good
		spoil(&m)
		err := m.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
		if got := m.Wait(); got.Fate != Infra || err == nil || got.Reason != err.Error() {
			t.Errorf("%s: got %+v, want infra", want, got)
		}
		if _, err := m.Control().Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: read: got %v, want EOF", want, err)
		}
		m.Kill("a machine that never started")
	}
}

func TestStartTwice(t *testing.T) {
	m := machine(t, "clean")
	converse(t, m, "off")
	if m.Start(t.Context()) == nil {
		t.Error("a second start succeeded")
	}
	if got := m.Wait(); got.Fate != Clean {
		t.Errorf("got %s after a refused second start, want clean", got.Fate)
	}
}

func TestUnstarted(t *testing.T) {
	m := &Machine{}
	m.Hello()
	m.Done()
	m.Touch()
	m.Kill("nothing")
	if got := m.Wait(); got.Fate != Infra {
		t.Errorf("got %s, want infra", got.Fate)
	}
}

// TestUptime counts from the machine's start, as the times of findings do.
func TestUptime(t *testing.T) {
	m := machine(t, "tainted")
	if up := m.Uptime(); up != 0 {
		t.Errorf("up for %v before the start", up)
	}
	before := time.Now()
	hello(t, t.Context(), m)
	up := m.Uptime()
	if most := time.Since(before); up <= 0 || up > most {
		t.Errorf("up for %v after %v", up, most)
	}
	m.Kill("enough")
	io.Copy(io.Discard, m.Control())
	if f := m.Wait().Findings; len(f) != 1 || f[0].Time <= 0 || f[0].Time > m.Uptime() {
		t.Errorf("findings %+v, up for %v", f, m.Uptime())
	}
}

func TestControlIsRecorded(t *testing.T) {
	for act, port := range map[string]string{"clean": "tail ", "serial": "(sleep 1; tail "} {
		m := machine(t, act)
		converse(t, m, "off")
		for name, want := range map[string]string{controlIn: "off\n", controlOut: "hello\ngot off\ndone\n"} {
			if got, err := os.ReadFile(filepath.Join(m.Dir, name)); string(got) != want || err != nil {
				t.Errorf("%s: %s holds %q, %v, want %q", act, name, got, err, want)
			}
		}
		if got, err := os.ReadFile(filepath.Join(m.Dir, "cmdline")); !strings.Contains(string(got), port) || err != nil {
			t.Errorf("%s: cmdline holds %s, %v, want %q", act, got, err, port)
		}
	}
}

func TestFlood(t *testing.T) {
	m := machine(t, "flood")
	m.Deadline = time.Minute
	got := converse(t, m, "off")
	if got.Fate != Tainted || len(got.Findings) != 1 {
		t.Fatalf("got %s: %s", got.Fate, got.Reason)
	}
	log, err := os.ReadFile(filepath.Join(m.Dir, consoleLog))
	if err != nil || len(log) > headMax+tailMax+1000 {
		t.Errorf("console.log has %d bytes, %v", len(log), err)
	}
	if !strings.Contains(string(log[headMax:headMax+200]), "bytes of the console are left out here ***") {
		t.Error("the log does not say what is missing")
	}
	if at := log[got.Findings[0].Offset:]; !strings.HasPrefix(string(at), "[    9.0] WARNING") {
		t.Errorf("the finding's offset leads to %.40q", at)
	}
}

// slowWriter takes long, as the host does if it is busy.
type slowWriter struct{}

func (slowWriter) Write(p []byte) (int, error) {
	time.Sleep(100 * time.Millisecond)
	return len(p), nil
}

// What is left in the console's pipe when QEMU is gone is read, however long it takes.
func TestLateConsole(t *testing.T) {
	m := machine(t, "late")
	m.Console = slowWriter{}
	if got := converse(t, m, "off"); got.Fate != Tainted || len(got.Findings) != 1 {
		t.Errorf("got %s: %s", got.Fate, got.Reason)
	}
}

// TestPauseQuiet: a guest that nobody reads from is not silent.
func TestPauseQuiet(t *testing.T) {
	m := machine(t, "hung")
	m.Quiet = 300 * time.Millisecond
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	resume := m.PauseQuiet()
	time.Sleep(4 * m.Quiet)
	if m.boot.proc.gone() {
		t.Error("the machine ended while nobody read from it")
	}
	resume()
	resume() // a second call changes nothing
	if got := m.Wait(); got.Fate != Unbooted || !strings.Contains(got.Reason, "silent for 300ms") {
		t.Errorf("got %s: %s", got.Fate, got.Reason)
	}
	gone(t, m)
	(&Machine{}).PauseQuiet()()
}

func TestEndlessFlood(t *testing.T) {
	m := machine(t, "endless")
	m.Deadline = 500 * time.Millisecond
	if got := converse(t, m, "off"); got.Fate != Hung || !strings.Contains(got.Reason, "deadline") {
		t.Errorf("got %s: %s", got.Fate, got.Reason)
	}
	gone(t, m)
	m = machine(t, "endless")
	m.Flood = 1 << 20
	if got := converse(t, m, "off"); got.Fate != Hung || got.Reason != "it floods its console: more than 1 MiB" {
		t.Errorf("got %s: %s", got.Fate, got.Reason)
	}
}

// TestOrphan kills the program itself: its QEMU must not outlive it.
func TestOrphan(t *testing.T) {
	if os.Getenv("TOKENTEST_ORPHAN") != "" {
		m := machine(t, "hung")
		hello(t, t.Context(), m)
		fmt.Printf("pid %d\n", m.boot.proc.cmd.Process.Pid)
		time.Sleep(time.Minute)
	}
	tool := exec.Command(os.Args[0], "-test.run=^TestOrphan$")
	tool.Env = append(os.Environ(), "TOKENTEST_ORPHAN=1", "TMPDIR="+t.TempDir()) // it cannot clean up
	out, err := tool.StdoutPipe()
	if err == nil {
		err = tool.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanf(out, "pid %d\n", &pid); err != nil {
		t.Fatal(err)
	}
	tool.Process.Kill()
	tool.Wait()
	for range 100 {
		state, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if len(state) == 0 || strings.Contains(string(state), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("process %d outlived its parent", pid)
}
