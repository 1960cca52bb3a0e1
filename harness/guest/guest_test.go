package guest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
	"tokentest/harness/wire"
)

// The walk in place must find what a library that loads every type finds. It
// reads the BTF of the machine that runs the test, where there is one.
func TestBTFAgreesWithLibrary(t *testing.T) {
	notUnderQEMU(t)
	raw, err := os.ReadFile(vmlinuxBTF)
	if err != nil {
		t.Skipf("this kernel shows no BTF: %v", err)
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseBTF(raw, wantedNames())
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, n := range wantedNames() {
		found += compareType(t, spec, got, n)
	}
	if found < 4 { // the four enumerations at least
		t.Errorf("the library finds %d of the wanted names", found)
	}
	var s *btf.Struct
	if err := spec.TypeByName(step.StructOps, &s); err == nil {
		for i, m := range s.Members {
			if index, ok := got.member(step.StructOps, m.Name); !ok || m.Name != "" && int(index) != i {
				t.Errorf("member %s: index %d (%v), want %d", m.Name, index, ok, i)
			}
		}
	}
}

func compareType(t *testing.T, spec *btf.Spec, got *kernelBTF, n btfName) int {
	t.Helper()
	var want btf.Type
	var err error
	switch n.kind {
	case "enum":
		var e *btf.Enum
		if err = spec.TypeByName(n.name, &e); err == nil {
			compareEnd(t, e, step.End(got.members(n.name)))
		}
		want = e
	case step.KindStruct:
		var s *btf.Struct
		err = spec.TypeByName(n.name, &s)
		want = s
	case step.KindTypedef:
		var d *btf.Typedef
		err = spec.TypeByName(n.name, &d)
		want = d
	case step.KindFunc:
		var f *btf.Func
		err = spec.TypeByName(n.name, &f)
		want = f
	}
	id := got.types[n].id
	if err != nil {
		if id != 0 && errors.Is(err, btf.ErrNotFound) {
			t.Errorf("%v: found id %d, the library finds none", n, id)
		}
		return 0
	}
	if wantID, err := spec.TypeID(want); err != nil || uint32(wantID) != id {
		t.Errorf("%v: id %d, want %d (%v)", n, id, wantID, err)
	}
	return 1
}

func compareEnd(t *testing.T, e *btf.Enum, got uint32) {
	t.Helper()
	for _, v := range e.Values {
		if len(v.Name) > 9 && v.Name[:9] == "__MAX_BPF" && uint64(got) != v.Value {
			t.Errorf("%s: end %d, want %d", e.Name, got, v.Value)
		}
	}
}

// The blobs that requests refer to must be what the library reads them as.
func TestBlobs(t *testing.T) {
	for name, blob := range map[string][]byte{"int": bodies.IntBTF().Bytes(), "func": bodies.FuncBTF().Bytes()} {
		spec, err := btf.LoadSpecFromReader(bytes.NewReader(blob))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		first, err := spec.TypeByID(1)
		if i, ok := first.(*btf.Int); err != nil || !ok || i.Size != 4 || i.Encoding != btf.Signed {
			t.Errorf("%s: type 1 is %v (%v), want int", name, first, err)
		}
	}
	spec, _ := btf.LoadSpecFromReader(bytes.NewReader(bodies.FuncBTF().Bytes()))
	f, err := spec.TypeByID(step.FuncType)
	if fn, ok := f.(*btf.Func); err != nil || !ok || fn.Linkage != btf.GlobalFunc || fn.Name != "prog" {
		t.Errorf("type %d is %v (%v), want the global function prog", step.FuncType, f, err)
	}
}

// Damaged BTF is refused and never read beyond its end.
func TestBTFCutOff(t *testing.T) {
	blob := bodies.FuncBTF().Bytes()
	for n := range len(blob) {
		if _, err := parseBTF(blob[:n], wantedNames()); err == nil {
			t.Errorf("BTF of %d of %d bytes is taken", n, len(blob))
		}
	}
}

func FuzzBTF(f *testing.F) {
	f.Add(bodies.FuncBTF().Bytes())
	f.Add(bodies.IntBTF().Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		if b, err := parseBTF(raw, wantedNames()); err == nil {
			b.ids()
			b.members(uapi.Cmds.Tag)
		}
	})
}

func TestFdinfoMask(t *testing.T) {
	text := "pos:\t0\nflags:\t02000002\nallowed_cmds:\t0x21\nallowed_maps:\tany\n" +
		"allowed_progs:\t0x0\nallowed_attachs:\t0x8000000000000000\n"
	for name, want := range map[string]uint64{"allowed_cmds": 0x21, "allowed_maps": ^uint64(0), "allowed_progs": 0,
		"allowed_attachs": 1 << 63} {
		if got, ok := fdinfoMask(text, name); !ok || got != want {
			t.Errorf("%s: %#x (%v), want %#x", name, got, ok, want)
		}
	}
	for _, bad := range []string{"", "allowed_cmds: 0x1\n", "allowed_cmds:\tall\n", "allowed_cmds:\t\n"} {
		if v, ok := fdinfoMask(bad, "allowed_cmds"); ok {
			t.Errorf("%q is read as %#x", bad, v)
		}
	}
}

// A script arrives as it was sent, with its descriptors, and the answer too.
func TestLink(t *testing.T) {
	// A raw call does not let the collector stop the world, as in an actor: it
	// ends what it has begun, and begins nothing more.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	mine, its, err := newLink()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(mine.fd)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := wire.EncodeResults(
		&wire.Results{Cells: [][]step.Observation{{{Errno: 1}, {Proof: step.Works, Values: []uint64{7}}}}},
	)
	go func() {
		defer unix.Close(its.fd)
		message, fds, err := its.recv(make([]byte, maxMessage))
		acts, _ := decodeScript(message)
		if err != nil || len(acts) != 2 || acts[0].verb != verbTake || acts[0].payload[0] != 3 ||
			acts[1].verb != verbGive ||
			len(fds) != 1 {
			its.send([]byte{answerError, '?'}, nil)
			return
		}
		its.send(append([]byte{answerOK}, want...), fds)
		unix.Close(fds[0])
	}()
	var s script
	s.take(3, int(w.Fd()))
	s.add(verbGive, 3)
	s.gives = 1
	got, fds, err := mine.call(&s, make([]byte, maxMessage))
	if err != nil || !bytes.Equal(got, want) || len(fds) != 1 {
		t.Fatalf("got %v, %v, %v", got, fds, err)
	}
	w.Close()
	unix.Write(fds[0], []byte("x"))
	unix.Close(fds[0])
	if b, err := io.ReadAll(r); err != nil || string(b) != "x" {
		t.Errorf("the descriptor that came back leads elsewhere: %q, %v", b, err)
	}
	if _, _, err := mine.call(&s, make([]byte, maxMessage)); err == nil {
		t.Error("a call to a process that has gone succeeds")
	}
}

func TestScriptCutOff(t *testing.T) {
	var s script
	s.add(verbRun, 1, 2, 3)
	b := encodeScript(&s)
	for n := 1; n < len(b); n++ {
		if _, err := decodeScript(b[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken", n, len(b))
		}
	}
}

// What concerns only a world that is over is not sent into the next; what the
// kernel's BTF says still is.
func TestScriptDrop(t *testing.T) {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var s script
	s.add(verbTypes, '{', '}')
	s.take(1, fd)
	s.add(verbMount, 2)
	s.drop()
	if len(s.acts) != 1 || s.acts[0].verb != verbTypes || len(s.fds) != 0 {
		t.Errorf("left are %v", s)
	}
	if err := unix.Close(fd); err != unix.EBADF {
		t.Errorf("the descriptor is still open (%v)", err)
	}
}

// A thread becomes what it is told and reads it back; capabilities that it
// does not have are refused, not forgotten.
func TestBecome(t *testing.T) {
	uid := uint32(os.Geteuid())
	w, err := newWorker(identity{self: self{uid: uid}}, false)
	if err != nil {
		t.Fatal(err)
	}
	var inside capState
	w.do(func() { inside, err = capget() })
	if err != nil || inside != (capState{}) {
		t.Errorf("a worker without capabilities has %+v (%v)", inside, err)
	}
	w.do(func() { err = become(self{uid: uid}, 1<<uapi.CAP_BPF) })
	if err == nil {
		t.Error("a thread without capabilities takes CAP_BPF")
	}
	full, err := capget()
	if err != nil {
		t.Fatal(err)
	}
	if full.permitted == 0 {
		return
	}
	again, err := newWorker(identity{self: self{uid: uid}, caps: uapi.AllCaps}, false)
	if err != nil {
		t.Fatal(err)
	}
	again.do(func() { inside, err = capget() })
	if err != nil || inside.effective != full.permitted {
		t.Errorf("a worker with all has %#x, want %#x (%v)", inside.effective, full.permitted, err)
	}
}

// What can be mapped is mapped, and what cannot is read.
func TestReadBTF(t *testing.T) {
	name := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(name, []byte("BTF"), 0o600); err != nil {
		t.Fatal(err)
	}
	if raw, err := readBTF(name); err != nil || string(raw) != "BTF" {
		t.Errorf("a file: %q, %v", raw, err)
	}
	if raw, err := readBTF("/proc/self/cmdline"); err != nil || len(raw) == 0 {
		t.Errorf("a file that has no size: %q, %v", raw, err)
	}
	if _, err := readBTF(name + "s"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// The masks of a token are read before its number means something else.
func TestLosesToken(t *testing.T) {
	made := []step.Step{{Op: step.OpMapCreate, Out: 1}, {Op: step.OpTokenCreate, Out: 2}, {Op: step.OpTokenCreate}}
	closing := func(h uint64) step.Step {
		return step.Step{Op: step.OpClose, Args: []step.Arg{{Key: step.KeyHandle, Num: h}}}
	}
	for i, tt := range []struct {
		step step.Step
		want bool
	}{
		{closing(2), true},
		{closing(1), false},
		{closing(3), false},
		{step.Step{Op: step.OpMapCreate, Out: 2}, true},
		{step.Step{Op: step.OpTokenCreate}, false},
	} {
		if got := losesToken(made, &tt.step); got != tt.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}

// Every wanted name is found at its place, also at the end of the table, and no other name is.
func TestNameSet(t *testing.T) {
	var names []string
	for _, n := range wantedNames() {
		names = append(names, n.name)
	}
	set := newNameSet(names)
	for _, name := range names {
		if len(name) < beginLen {
			t.Errorf("%s is shorter than what is compared first", name)
		}
		for _, end := range []string{"\x00", "\x00more\x00", ""} {
			if got := set.at([]byte("\x00"+name+end), 1); got != name {
				t.Errorf("%s before %q: found %q", name, end, got)
			}
		}
		for _, other := range []string{name + "x", name[:len(name)-1], "x" + name} {
			if got := set.at([]byte("\x00"+other+"\x00"), 1); got != "" && got != other {
				t.Errorf("%s is taken for %s", other, got)
			}
		}
	}
	for _, off := range []uint32{0, 5, 6, 1 << 31} {
		if got := set.at([]byte("\x00abcde"), off); got != "" {
			t.Errorf("found %q at %d", got, off)
		}
	}
}
