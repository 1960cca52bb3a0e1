package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/wire"
)

// host is the other end of an agent's control channel.
type host struct {
	t   *testing.T
	out *wire.Writer
	in  *wire.Reader
	end chan error // what serve returned
}

// channel is both ends of a control channel. It is no net.Pipe: with package net the test
// program would use cgo, and a program that does cannot change the capabilities of all
// its threads, as an application must.
func channel(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "host"), os.NewFile(uintptr(fds[1]), "guest")
}

// serveHere has an agent serve a host that is this test.
func serveHere(t *testing.T, prepare func(g *agent)) *host {
	t.Helper()
	ours, theirs := channel(t)
	t.Cleanup(func() { ours.Close() })
	g := &agent{
		in:     wire.NewReader(theirs),
		out:    wire.NewWriter(theirs),
		sysctl: unprivDefault,
		buf:    make([]byte, maxMessage),
		hooks:  map[uapi.Hook]*lsmHook{},
		lsm:    map[step.Handle]lsmPlace{},
		types:  []byte("{}"),
	}
	if prepare != nil {
		prepare(g)
	}
	h := &host{t: t, out: wire.NewWriter(ours), in: wire.NewReader(ours), end: make(chan error, 1)}
	go func() {
		h.end <- g.serve()
		theirs.Close()
	}()
	return h
}

func (h *host) send(k wire.Kind, payload []byte) {
	h.t.Helper()
	if err := h.out.Write(k, payload); err != nil {
		h.t.Fatal(err)
	}
}

// hear reads the next record, which must be of a kind.
func (h *host) hear(want wire.Kind) []byte {
	h.t.Helper()
	kind, payload, err := h.in.Read()
	if err != nil || kind != want {
		h.t.Fatalf("got a %s record %q, %v; want %s", kind, payload, err, want)
	}
	return payload
}

func (h *host) results(k wire.Kind) *wire.Results {
	h.t.Helper()
	r, err := wire.DecodeResults(h.hear(k))
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// testWorld has an actor in a user namespace and one in the initial one. Its set-up
// opens a user namespace's descriptor and sends a copy.
func testWorld() *step.Program {
	return &step.Program{
		Actors: []step.Actor{
			{Name: "owner", Kind: step.Userns, Parent: -1, UID: 1000, Caps: uapi.AllCaps},
			{Name: "root", Kind: step.Init, Parent: -1, Caps: uapi.AllCaps},
		},
		Setup: []step.Step{
			{Actor: 0, Op: step.OpUserns, Out: 1, Caps: uapi.AllCaps},
			{Actor: 0, Op: step.OpSend, Args: []step.Arg{{Key: step.KeyHandle, Num: 1}, {Key: step.KeyTo, Num: 1}}},
		},
	}
}

func dupOf(actor uint32, h uint64) step.Step {
	return step.Step{Actor: actor, Op: step.OpDup, Caps: uapi.AllCaps, Args: []step.Arg{{Key: step.KeyHandle, Num: h}}}
}

// A world is set up and its cells run, those of one actor and those of several, and the
// agent announces what it is about to do.
func TestServe(t *testing.T) {
	needRoot(t)
	h := serveHere(t, nil)
	h.send(wire.KindWorld, wire.EncodeProgram(testWorld()))
	h.hear(wire.KindStage)
	oneActor := wire.Cells{First: 7, Cells: []step.Cell{{dupOf(1, 1)}, {dupOf(1, 9), dupOf(1, 1)}}}
	h.send(wire.KindCells, wire.EncodeCells(&oneActor))
	if r := h.results(wire.KindSetup); len(r.Cells) != 1 || len(r.Cells[0]) != 2 || r.Cells[0][0].Errno != 0 {
		t.Fatalf("set-up: %+v", r)
	}
	if r, err := wire.DecodeRange(h.hear(wire.KindBegin)); err != nil || r != (wire.Range{First: 7, Count: 2}) {
		t.Errorf("begin %+v, %v", r, err)
	}
	several := wire.Cells{First: 9, Cells: []step.Cell{{dupOf(0, 1), dupOf(1, 9), dupOf(0, 9)}, {dupOf(1, 1)}}}
	h.send(wire.KindCells, wire.EncodeCells(&several))
	want := fmt.Sprint([][]step.Observation{{{}}, {{Errno: uapi.Errno(unix.EBADF)}, {}}})
	if r := h.results(wire.KindEnd); r.First != 7 || fmt.Sprint(r.Cells) != want {
		t.Errorf("cells of one actor: %+v, want %s", r, want)
	}
	h.hear(wire.KindBegin)
	h.send(wire.KindMeasure, nil)
	bad := step.Observation{Errno: uapi.Errno(unix.EBADF)}
	want = fmt.Sprint([][]step.Observation{{{}, bad, bad}, {{}}})
	if r := h.results(wire.KindEnd); r.First != 9 || fmt.Sprint(r.Cells) != want {
		t.Errorf("cells of two actors: %+v, want %s", r, want)
	}
	if kind, payload, err := h.in.Read(); err == nil {
		var c wire.Costs
		if err := wire.DecodeJSON(payload, &c); kind != wire.KindCosts || err != nil || c.Userns <= 0 || c.BPFFS <= 0 {
			t.Errorf("costs: a %s record, %+v, %v", kind, c, err)
		}
	} else if why := <-h.end; !strings.HasPrefix(why.Error(), "measure: ") {
		t.Errorf("no costs: %v", why)
	}
}

// What an actor cannot do is a fault, which names the cells and the reason; the next
// world begins anew.
func TestServeFault(t *testing.T) {
	needRoot(t)
	h := serveHere(t, nil)
	setup := func(p *step.Program) {
		h.send(wire.KindWorld, wire.EncodeProgram(p))
		h.hear(wire.KindStage)
	}
	fault := func(reason string, want wire.Range) {
		t.Helper()
		var f wire.Fault
		if err := wire.DecodeJSON(h.hear(wire.KindFault), &f); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(f.Reason, reason) || f.Cell != want.First || f.Count != want.Count {
			t.Errorf("fault %+v, want %+v with %q", f, want, reason)
		}
	}
	unknown := step.Step{Op: step.Ops, Caps: uapi.AllCaps}
	p := testWorld()
	p.Setup = append(p.Setup, unknown)
	setup(p)
	fault("does not know the operation", wire.Range{})
	setup(testWorld())
	h.send(wire.KindCells, wire.EncodeCells(&wire.Cells{First: 3, Cells: []step.Cell{{unknown}}}))
	h.results(wire.KindSetup)
	h.hear(wire.KindBegin)
	fault("does not know the operation", wire.Range{First: 3, Count: 1})
	p = testWorld()
	p.Setup[1].Args[1].Num = 8
	setup(p)
	fault("there is no actor 8", wire.Range{})
	p = testWorld()
	p.Actors[1].Parent = 7
	setup(p)
	fault("there is no actor 7", wire.Range{})
}

// To send a descriptor that is not open is no fault: the step shows EBADF, and the other actor gets nothing.
func TestServeSendsNoDescriptor(t *testing.T) {
	needRoot(t)
	h := serveHere(t, nil)
	send := step.Step{Op: step.OpSend, Args: []step.Arg{{Key: step.KeyHandle, Num: 5}, {Key: step.KeyTo, Num: 1}}}
	p := testWorld()
	p.Setup = append(p.Setup, send)
	h.send(wire.KindWorld, wire.EncodeProgram(p))
	h.hear(wire.KindStage)
	h.send(wire.KindCells, wire.EncodeCells(&wire.Cells{Cells: []step.Cell{{send, dupOf(1, 5), dupOf(1, 1)}}}))
	bad := step.Observation{Errno: uapi.Errno(unix.EBADF)}
	if r := h.results(wire.KindSetup); fmt.Sprint(r.Cells) != fmt.Sprint([][]step.Observation{{{}, {}, bad}}) {
		t.Errorf("set-up: %+v", r)
	}
	h.hear(wire.KindBegin)
	h.send(wire.KindMeasure, nil)
	if r := h.results(wire.KindEnd); fmt.Sprint(r.Cells) != fmt.Sprint([][]step.Observation{{bad, bad, {}}}) {
		t.Errorf("cell: %+v", r)
	}
}

// The agent ends with an error for a record that it does not know, and for one that is damaged.
func TestServeRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		kind    wire.Kind
		payload []byte
		want    string
	}{
		"a guest's record": {wire.KindHello, nil, "unexpected hello record from the host"},
		"a damaged world":  {wire.KindWorld, []byte{0xff}, "corrupt record"},
		"a damaged exec":   {wire.KindExec, []byte("{"), "corrupt record"},
		"a damaged signal": {wire.KindSignal, []byte("{"), "corrupt record"},
		"a damaged file":   {wire.KindFile, []byte{0xff}, "corrupt record"},
	} {
		h := serveHere(t, nil)
		h.send(tt.kind, tt.payload)
		if err := <-h.end; err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	h := serveHere(t, nil)
	h.send(wire.KindCells, []byte{0, 0, 0xff})
	h.hear(wire.KindBegin)
	if err := <-h.end; !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("damaged cells: %v", err)
	}
	ours, theirs := channel(t)
	ours.Close()
	g := &agent{in: wire.NewReader(theirs), out: wire.NewWriter(theirs)}
	if err := g.serve(); !errors.Is(err, io.EOF) {
		t.Errorf("a host that has gone: %v", err)
	}
}

// Done is the last record: it has the kernel's taint.
func TestBye(t *testing.T) {
	needRoot(t)
	h := serveHere(t, nil)
	h.send(wire.KindBye, nil)
	var d wire.Done
	if err := wire.DecodeJSON(h.hear(wire.KindDone), &d); err != nil {
		t.Fatal(err)
	}
	if taint, err := readTaint(taintFile); err != nil || d.Taint != taint {
		t.Errorf("done says %#x, the kernel %#x, %v", d.Taint, taint, err)
	}
	if err := <-h.end; err != nil {
		t.Error(err)
	}
}

// Hello says what the machine is: its release and settings, and what was changed and refused.
func TestHello(t *testing.T) {
	ours, theirs := channel(t)
	defer ours.Close()
	g := &agent{
		out:     wire.NewWriter(theirs),
		max:     map[string]uint32{"bpf_cmd": 37},
		refused: []step.Fixture{{Name: "hash map", Errno: 1}},
	}
	g.btf.StructOpsIndex = 4
	g.built = builtIn{off: []string{"NET"}, from: step.FromBTF, typesOff: []string{"func f"}}
	settings := map[string]step.Reading{step.Mitigations: {Booted: 1, Running: 1}}
	changes := []step.Change{{Kind: step.ChangeDirectory, Name: "/mnt/a"}}
	end := make(chan error, 1)
	go func() { end <- g.hello("build", settings, changes) }()
	kind, payload, err := wire.NewReader(ours).Read()
	if err != nil || kind != wire.KindHello {
		t.Fatalf("a %s record, %v", kind, err)
	}
	var h wire.Hello
	if err := errors.Join(wire.DecodeJSON(payload, &h), <-end); err != nil {
		t.Fatal(err)
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"build id": h.BuildID == "build", "release": h.Release == unix.ByteSliceToString(u.Release[:]),
		"BTF": h.BTF && h.Max["bpf_cmd"] == 37, "struct_ops": h.StructOpsIndex == 4, "mitigations": h.MitigationsOff,
		"refused": len(h.Refused) == 1 && h.Refused[0].Name == "hash map",
		"changes": len(h.Changes) == 1 && h.Changes[0].Name == "/mnt/a",
		"options": h.ConfigOff[0] == "NET" && h.OptionsFrom == step.FromBTF && h.TypesOff[0] == "func f",
	} {
		if !ok {
			t.Errorf("%s: %s", name, payload)
		}
	}
}

// The agent's marks are lines of the kernel's log, and are kept.
func TestMarks(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "kmsg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := kernelLog{f: f}
	l.begin(wire.Mark{Kind: wire.MarkCells, First: 3, Count: 2})
	l.begin(wire.Mark{Kind: wire.MarkExec})
	(&kernelLog{}).begin(wire.Mark{Kind: wire.MarkExec}) // without a log there is nothing to write
	text, err := os.ReadFile(f.Name())
	if want := "<4>tokentest: begin cells 3 2\n<4>tokentest: begin exec\n"; err != nil || string(text) != want {
		t.Errorf("got %q, %v, want %q", text, err, want)
	}
	if len(l.marks) != 2 || l.marks[0].Mark.First != 3 || l.marks[1].Mark.Kind != wire.MarkExec ||
		l.marks[1].Ticks < l.marks[0].Ticks {
		t.Errorf("kept are %+v", l.marks)
	}
}

func TestReadTaint(t *testing.T) {
	file := t.TempDir() + "/tainted"
	for text, want := range map[string]uint64{"0\n": 0, "4096\n": 4096} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := readTaint(file); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "many\n"} {
		if err := os.WriteFile(file, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readTaint(file); err == nil || !strings.HasPrefix(err.Error(), "read the kernel's taint: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := readTaint(file + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// The results of cells are split as the cells are.
func TestResultsOf(t *testing.T) {
	c := &wire.Cells{First: 4, Cells: []step.Cell{{{}, {}}, {}, {{}}}}
	r := resultsOf(c, []step.Observation{{Errno: 1}, {Errno: 2}, {Errno: 3}})
	if got := fmt.Sprint(r.First, len(r.Cells[0]), len(r.Cells[1]), r.Cells[2][0].Errno); got != "4 2 0 ESRCH" {
		t.Errorf("got %s", got)
	}
	if got := joined(c.Cells); len(got) != 3 {
		t.Errorf("joined are %d steps", len(got))
	}
}

func TestErrnoOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want unix.Errno
	}{
		{nil, 0}, {unix.EPERM, unix.EPERM}, {fmt.Errorf("open: %w", unix.ENOENT), unix.ENOENT},
		{&os.PathError{Err: unix.EBUSY}, unix.EBUSY}, {errors.New("other"), unix.EIO},
	} {
		if got := ErrnoOf(tt.err); got != uapi.Errno(tt.want) {
			t.Errorf("%v: %s, want %s", tt.err, got, uapi.Errno(tt.want))
		}
	}
}

// Without root the agent says that it cannot change a setting, and keeps what it knows.
func TestSetSysctl(t *testing.T) {
	g := &agent{sysctl: unprivDefault}
	if errno := g.setSysctl(unprivDefault); errno != 0 {
		t.Errorf("what it is already: %s", errno)
	}
	g.sysctl = unprivLocked
	if !g.locked() {
		t.Error("1 is not locked")
	}
}
