package labtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/wire"
)

// Environment of the fake QEMU.
const (
	// Acts holds a word for each machine, in the order in which they start; further
	// machines play the last one. A word is an act, or an act and the number of the cell
	// at which it happens: "panic@70".
	Acts = "FAKE"
	// Boots is the path of a file to which each machine appends "boot PID ACT", and "at
	// CELL" when its act happens.
	Boots = "FAKE_BOOTS"
)

// guest is the inside of the machine, with its ends of the channels.
type guest struct {
	act     string
	at      int // the cell at which it happens
	out     *wire.Writer
	in      *wire.Reader
	port    io.Writer
	console io.Writer
	mouth   *mouth
	facts   *step.Facts
	sim     *sim.Sim
	staged  int
	marks   int // in the log
	args    []string
	telling sync.Mutex
	running
}

// QEMU is a machine with the kernel and the image of its command line, and with the console
// and the control port on inherited descriptors. It returns the exit status.
func QEMU() int {
	if slices.Equal(os.Args[1:], []string{"--version"}) {
		fmt.Println("QEMU emulator version 0 (fake)")
		return 0
	}
	g := &guest{args: os.Args, console: os.NewFile(3, "console"), at: -1}
	if err := g.chooseAct(); err != nil {
		fmt.Fprintln(os.Stderr, "qemu:", err)
		return 1
	}
	if slices.Contains(g.args, "-mon") {
		go monitor()
	}
	port := os.NewFile(controlFD, "control")
	g.port = port
	if g.act == "corrupt" {
		g.port = &flipper{w: port, at: 700}
	}
	g.mouth = &mouth{w: g.port, open: !g.restored()}
	g.in, g.out = wire.NewReader(port), wire.NewWriter(g.mouth)
	if code, ends := g.boots(); ends {
		return code
	}
	if err := g.serve(); err != nil && !errors.Is(err, errEnd) {
		fmt.Fprintln(g.console, "[    9.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100")
	}
	return 0
}

// chooseAct counts the machines that started before and takes this machine's word.
func (g *guest) chooseAct() error {
	words := strings.Fields(os.Getenv(Acts))
	if len(words) == 0 {
		words = []string{"clean"}
	}
	if own, err := g.read("-kernel", 0, actMark, "\n"); err == nil {
		words = []string{own}
	}
	old, err := os.ReadFile(os.Getenv(Boots))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	n := min(strings.Count(string(old), "boot "), len(words)-1)
	word, at, given := strings.Cut(words[n], "@")
	g.act = word
	if given {
		if g.at, err = strconv.Atoi(at); err != nil {
			return err
		}
	}
	return note("boot %d %s\n", os.Getpid(), words[n])
}

func note(format string, args ...any) error {
	f, err := os.OpenFile(os.Getenv(Boots), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, format, args...)
	return err
}

func (g *guest) say(lines ...string) {
	for _, l := range lines {
		fmt.Fprintln(g.console, "[    2.0] "+l)
	}
}

// mark writes a mark to the log, as the agent does.
func (g *guest) mark(format string, args ...any) {
	if g.act != "nomarks" {
		g.marks++
		g.say(wire.LogPrefix + wire.MarkPrefix + fmt.Sprintf(format, args...))
	}
}

// forever waits until the tool ends the machine.
func forever() { time.Sleep(10 * time.Minute) }

// heard waits until the tool has read everything that was sent so far. Tests that wait for a
// note depend on that.
func (g *guest) heard() {
	for {
		left, err := unix.IoctlGetInt(controlFD, unix.SIOCOUTQ)
		if err != nil || left == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// controlFD is the machine's end of the channel.
const controlFD = 4

// boots plays what happens before hello, and reports whether the machine ends then.
func (g *guest) boots() (code int, ends bool) {
	if g.act == "refuse" {
		fmt.Fprintln(os.Stderr, "qemu: -frob: invalid option")
		return 1, true
	}
	g.say("Linux version " + Release)
	if i := slices.Index(g.args, "-initrd") + 1; strings.Contains(g.args[i], "/bare-") {
		return 0, true // its init powers off at once
	}
	switch g.act {
	case "mute":
		return 0, true
	case "noroot":
		g.say("Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)")
		return 0, true
	case "asleep":
		note("at boot\n")
		forever()
		return 0, true
	case "flood":
		line := "[    2.0] " + strings.Repeat("flood ", 20) + "\n"
		for range 20 << 20 / len(line) {
			io.WriteString(g.console, line)
		}
	case "warn":
		g.say("------------[ cut here ]------------",
			"WARNING: CPU: 0 PID: 9 at kernel/bpf/token.c:12 bpf_token_create+0x10/0x20",
			"---[ end trace 0000000000000000 ]---")
	}
	return 0, false
}

// errEnd ends the guest without a message.
var errEnd = errors.New("the machine ends")

// serve says hello and handles the host's records, as the agent does.
func (g *guest) serve() error {
	if err := g.hello(); err != nil {
		return err
	}
	for {
		kind, payload, err := g.in.Read()
		if err != nil {
			return err
		}
		switch kind {
		case wire.KindWorld:
			err = g.world(payload)
		case wire.KindCells:
			err = g.cells(payload)
		case wire.KindMeasure:
			err = g.costs()
		case wire.KindBye:
			return g.bye()
		default:
			err = g.program(kind, payload)
		}
		if err != nil {
			return err
		}
	}
}

// Refused are the fixtures that the kernel of the act "refused" refuses.
var Refused = []step.Fixture{{Name: "int BTF", Errno: uapi.Errno(unix.EAGAIN)}}

// hello sends the facts of the kernel's image and the build id of the initramfs.
func (g *guest) hello() error {
	id, err := g.read("-initrd", 0, idMark, "\n")
	if err != nil {
		return err
	}
	release, err := g.read("-kernel", 0, banner, " ") // an ELF file
	if err != nil {
		release, err = g.read("-kernel", releaseAt, "", " ") // a bzImage
	}
	if err != nil {
		return err
	}
	v, err := uapi.ParseRelease(release)
	if err != nil {
		return err
	}
	g.facts = cases.FactsAt(v)
	g.facts.Release, g.facts.BTF = release, true
	h := wire.Hello{BuildID: id, Facts: *g.facts}
	switch g.act {
	case "build":
		h.BuildID = "0123456789abcdef"
	case "release":
		h.Release = "6.12.99"
	case "refused":
		h.Refused = Refused
	}
	payload, err := wire.EncodeJSON(h)
	if err != nil {
		return err
	}
	err = g.out.Write(wire.KindHello, payload)
	g.mouth.open = true
	return err
}

// read returns the text between two texts, after an offset, in the file that an option of the
// command line names.
func (g *guest) read(option string, offset int, from, to string) (string, error) {
	i := slices.Index(g.args, option) + 1
	if i == 0 || i >= len(g.args) {
		return "", fmt.Errorf("no %s", option)
	}
	text, err := os.ReadFile(g.args[i])
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(text[min(offset, len(text)):]), from)
	word, _, ok := strings.Cut(rest, to)
	if !ok {
		return "", fmt.Errorf("%s: nothing between %q and %q", g.args[i], from, to)
	}
	return word, nil
}

// world sets up a world.
func (g *guest) world(payload []byte) error {
	p, err := wire.DecodeProgram(payload)
	if err != nil {
		return err
	}
	g.mark("set-up %d", g.staged)
	g.staged++
	if err := g.out.Write(wire.KindStage, nil); err != nil {
		return err
	}
	switch g.act {
	case "setuppanic":
		return g.panics()
	case "setupfault":
		g.sim = nil
		return g.fault(wire.Fault{Reason: "no user namespace: ENOSPC"})
	}
	g.sim = sim.New(g.facts, p, false)
	seen, err := play(g.sim, p.Setup)
	if err != nil {
		return err
	}
	r := wire.Results{Cells: [][]step.Observation{seen}}
	return g.out.Queue(wire.KindSetup, wire.EncodeResults(&r))
}

// CallTakes is the time of each call in nanoseconds.
const CallTakes = 1500

// Costs are the costs of the guest's own work.
var Costs = wire.Costs{Userns: 3_000_000, BPFFS: 2_000_000}

func (g *guest) costs() error {
	payload, err := wire.EncodeJSON(Costs)
	if err != nil {
		return err
	}
	return g.out.Write(wire.KindCosts, payload)
}

// play answers as the oracle expects.
func play(s *sim.Sim, steps []step.Step) ([]step.Observation, error) {
	expected, err := s.Play(steps)
	if err != nil {
		return nil, err
	}
	seen := make([]step.Observation, len(steps))
	for i, e := range expected {
		seen[i] = step.Observation{Errno: e.Verdict.Errno, Values: slices.Concat(e.Values, e.Among,
			make([]uint64, len(e.AtMost))), Text: e.Text + e.Prints}
		if e.Code != nil {
			seen[i].Values = []uint64{*e.Code}
		}
		if _, timed := steps[i].Num(step.KeyTime); timed {
			seen[i].Values = []uint64{CallTakes}
		}
		if e.Verdict.Errno == 0 {
			seen[i].Proof = step.Works
		}
	}
	return seen, nil
}

// cells announces cells and runs them.
func (g *guest) cells(payload []byte) error {
	c, err := wire.DecodeCells(payload)
	if err != nil {
		return err
	}
	first, count := c.First, uint32(len(c.Cells))
	g.mark("cells %d %d", first, count)
	if g.act == "skipbegin" && g.covers(c) {
		first++
	}
	if err := g.out.Write(wire.KindBegin, wire.EncodeRange(wire.Range{First: first, Count: count})); err != nil {
		return err
	}
	switch {
	case crashes(c):
		return g.panics()
	case g.sim == nil:
		return g.fault(wire.Fault{Cell: c.First, Count: count, Reason: "there is no actor 0"})
	}
	r := wire.Results{First: c.First}
	for _, cell := range c.Cells {
		seen, err := play(g.sim.Fork(), cell)
		if err != nil {
			return err
		}
		r.Cells = append(r.Cells, seen)
		if err := g.alive(cell); err != nil {
			return err
		}
	}
	if g.covers(c) {
		if err := g.happen(&r); err != nil {
			return err
		}
	}
	if g.act == "fault" && g.covers(c) {
		return g.fault(wire.Fault{Cell: c.First, Count: count, Reason: "actor owner: it is gone"})
	}
	return g.out.Queue(wire.KindEnd, wire.EncodeResults(&r))
}

// alive sends an alive record for a cell with a long step.
func (g *guest) alive(cell step.Cell) error {
	if !slices.ContainsFunc(cell, func(s step.Step) bool { return s.Op.Row().Long }) {
		return nil
	}
	return g.out.Write(wire.KindAlive, nil)
}

// covers reports whether the act happens in these cells.
func (g *guest) covers(c *wire.Cells) bool {
	return g.at >= int(c.First) && g.at < int(c.First)+len(c.Cells)
}

// crashes reports whether a step makes the kernel crash.
func crashes(c *wire.Cells) bool {
	for _, cell := range c.Cells {
		if slices.ContainsFunc(cell, func(s step.Step) bool { return s.Op == step.OpSysrq }) {
			return true
		}
	}
	return false
}

// happen plays the act, after the begin record and before the answer.
func (g *guest) happen(r *wire.Results) error {
	g.heard()
	note("at %d\n", g.at)
	switch g.act {
	case "panic":
		return g.panics()
	case "splat", "nomarks":
		time.Sleep(500 * time.Millisecond) // so that even a starved host has read the begin record
		if g.act == "nomarks" {
			time.Sleep(1500 * time.Millisecond) // and has judged what came before it: its time alone tells
		}
		g.say("WARNING: CPU: 0 PID: 9 at kernel/bpf/token.c:12 bpf_token_create+0x10/0x20")
	case "runaway":
		g.runaway()
	case "slow":
		for range 6 {
			time.Sleep(300 * time.Millisecond)
			g.out.Write(wire.KindAlive, nil)
		}
	case "early":
		g.out.Write(wire.KindFault, nil) // flushes the queue; its payload is not JSON
		return errEnd
	case "off":
		return errEnd
	case "exit":
		return errors.New("the agent gives up")
	case "hang":
		forever()
	case "endless": // it needs little of a processor, so that the host is not to blame
		for {
			g.say(slices.Repeat([]string{"flood"}, 1000)...)
			time.Sleep(20 * time.Millisecond)
		}
	case "lie":
		seen := &r.Cells[g.at-int(r.First)][0]
		*seen = step.Observation{Errno: uapi.Errno(38)} // ENOSYS is always wrong
	case "short":
		r.Cells = r.Cells[:len(r.Cells)-1]
	case "done":
		return errors.Join(g.done(), errEnd)
	case "world":
		return g.out.Write(wire.KindWorld, nil)
	case "noise":
		g.port.Write([]byte(strings.Repeat("noise", 10)))
	}
	return nil
}

// runaway reports a lockup at a time that the guest's clock cannot have reached.
func (g *guest) runaway() {
	fmt.Fprintln(g.console, "[ 9999.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [swapper/0:1]")
}

func (g *guest) panics() error {
	g.say("BUG: kernel NULL pointer dereference, address: 0000000000000008",
		"Oops: Oops: 0000 [#1] PREEMPT SMP", "RIP: 0010:bpf_token_put+0x4/0x80",
		"---[ end trace 0000000000000000 ]---", "Kernel panic - not syncing: Fatal exception")
	return errEnd
}

func (g *guest) fault(f wire.Fault) error {
	payload, err := wire.EncodeJSON(f)
	if err != nil {
		return err
	}
	return g.out.Write(wire.KindFault, payload)
}

// bye ends the records.
func (g *guest) bye() error {
	if g.act == "mumble" {
		return errEnd
	}
	if err := g.done(); err != nil {
		return err
	}
	switch g.act {
	case "stay":
		g.heard()
		note("at done\n")
		forever()
	case "more":
		return g.done()
	}
	return errEnd
}

func (g *guest) done() error {
	d := wire.Done{}
	switch g.act {
	case "taint":
		d.Taint = 1 << 12
	case "leak", "oldleak", "noscan":
		d.Leaks = g.leaks()
	}
	payload, err := wire.EncodeJSON(d)
	if err != nil {
		return err
	}
	return g.tell(wire.KindDone, payload)
}

// flipper flips one bit of what it writes.
type flipper struct {
	w     io.Writer
	at, n int
}

func (f *flipper) Write(p []byte) (int, error) {
	if i := f.at - f.n; i >= 0 && i < len(p) {
		p[i] ^= 1
	}
	f.n += len(p)
	return f.w.Write(p)
}
