package guest

import (
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/wire"
)

func userns(name string, parent int, uid uint32) step.Actor {
	return step.Actor{Name: name, Kind: step.Userns, Parent: parent, UID: uid, Caps: uapi.AllCaps}
}

// A world takes over the processes of an earlier one that stand where its actors must,
// and starts the others.
func TestAssembleReusesProcesses(t *testing.T) {
	needRoot(t)
	g := newTestAgent(t)
	assemble := func(cast ...step.Actor) []*player {
		t.Helper()
		if err := g.assemble(cast); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(g.players)
	}
	first := assemble(userns("owner", -1, 1000), step.Actor{Name: "root", Kind: step.Init, Parent: -1},
		step.Actor{Name: "peer", Kind: step.Joins, Parent: 0, UID: 1000})
	again := assemble(step.Actor{Name: "boss", Kind: step.Init, Parent: -1}, userns("owner", -1, 1000))
	if again[0] != first[1] || again[1] != first[0] || again[0].name != "boss" {
		t.Error("the processes of the first world were not taken over")
	}
	third := assemble(userns("other", -1, 2000), userns("nested", 0, 1000), userns("owner", -1, 1000))
	if third[0] == first[0] || third[1] == first[0] || third[2] != first[0] {
		t.Error("a process was taken over for another uid or parent")
	}
	if len(g.idle) != 2 { // root, and peer of the first world
		t.Errorf("%d processes wait", len(g.idle))
	}
	if err := g.assemble([]step.Actor{userns("orphan", 4, 1000)}); err == nil ||
		!strings.Contains(err.Error(), "actor orphan: there is no actor 4") {
		t.Errorf("an actor without its parent: %v", err)
	}
}

// A process that has ended, or that a step started, is not taken over; nor is its child.
func TestEnded(t *testing.T) {
	plain := &player{}
	ended, child := &player{absent: true}, &player{actor: step.Actor{Kind: step.Child}}
	for name, tt := range map[string]struct {
		p    *player
		want bool
	}{
		"nobody": {nil, false}, "plain": {plain, false}, "of a plain one": {&player{parent: plain}, false}, "ended": {ended,
			true},
		"a step's": {child, true}, "below one that ended": {&player{parent: &player{parent: ended}}, true},
		"below a step's": {&player{parent: child}, true},
	} {
		if got := tt.p.ended(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A retired process has forgotten its descriptors and mounts.
func TestRetiredProcessForgets(t *testing.T) {
	needTokens(t)
	g := newTestAgent(t)
	cast := []step.Actor{userns("owner", -1, 1000)}
	bpffs := step.Step{
		Op:   step.OpBPFFS,
		Out:  1,
		Caps: uapi.AllCaps,
		Args: []step.Arg{text(step.KeyCmds, "any"), number(step.KeyAt, 1)},
	}
	mountinfo := step.Step{Op: step.OpMountinfo, Caps: uapi.AllCaps, Args: []step.Arg{number(step.KeyAt, 1)}}
	if err := g.assemble(cast); err != nil {
		t.Fatal(err)
	}
	seen, err := g.play([]step.Step{bpffs, mountinfo, dupOf(0, 1)})
	if err != nil || seen[1].Text == "" || seen[2].Errno != 0 {
		t.Fatalf("%+v, %v", seen, err)
	}
	first := g.players[0]
	if err := g.assemble(cast); err != nil {
		t.Fatal(err)
	}
	seen, err = g.play([]step.Step{mountinfo, dupOf(0, 1)})
	if err != nil || g.players[0] != first {
		t.Fatalf("another process: %v", err)
	}
	if seen[0].Errno != uapi.Errno(unix.ENOENT) || seen[1].Errno != uapi.Errno(unix.EBADF) {
		t.Errorf("it still has %+v", seen)
	}
}

// Slots of a hook's map are filled and emptied one by one, and count by themselves.
func TestLSMSlots(t *testing.T) {
	needTokens(t)
	var a attr
	a.u32(uapi.Attr_map_type, uint32(uapi.BPF_MAP_TYPE_ARRAY))
	a.u32(uapi.Attr_key_size, 4)
	a.u32(uapi.Attr_value_size, lsmSlots*slotLen)
	a.u32(uapi.Attr_max_entries, 1)
	rules, errno := bpf(uapi.BPF_MAP_CREATE, &a)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer unix.Close(rules)
	const hook = step.HookBPF
	h := &lsmHook{rules: rules}
	g := &agent{hooks: map[step.Hook]*lsmHook{hook: h}, lsm: map[step.Handle]lsmPlace{}, buf: make([]byte, maxMessage)}
	g.players = []*player{{number: 41}}
	attach := func(out step.Handle, errno uint64) {
		t.Helper()
		s := &step.Step{
			Op:   step.OpLSM,
			Out:  out,
			Args: []step.Arg{number(step.KeyOf, 0), number(step.KeyHook, uint64(hook)), number(step.KeyErrno, errno)},
		}
		if o, err := g.attachLSM(nil, s); err != nil || o.Proof != step.Works {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	slotErrnos := func() (out []int32) {
		all := h.read()
		for i := range lsmSlots {
			out = append(out, int32(binary.LittleEndian.Uint32(all[i*slotLen+slotErrno:])))
		}
		return out
	}
	ran := func(n step.Handle) uapi.Errno {
		t.Helper()
		o, err := g.ranLSM(nil, stepOf(number(step.KeyHandle, uint64(n))))
		if err != nil {
			t.Fatal(err)
		}
		return o.Errno
	}
	attach(1, 13)
	attach(2, 5)
	if got := slotErrnos(); !slices.Equal(got, []int32{-13, -5, 0, 0}) {
		t.Errorf("the slots answer %v", got)
	}
	nodata := uapi.Errno(unix.ENODATA)
	if ran(1) != nodata || ran(2) != nodata || ran(3) != nodata {
		t.Error("a program ran that nobody called")
	}
	counted := h.read()[slotLen : 2*slotLen]
	binary.LittleEndian.PutUint64(counted[slotCount:], 1) // as the program does
	h.write(1, counted)
	if ran(1) != nodata || ran(2) != 0 {
		t.Errorf("ran: %s, %s", ran(1), ran(2))
	}
	attach(1, 7) // in the place of the first, behind the second
	if got := slotErrnos(); !slices.Equal(got, []int32{0, -5, -7, 0}) {
		t.Errorf("the slots answer %v", got)
	}
	if ran(2) != 0 {
		t.Error("the count of one slot went with another")
	}
	if _, err := g.stopLSM(nil, stepOf(number(step.KeyHandle, 2))); err != nil {
		t.Fatal(err)
	}
	if got := slotErrnos(); !slices.Equal(got, []int32{0, 0, -7, 0}) || ran(2) != nodata {
		t.Errorf("the slots answer %v", got)
	}
	attach(4, 1)
	if _, err := g.attachLSM(nil, stepOf(number(step.KeyOf, 0), number(step.KeyHook, uint64(hook)))); err == nil ||
		!strings.Contains(err.Error(), "all 4 slots are in use") {
		t.Errorf("a slot too many: %v", err)
	}
	if _, err := g.attachLSM(nil, stepOf(number(step.KeyOf, 9))); err == nil ||
		!strings.Contains(err.Error(), "there is no actor 9") {
		t.Errorf("an actor that is not there: %v", err)
	}
	h.kernelArg = uapi.Errno(unix.EACCES)
	if o, err := g.attachLSM(nil, stepOf(number(step.KeyOf, 0), number(step.KeyHook, uint64(hook)), number(step.KeyKernel,
		1))); err != nil ||
		o.Errno != h.kernelArg {
		t.Errorf("an argument that the hook lacks: %s, %v", o.Errno, err)
	}
	g.forgetLSM()
	if got := slotErrnos(); !slices.Equal(got, make([]int32, lsmSlots)) || len(g.lsm) != 0 || h.next() != 0 {
		t.Errorf("left are %v, %v", got, g.lsm)
	}
}

// A container makes a bpffs, a token and what it allows in namespaces that nobody else has.
func TestOneNamespace(t *testing.T) {
	needTokens(t)
	before := openFiles(t)
	for range 3 {
		if errno, err := oneNamespace(); errno != 0 || err != nil {
			t.Fatalf("%s, %v", errno, err)
		}
	}
	if after := openFiles(t); !maps.Equal(before, after) {
		t.Errorf("left open are %v, before %v", after, before)
	}
}

// openFiles counts what this process has open, by kind.
func openFiles(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && !strings.HasPrefix(to, "/proc/") {
			kind, _, _ := strings.Cut(to, ":[")
			out[kind]++
		}
	}
	return out
}

// A delegation to a process that ends meanwhile succeeds or fails as a whole.
func TestDelegateExit(t *testing.T) {
	needTokens(t)
	g := &agent{}
	o, err := g.race(nil, stepOf(number(step.KeyRace, uint64(step.RaceDelegateExit)), number(step.KeyTimes, 3)))
	if err != nil || len(o.Values) == 0 || o.Values[0] != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

// A long step is done in parts, and the host hears after each.
func TestInSlices(t *testing.T) {
	ours, theirs := channel(t)
	defer ours.Close()
	var parts []uint64
	p := fakeActor(t, func(its link, acts []act) {
		steps, err := wire.DecodeSteps(acts[0].payload)
		if err != nil {
			t.Error(err)
		}
		n, _ := steps[0].Num(step.KeyTimes)
		parts = append(parts, n)
		o := step.Observation{}
		if n == 5 {
			o.Errno = 5
		}
		its.send(append([]byte{answerOK}, wire.EncodeResults(&wire.Results{Cells: [][]step.Observation{{o}}})...), nil)
	})
	g := &agent{out: wire.NewWriter(theirs), buf: make([]byte, maxMessage)}
	in := wire.NewReader(ours)
	for _, tt := range []struct {
		times uint64
		want  []uint64
		errno uapi.Errno
	}{
		{10, []uint64{10}, 0}, {2*sliceTimes + 7, []uint64{sliceTimes, sliceTimes, 7}, 0},
		{sliceTimes + 5, []uint64{sliceTimes, 5}, 5}, {0, nil, 0},
	} {
		parts = nil
		o, err := g.inSlices(p, stepOf(number(step.KeyTimes, tt.times)))
		if err != nil || o.Errno != tt.errno || !slices.Equal(parts, tt.want) {
			t.Errorf("%d times: %+v, %v in parts %v, want %v", tt.times, o, err, parts, tt.want)
		}
		for range tt.want {
			if k, _, err := in.Read(); k != wire.KindAlive || err != nil {
				t.Errorf("%d times: a %s record, %v", tt.times, k, err)
			}
		}
	}
}

// beat sends records that the agent is alive until the caller stops it, and none afterwards.
func TestBeatEnds(t *testing.T) {
	ours, theirs := channel(t)
	defer ours.Close()
	g := &agent{out: wire.NewWriter(theirs)}
	ended := make(chan struct{})
	close(ended)
	g.beat(ended)
	theirs.Close()
	if err := ours.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if k, _, err := wire.NewReader(ours).Read(); err == nil {
		t.Errorf("a %s record after the end", k)
	}
}

// What cases need of the kernel is changed once, and each change is listed.
func TestPrepare(t *testing.T) {
	needRoot(t)
	settings := map[string]step.Reading{}
	got := prepare(settings)
	if len(got) != 1 || got[0].Kind != step.ChangeLimit || got[0].Name != step.Memlock.Name ||
		got[0].To != step.Unlimited {
		t.Errorf("with every place made and no setting: %+v", got)
	}
	s := step.SettingNamed(step.UnprivDisabled)
	for _, tt := range []struct {
		running int64
		changed bool
		want    int64
		errno   unix.Errno
	}{
		{0, true, unprivDefault, 0}, {unprivLocked, true, unprivLocked, unix.EPERM}, {unprivDefault, false, unprivDefault, 0},
	} {
		settings := map[string]step.Reading{s.Name: {Booted: tt.running, Running: tt.running}}
		changes := prepare(settings)
		if r := settings[s.Name]; r.Running != tt.want || r.Booted != tt.running {
			t.Errorf("%d: %+v", tt.running, r)
		}
		if last := changes[len(changes)-1]; (last.Kind == step.ChangeSetting) != tt.changed ||
			tt.changed && last.Errno != uapi.Errno(tt.errno) {
			t.Errorf("%d: %+v", tt.running, last)
		}
	}
}

// countingActor counts the verbs that a fake actor is sent, and answers nothing was observed.
func countingActor(t *testing.T) (p *player, seen map[verb]int) {
	t.Helper()
	seen = map[verb]int{}
	p = fakeActor(t, func(its link, acts []act) {
		for _, a := range acts {
			seen[a.verb]++
		}
		its.send(append([]byte{answerOK}, wire.EncodeResults(&wire.Results{Cells: [][]step.Observation{{}}})...), nil)
	})
	return p, seen
}

// keeps gives the agent a copy of a descriptor of the actor.
func (p *player) keeps(t *testing.T) (fd int) {
	t.Helper()
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.given[1] = fd
	return fd
}

// A process that has nothing to forget is not asked again, and the agent's copies of its
// descriptors are closed.
func TestRetireOnce(t *testing.T) {
	p, seen := countingActor(t)
	fd := p.keeps(t)
	g := &agent{players: []*player{p}, buf: make([]byte, maxMessage)}
	for range 3 {
		if err := g.retire(); err != nil {
			t.Fatal(err)
		}
	}
	if seen[verbForget] != 1 || !p.retired || len(g.idle) != 1 {
		t.Errorf("asked %d times, %d wait", seen[verbForget], len(g.idle))
	}
	if err := unix.Close(fd); err != unix.EBADF {
		t.Errorf("the agent's copy is open: %v", err)
	}
}

// Steps may close what a descriptor number stood for, so the agent keeps no copy over them.
func TestStepsForgetCopies(t *testing.T) {
	for name, run := range map[string]func(g *agent, p *player) error{
		"cells of one actor": func(g *agent, _ *player) error { _, err := g.oneActor(0, nil); return err },
		"steps":              func(g *agent, p *player) error { p.queue(nil, nil); _, err := g.flush(p); return err },
		"exec":               func(g *agent, p *player) error { _, err := g.execAgain(p, nil); return err },
		"closeCopies":        func(g *agent, _ *player) error { return g.closeCopies() },
	} {
		p, _ := countingActor(t)
		fd := p.keeps(t)
		g := &agent{players: []*player{p}, buf: make([]byte, maxMessage), types: []byte("{}")}
		if err := run(g, p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := unix.Close(fd); err != unix.EBADF || len(p.given) != 0 {
			t.Errorf("%s: the agent's copy is open: %v, %v", name, err, p.given)
		}
	}
}

// After an exec, the new program gets the types again, before its next request.
func TestExecTellsTypesAgain(t *testing.T) {
	p, seen := countingActor(t)
	g := &agent{players: []*player{p}, buf: make([]byte, maxMessage), types: []byte("{}")}
	p.pending.add(verbPID)
	if _, err := g.execAgain(p, nil); err != nil {
		t.Fatal(err)
	}
	if seen[verbPID] != 1 || seen[verbExec] != 1 || seen[verbTypes] != 0 {
		t.Errorf("before the exec: %v", seen)
	}
	if len(p.pending.acts) != 1 || p.pending.acts[0].verb != verbTypes || string(p.pending.acts[0].payload) != "{}" {
		t.Errorf("left to send: %v", p.pending.acts)
	}
}
