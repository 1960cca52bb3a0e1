package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/wire"
)

// rootActor is an actor inside the test's own process, with the agent's fixtures.
func rootActor(t *testing.T, g *agent) *actor {
	t.Helper()
	a := testActor(nil)
	a.caller, a.workers = g.caller, map[identity]*worker{}
	t.Cleanup(a.forget)
	return a
}

// does has an actor do a step, and fails the test unless it answers an errno.
func (a *actor) does(t *testing.T, want unix.Errno, op step.Op, out step.Handle, args ...step.Arg) step.Observation {
	t.Helper()
	o := a.step(&step.Step{Op: op, Out: out, Args: args, Caps: uapi.AllCaps})
	if o.Errno != uapi.Errno(want) || o.Proof.Fails() {
		t.Errorf("%s %v: %s, proof %d, want %s", op, args, o.Errno, o.Proof, uapi.Errno(want))
	}
	return o
}

// A bpffs goes the way from a context to a mount and away again, call by call.
func TestMountCalls(t *testing.T) {
	needTokens(t)
	a := rootActor(t, newTestAgent(t))
	at, other, none := number(step.KeyAt, 1), number(step.KeyAt, 2), number(step.KeyAt, 3)
	context, mount := number(step.KeyContext, 1), number(step.KeyMount, 2)
	a.does(t, 0, step.OpFsopen, 1)
	a.does(t, unix.EINVAL, step.OpFsmount, 0, context)
	a.does(t, unix.EINVAL, step.OpFsconfig, 0, context, text(step.KeyCmds, "nothing"))
	a.does(t, 0, step.OpFsconfig, 0, context, text(step.KeyCmds, "map_create"), text(step.KeyMode, "0750"))
	a.does(t, 0, step.OpFscreate, 0, context)
	a.does(t, 0, step.OpFsmount, 2, context)
	a.does(t, 0, step.OpMoveMount, 0, mount, at)
	if o := a.does(t, 0, step.OpMountinfo, 0, at); o.Text != "rw,mode=750,delegate_cmds=map_create" {
		t.Errorf("mountinfo %q", o.Text)
	}
	a.does(t, unix.ENOENT, step.OpMountinfo, 0, none)
	a.does(t, 0, step.OpRemount, 0, at, text(step.KeyMaps, "hash"))
	a.does(t, 0, step.OpBind, 0, number(step.KeyShown, 1), other)
	a.does(t, unix.EINVAL, step.OpFspick, 0, none)
	a.does(t, 0, step.OpFspick, 3, other)
	a.does(t, 0, step.OpFsconfig, 0, number(step.KeyContext, 3), text(step.KeyProgs, "xdp"))
	a.does(t, 0, step.OpFsreconfigure, 0, number(step.KeyContext, 3))
	a.does(t, 0, step.OpShare, 0, other)
	a.does(t, unix.EINVAL, step.OpShare, 0, none)
	a.does(t, 0, step.OpCloneMount, 4, other)
	a.does(t, 0, step.OpMount, 0, none, text(step.KeyAttachs, "any"))
	if o := a.does(t, 0, step.OpMountinfo, 0, none); o.Text != "rw,delegate_attachs=any" {
		t.Errorf("mountinfo %q", o.Text)
	}
	a.does(t, 0, step.OpOpen, 5, at, number(step.KeyHow, uint64(step.HowPath)))
	if flags, err := unix.FcntlInt(uintptr(a.handles[5]), unix.F_GETFL, 0); err != nil || flags&unix.O_PATH == 0 {
		t.Errorf("the descriptor has the flags %#x, %v, want O_PATH", flags, err)
	}
	a.does(t, 0, step.OpUmount, 0, number(step.KeyAt, 3))
	a.does(t, unix.EINVAL, step.OpUmount, 0, none)
	a.does(t, 0, step.OpOpen, 6, at)
	a.does(t, unix.EBUSY, step.OpUmount, 0, at)
	a.does(t, 0, step.OpUmount, 0, at, number(step.KeyLazy, 1))
	a.forget()
	if len(a.handles) != 0 || len(a.places) != 0 {
		t.Errorf("left are %v at %v", a.handles, a.places)
	}
	a.does(t, unix.EINVAL, step.OpUmount, 0, other)
}

// The delegation's steps of an actor: the context goes to the broker, and the mount is its root.
func TestDelegationOfAnActor(t *testing.T) {
	needTokens(t)
	a := rootActor(t, newTestAgent(t))
	if err := a.open(); err != nil {
		t.Fatal(err)
	}
	if len(a.answer.fds) != 1 || a.answer.fds[0] != a.context {
		t.Fatalf("the answer carries %v, the context is %d", a.answer.fds, a.context)
	}
	if err := a.mount(1, ""); err == nil || !strings.HasPrefix(err.Error(), "fsmount bpf: ") {
		t.Errorf("a context without a superblock: %v", err)
	}
	if errno := configure(a.context, []step.Arg{number(step.KeyAt, 9), text(step.KeyCmds, "bogus")}); errno != uapi.Errno(
		unix.EINVAL,
	) {
		t.Errorf("a bad option: %s", errno)
	}
	if errno := configure(a.context, []step.Arg{number(step.KeyAt, 9), text(step.KeyMode, "0700")}); errno != 0 {
		t.Fatalf("a good option: %s", errno)
	}
	if err := a.mount(1, step.Places[2]); err != nil {
		t.Fatal(err)
	}
	if a.context != noFD || !slices.Equal(a.places, []string{step.Places[2]}) {
		t.Errorf("context %d, places %q", a.context, a.places)
	}
	if o := a.does(t, 0, step.OpStat, 0, number(step.KeyHandle, 1)); o.Text != "mode=1700 uid=0 gid=0" {
		t.Errorf("the root is %q", o.Text)
	}
	if err := a.open(); err != nil {
		t.Fatal(err)
	}
	if errno := configure(a.context, nil); errno != 0 {
		t.Fatal(errno)
	}
	if err := a.mount(0, ""); err != nil || len(a.handles) != 1 {
		t.Errorf("a mount that nobody keeps: %v, handles %v", err, a.handles)
	}
}

// Elements, pinned maps and buffers do what a case asks of them.
func TestElements(t *testing.T) {
	needTokens(t)
	a := rootActor(t, newTestAgent(t))
	m := number(step.KeyHandle, 1)
	do := func(d step.Do) step.Arg { return number(step.KeyDo, uint64(d)) }
	for _, mapType := range []uapi.MapType{uapi.BPF_MAP_TYPE_HASH, uapi.BPF_MAP_TYPE_PERCPU_HASH} {
		a.does(t, 0, step.OpMapCreate, 1, number(step.KeyType, uint64(mapType)))
		for _, d := range []step.Do{step.DoUpdate, step.DoLookup, step.DoDelete} {
			if o := a.does(t, 0, step.OpElement, 0, m, do(d)); o.Proof != step.Works {
				t.Errorf("%s, %s: proof %d", mapType, step.Dos[d], o.Proof)
			}
		}
	}
	a.does(t, 0, step.OpMapCreate, 1, number(step.KeyType, uint64(uapi.BPF_MAP_TYPE_ARRAY)))
	a.does(t, unix.EINVAL, step.OpElement, 0, m, do(step.DoDelete))
	a.does(t, 0, step.OpMapCreate, 1, number(step.KeyType, uint64(uapi.BPF_MAP_TYPE_PROG_ARRAY)))
	a.does(t, 0, step.OpElement, 0, m, do(step.DoUpdate))
	a.does(t, unix.EBADF, step.OpElement, 0, number(step.KeyHandle, 9), do(step.DoUpdate))

	a.handles[2] = a.dirCopy(t)
	in := number(step.KeyIn, 2)
	a.does(t, 0, step.OpPin, 0, in, m, text(step.KeyPath, "map"))
	a.does(t, unix.EEXIST, step.OpPin, 0, in, m, text(step.KeyPath, "map"))
	a.does(t, unix.EINVAL, step.OpPin, 0, in, m, text(step.KeyPath, "a\x00b"))
	if o := a.does(t, 0, step.OpObjGet, 3, in, text(step.KeyPath, "map")); o.Proof != step.Works {
		t.Errorf("obj_get: proof %d", o.Proof)
	}
	a.does(t, unix.ENOENT, step.OpObjGet, 0, in, text(step.KeyPath, "none"))
	a.does(t, unix.EINVAL, step.OpObjGet, 0, in, text(step.KeyPath, "a\x00b"))

	if a.fix.commands[fixRingProg] != noFD {
		for range 2 {
			a.does(t, 0, step.OpConsume, 0, number(step.KeyBuffer, uint64(step.BufferRing)))
		}
	}
	if a.fix.commands[fixPerfProg] != noFD {
		a.does(t, 0, step.OpConsume, 0, number(step.KeyBuffer, uint64(step.BufferPerf)))
	}
}

// dirCopy is a descriptor of the fixtures' bpffs.
func (a *actor) dirCopy(t *testing.T) int {
	t.Helper()
	fd, err := unix.FcntlInt(uintptr(a.fix.commands[fixDir]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// An observation is proved only where the call succeeded, and by what the object does.
func TestProved(t *testing.T) {
	for _, tt := range []struct {
		errno uapi.Errno
		works bool
		want  step.Proof
	}{{0, true, step.Works}, {0, false, step.DoesNotWork}, {1, true, step.NoProof}} {
		if o := proved(tt.errno, func() bool { return tt.works }); o.Errno != tt.errno || o.Proof != tt.want {
			t.Errorf("%+v: %+v", tt, o)
		}
	}
}

// A call that the kernel makes for a program answers as it would to the process.
func TestFromKernel(t *testing.T) {
	needTokens(t)
	a := rootActor(t, newTestAgent(t))
	if a.fix.commands[fixLoader] == noFD {
		t.Skip("the kernel refuses the loader's program")
	}
	hash := number(step.KeyType, uint64(uapi.BPF_MAP_TYPE_HASH))
	a.does(t, 0, step.OpMapCreate, 1, hash, number(step.KeyFromKernel, 1))
	a.does(t, unix.EINVAL, step.OpMapCreate, 0, hash, number(step.KeyFromKernel, 1), number(step.KeyKeySize, 0))
}

// A call inside a user namespace is made by a process that enters it and keeps only some capabilities.
func TestInside(t *testing.T) {
	needTokens(t)
	a := rootActor(t, newTestAgent(t))
	hash := number(step.KeyType, uint64(uapi.BPF_MAP_TYPE_HASH))
	a.does(t, 0, step.OpUserns, 1)
	a.does(t, unix.EINVAL, step.OpMapCreate, 0, hash, number(step.KeyInside, 1)) // it is there already
	a.does(t, unix.EBADF, step.OpMapCreate, 0, hash, number(step.KeyInside, 9))
}

// The limits of a call end with it.
func TestLimited(t *testing.T) {
	soft := func(which int) uint64 {
		var r unix.Rlimit
		if err := unix.Getrlimit(which, &r); err != nil {
			t.Fatal(err)
		}
		return r.Cur
	}
	files, locked := soft(unix.RLIMIT_NOFILE), soft(unix.RLIMIT_MEMLOCK)
	again := limited(stepOf(number(step.KeyNoFD, 1), number(step.KeyMemlock, 0)))
	if n, m := soft(unix.RLIMIT_NOFILE), soft(unix.RLIMIT_MEMLOCK); n != 0 || m != 0 {
		t.Errorf("the limits are %d and %d, want 0", n, m)
	}
	again()
	if n, m := soft(unix.RLIMIT_NOFILE), soft(unix.RLIMIT_MEMLOCK); n != files || m != locked {
		t.Errorf("the limits are %d and %d, want %d and %d", n, m, files, locked)
	}
	limited(stepOf())()
	if n := soft(unix.RLIMIT_NOFILE); n != files {
		t.Errorf("no limit is one: %d", n)
	}
}

// A cgroup has given its memory back when the file says so.
func TestGivenBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "memory.current")
	if givenBack(file, 1) {
		t.Error("a cgroup that is not there has given back")
	}
	if err := os.WriteFile(file, []byte("4096\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !givenBack(file, 4096) {
		t.Error("4096 bytes are more than 4096")
	}
	if got := oomScore(12); got != "/proc/12/oom_score_adj" {
		t.Error(got)
	}
	if err := (&player{}).unbound(); err != nil {
		t.Errorf("an actor without a cgroup: %v", err)
	}
}

// A step that is timed shows how long its call takes, and keeps nothing.
func TestTimed(t *testing.T) {
	needTokens(t)
	a := rootActor(t, newTestAgent(t))
	short := number(step.KeyTime, 1)
	for name, args := range map[step.Op][]step.Arg{
		step.OpMapCreate: {short, number(step.KeyType, uint64(uapi.BPF_MAP_TYPE_HASH))},
		step.OpCall:      {short, number(step.KeyCmd, uint64(uapi.BPF_MAP_GET_NEXT_ID))},
	} {
		o := a.step(&step.Step{Op: name, Args: args, Caps: uapi.AllCaps})
		if o.Errno != 0 || len(o.Values) != 1 {
			t.Errorf("%s: %s, %v", name, o.Errno, o.Values)
		}
	}
	if len(a.handles) != 0 {
		t.Errorf("kept are %v", a.handles)
	}
	refused := a.step(&step.Step{Op: step.OpMapCreate, Args: []step.Arg{short, number(step.KeyType, 99)}})
	if refused.Errno != uapi.Errno(unix.EINVAL) {
		t.Errorf("a call that is refused: %s", refused.Errno)
	}
}

// cost makes something at least so often, and stops at an error.
func TestCost(t *testing.T) {
	n := 0
	if ns, err := cost(func() error { n++; return nil }); err != nil || n < leastRun || ns < 0 {
		t.Errorf("%d times, %d ns, %v", n, ns, err)
	}
	stop := errors.New("stop")
	n = 0
	if _, err := cost(func() error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("%d times, %v", n, err)
	}
}

// A race ends when the raced call is refused, and shows every errno that came.
func TestUntil(t *testing.T) {
	r := newRacer()
	defer r.stop()
	open := make(chan bool, 1)
	open <- true
	r.jobs <- func() { <-open }
	seen := map[uapi.Errno]bool{}
	until(r, func() uapi.Errno {
		if len(open) > 0 {
			return 0
		}
		return uapi.Errno(unix.EBADF)
	}, seen)
	if got := errnos(seen); !slices.Contains(got, uint64(unix.EBADF)) || len(got) > 2 {
		t.Errorf("seen are %v", got)
	}
	a := testActor(nil)
	if _, o := a.race(stepOf(number(step.KeyRace, 99), number(step.KeyTimes, 1))); o.Errno != uapi.Errno(unix.ENOSYS) {
		t.Errorf("an unknown race: %s", o.Errno)
	}
	closed := stepOf(number(step.KeyRace, uint64(step.RaceUseClose)), number(step.KeyTimes, 1), number(step.KeyToken, 1))
	if _, o := a.race(closed); o.Errno != uapi.Errno(unix.EBADF) {
		t.Errorf("a race for a closed token: %s", o.Errno)
	}
}

// A program's symbol is looked for among all that the kernel has.
func TestFindProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kallsyms")
	lines := "ffffffff81000000 T bpf_prog_load\nffffffffc0201234 t bpf_prog_6deef7357e7b4530_main\t[bpf]\n"
	if err := os.WriteFile(file, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]unix.Errno{"main": 0, "load": unix.ENOENT, "": unix.ENOENT} {
		if o, err := findProgram(file, name); err != nil || o.Errno != uapi.Errno(want) {
			t.Errorf("%q: %s, %v", name, o.Errno, err)
		}
	}
	if _, err := findProgram(file+"x", "main"); err == nil || !strings.HasPrefix(err.Error(), "look for a symbol: ") {
		t.Errorf("no file: %v", err)
	}
}

// An actor answers a request that it does not support with an error.
func TestActRefuses(t *testing.T) {
	a := testActor(nil)
	for name, tt := range map[string]struct {
		act  act
		want string
	}{
		"an unknown verb":           {act{99, nil}, "unknown verb 99"},
		"steps that are cut off":    {act{verbRun, []byte{0xff}}, "corrupt record"},
		"cells that are cut off":    {act{verbCells, []byte{0xff}}, "corrupt record"},
		"types that are no JSON":    {act{verbTypes, []byte("{")}, "unexpected end"},
		"a mount without a context": {act{verbMount, []byte{1, 0}}, "fsmount bpf: "},
	} {
		if err := a.act(tt.act, noFD); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	// A descriptor to send that the case has not opened is what sendmsg(2) answers, not a fault.
	if err := a.act(act{verbGive, []byte{5}}, noFD); err != nil || !a.answer.notOpen || len(a.answer.fds) != 0 {
		t.Errorf("a descriptor that it lacks: %v, %+v", err, a.answer)
	}
	if err := a.perform(encodeScript(&script{acts: []act{{verbTake, []byte{1}}}}), nil); err == nil ||
		!strings.Contains(err.Error(), "a descriptor is missing") {
		t.Errorf("a descriptor that did not come: %v", err)
	}
	if err := a.perform([]byte{1}, nil); err == nil || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("a script that is cut off: %v", err)
	}
	for _, args := range [][]string{{actorArg0}, {actorArg0, "x"}, {actorArg0, "1", "2", "3"}} {
		if err := runActor(args); err == nil || !strings.HasPrefix(err.Error(), "start an actor: ") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// Acts of a script happen in order, with the descriptors that they take.
func TestPerform(t *testing.T) {
	a := testActor(nil)
	defer a.forget()
	types, err := json.Marshal(typeIDs{StructOpsIndex: 9})
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	for range 2 {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	var s script
	s.add(verbTypes, types...)
	s.take(1, fds[0])
	s.take(2, fds[1])
	s.add(verbPID)
	s.add(verbWhere, 2)
	s.add(verbWhere, 7)
	s.add(verbGive, 1)
	if err := a.perform(encodeScript(&s), s.fds); err != nil {
		t.Fatal(err)
	}
	pid := uint64(os.Getpid())
	want := []step.Observation{
		{Values: []uint64{pid}},
		{Values: []uint64{pid, uint64(fds[1])}},
		{Values: []uint64{pid, badFD}},
	}
	if fmt.Sprint(a.answer.seen) != fmt.Sprint(want) || !slices.Equal(a.answer.fds, fds[:1]) ||
		a.btf.StructOpsIndex != 9 {
		t.Errorf("answer %+v, want %+v", a.answer, want)
	}
}

// fakeActor answers the scripts of a broker with the replies of a test.
func fakeActor(t *testing.T, answer func(its link, acts []act)) *player {
	t.Helper()
	// The broker waits for an answer with a raw call, which does not let the collector stop
	// the world: it ends what it has begun, and begins nothing more.
	percent := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	runtime.GC()
	mine, its, err := newLink()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer unix.Close(its.fd)
		// Go's scheduler must know that this thread waits: the broker waits without it.
		poll := []unix.PollFd{{Fd: int32(its.fd), Events: unix.POLLIN}}
		for {
			if n, err := unix.Poll(poll, -1); err == unix.EINTR || n == 0 {
				continue
			}
			message, _, err := its.recv(make([]byte, maxMessage))
			if err != nil {
				return
			}
			acts, _ := decodeScript(message)
			answer(its, acts)
		}
	}()
	t.Cleanup(func() {
		unix.Close(mine.fd)
		<-ended
	})
	return &player{name: "fake", link: mine, given: map[step.Handle]int{}, socket: noFD}
}

// The broker takes no answer that does not fit what it asked.
func TestBrokerRefusesAnswers(t *testing.T) {
	results := func(o ...step.Observation) []byte {
		return append([]byte{answerOK}, wire.EncodeResults(&wire.Results{Cells: [][]step.Observation{o}})...)
	}
	for name, tt := range map[string]struct {
		answer []byte
		want   string
	}{
		"fewer steps":    {results(), "it answered fewer steps than the agent sent"},
		"its own words":  {append([]byte{answerError}, "no such thing"...), "actor fake: no such thing"},
		"damaged":        {[]byte{answerOK, 0xff}, "corrupt record"},
		"as it was told": {results(step.Observation{Errno: 3}), ""},
	} {
		p := fakeActor(t, func(its link, _ []act) { its.send(tt.answer, nil) })
		g := &agent{players: []*player{p}, buf: make([]byte, maxMessage)}
		seen, err := g.play([]step.Step{{Op: step.OpDup}})
		if tt.want == "" {
			if err != nil || seen[0].Errno != 3 {
				t.Errorf("%s: %v, %v", name, seen, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// An answer carries the descriptors that the script asks for, no more and no fewer.
func TestBrokerCountsDescriptors(t *testing.T) {
	for name, tt := range map[string]struct{ asked, sent int }{"none": {1, 0}, "one too many": {0, 1}, "as many": {1, 1}} {
		p := fakeActor(t, func(its link, _ []act) {
			fds := []int{1, 1}[:tt.sent]
			its.send(append([]byte{answerOK}, wire.EncodeResults(&wire.Results{})...), fds)
		})
		s := script{acts: []act{{verbGive, []byte{1}}}, gives: tt.asked}
		_, fds, err := p.link.call(&s, make([]byte, maxMessage))
		for _, fd := range fds {
			unix.Close(fd)
		}
		if want := fmt.Sprintf("the actor sent %d descriptors, want %d", tt.sent, tt.asked); tt.asked != tt.sent {
			if err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		} else if err != nil || len(fds) != tt.asked {
			t.Errorf("%s: %v, %v", name, fds, err)
		}
	}
}

// Steps of one actor go out together, and a step of another one comes after them.
func TestPlayInOrder(t *testing.T) {
	var order []string
	answer := func(name string) func(its link, acts []act) {
		return func(its link, acts []act) {
			var o []step.Observation
			for _, a := range acts {
				steps, err := wire.DecodeSteps(a.payload)
				if err != nil {
					t.Error(err)
				}
				order = append(order, fmt.Sprintf("%s %d", name, len(steps)))
				o = append(o, make([]step.Observation, len(steps))...)
			}
			its.send(
				append([]byte{answerOK}, wire.EncodeResults(&wire.Results{Cells: [][]step.Observation{o}})...),
				nil,
			)
		}
	}
	g := &agent{players: []*player{fakeActor(t, answer("a")), fakeActor(t, answer("b"))}, buf: make([]byte, maxMessage)}
	dup := func(actor uint32) step.Step { return step.Step{Op: step.OpDup, Actor: actor} }
	if _, err := g.play([]step.Step{dup(0), dup(0), dup(1), dup(0), dup(1), dup(1)}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ", "); got != "a 2, b 1, a 1, b 2" {
		t.Errorf("the order is %s", got)
	}
	if _, err := g.play([]step.Step{dup(2)}); err == nil || !strings.Contains(err.Error(), "there is no actor 2") {
		t.Errorf("an actor that is not there: %v", err)
	}
	g.players[0].absent = true
	if _, err := g.play([]step.Step{dup(0)}); !errors.Is(err, errNoActor) {
		t.Errorf("an actor that has ended: %v", err)
	}
}

// A process number is asked once, and must be one.
func TestPidOf(t *testing.T) {
	asked := 0
	answer := step.Observation{Values: []uint64{77}}
	p := fakeActor(t, func(its link, acts []act) {
		asked++
		its.send(
			append([]byte{answerOK}, wire.EncodeResults(&wire.Results{Cells: [][]step.Observation{{answer}}})...),
			nil,
		)
	})
	g := &agent{players: []*player{p}, buf: make([]byte, maxMessage)}
	for range 2 {
		if pid, err := g.pidOf(p); pid != 77 || err != nil {
			t.Errorf("%d, %v", pid, err)
		}
	}
	if asked != 1 {
		t.Errorf("it was asked %d times", asked)
	}
	p.number, answer = 0, step.Observation{}
	if _, err := g.pidOf(p); err == nil || !strings.Contains(err.Error(), "its process number is missing") {
		t.Errorf("no number: %v", err)
	}
}
