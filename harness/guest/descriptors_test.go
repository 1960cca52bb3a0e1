package guest

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// Where the kernel has no slabinfo, meminfo says how large its slab is.
func TestParseSlab(t *testing.T) {
	got, err := parseSlab([]byte("MemTotal:  245760 kB\nSlab:   18232 kB\nSReclaimable: 1 kB\n"))
	if err != nil || got[slabKilobytes] != 18232 {
		t.Errorf("got %v, %v, want 18232", got, err)
	}
	for _, bad := range []string{"", "MemTotal: 1 kB\n", "Slab: many kB\n"} {
		if got, err := parseSlab([]byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "read meminfo: ") {
			t.Errorf("%q: got %v, %v", bad, got, err)
		}
	}
}

func TestParseSlabs(t *testing.T) {
	const text = `slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize>
kmalloc-96           1200   1218     96   42    1 : tunables    0    0    0
user_namespace         12     26    616   26    4 : tunables    0    0    0
`
	got, err := parseSlabs([]byte(text))
	if err != nil || len(got) != 2 || got["kmalloc-96"] != 1200 || got["user_namespace"] != 12 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "slabinfo - version: 2.1\n", "kmalloc-96 many 3\n"} {
		if got, err := parseSlabs([]byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "read slabinfo: ") {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

func TestGrown(t *testing.T) {
	before := map[string]int64{"a": 10, "b": 10, "c": 10, "gone": 5}
	after := map[string]int64{"a": 10, "b": 3, "c": 17, "new": 100, "d": 1, "e": 2, "f": 3}
	n, text := grown(before, after)
	if n != 113 || text != "new +100, c +7, f +3, e +2" {
		t.Errorf("%d, %q", n, text)
	}
	if n, text := grown(before, before); n != 0 || text != "" {
		t.Errorf("nothing grew: %d, %q", n, text)
	}
}

// What a program that starts again is told, it takes over as far as it is open.
func TestInherit(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	arg := handlesArg(map[step.Handle]int{1: int(r.Fd()), 2: badFD})
	w.Close()
	a := testActor(nil)
	if err := a.inherit(arg + ",resumed"); err != nil {
		t.Fatal(err)
	}
	if len(a.handles) != 1 || a.handles[1] != int(r.Fd()) {
		t.Errorf("handles %v of %s", a.handles, arg)
	}
	for _, bad := range []string{"x:1", "1:x", "300:1"} {
		if err := a.inherit(bad); err == nil || !strings.HasPrefix(err.Error(), "inherit a descriptor: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A process of a list of calls passes results on, ends with the first refusal,
// and shares its descriptors.
func TestRawProcess(t *testing.T) {
	notUnderQEMU(t)
	p, err := newRawProcess()
	if err != nil {
		t.Fatal(err)
	}
	defer p.free()
	path := []byte("/dev/null\x00")
	atFDCWD := unix.AT_FDCWD
	fd := p.add(unix.SYS_OPENAT, atFDCWD, pointer(path), unix.O_RDWR|unix.O_CLOEXEC)
	high := p.add(unix.SYS_DUP3, fd, 400, unix.O_CLOEXEC)
	pid := p.add(unix.SYS_GETPID)
	bad := p.add(unix.SYS_CLOSE, badFD)
	never := p.add(unix.SYS_GETPID)
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	p.wait()
	n, errno := p.got(fd)
	if errno != 0 || n < 0 {
		t.Fatalf("openat: %d, %s", n, errno)
	}
	defer unix.Close(n)
	if h, errno := p.got(high); h != 400 || errno != 0 {
		t.Errorf("dup3: %d, %s", h, errno)
	}
	if _, err := unix.FcntlInt(400, unix.F_GETFD, 0); err != nil {
		t.Errorf("the child's descriptor is not the parent's: %v", err)
	}
	unix.Close(400)
	if id, errno := p.got(pid); errno != 0 || id == os.Getpid() || id <= 0 {
		t.Errorf("getpid: %d, %s", id, errno)
	}
	if _, errno := p.got(bad); errno != uapi.Errno(unix.EBADF) || p.failed() != errno {
		t.Errorf("close: %s, failed %s", errno, p.failed())
	}
	if _, errno := p.got(never); errno != uapi.Errno(unix.ESRCH) {
		t.Errorf("a call behind one that was refused: %s", errno)
	}
	p.wait() // again: it must not wait for anybody else
}

func TestMountData(t *testing.T) {
	s := &step.Step{
		Args: []step.Arg{
			{Key: step.KeyAt, Num: 1},
			{Key: step.KeyCmds, Str: "any"},
			{Key: step.KeyMode, Str: "0700"},
			{Key: step.KeyUnknown, Str: "x"},
		},
	}
	if got := (&typeIDs{}).mountData(s); got != "delegate_cmds=any,mode=0700,unknown=x" {
		t.Errorf("data %q", got)
	}
	if got := place(s, step.KeyAt); got != "/mnt/a" {
		t.Errorf("place %q", got)
	}
	if got := place(&step.Step{Args: []step.Arg{{Key: step.KeyAt, Num: 99}}}, step.KeyAt); got != "" {
		t.Errorf("a place that is none: %q", got)
	}
}

func TestErrnos(t *testing.T) {
	if got := errnos(map[uapi.Errno]bool{9: true, 0: true, 1: true}); !slices.Equal(got, []uint64{0, 1, 9}) {
		t.Errorf("%v", got)
	}
}

// A call of an actor that does nothing privileged can be made anywhere.
func TestOpenAndDup(t *testing.T) {
	notUnderQEMU(t)
	dir, err := unix.Open(t.TempDir(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := testActor(map[step.Handle]int{1: dir})
	defer a.forget()
	run := func(op step.Op, out step.Handle, args ...step.Arg) step.Observation {
		return a.step(&step.Step{Op: op, Out: out, Args: args})
	}
	one := step.Arg{Key: step.KeyHandle, Num: 1}
	in := step.Arg{Key: step.KeyIn, Num: 1}
	if o := run(step.OpMkdir, 0, in, step.Arg{Key: step.KeyPath, Str: "d"}); o.Errno != 0 {
		t.Errorf("mkdir: %s", o.Errno)
	}
	if o := run(step.OpMkdir, 0, in, step.Arg{Key: step.KeyPath, Str: "d"}); o.Errno != uapi.Errno(unix.EEXIST) {
		t.Errorf("mkdir again: %s", o.Errno)
	}
	if o := run(step.OpOpen, 2, one, step.Arg{Key: step.KeyPath, Str: "d"}); o.Errno != 0 || a.handles[2] == 0 {
		t.Errorf("open: %s, %v", o.Errno, a.handles)
	}
	if o := run(step.OpChmod, 0, one, step.Arg{Key: step.KeyMode, Str: "0700"}); o.Errno != 0 {
		t.Errorf("chmod: %s", o.Errno)
	}
	if o := run(step.OpStat, 0, one); !strings.HasPrefix(o.Text, "mode=700 uid=") {
		t.Errorf("stat: %q", o.Text)
	}
	if o := run(step.OpDup, 3, one); o.Errno != 0 || a.handles[3] == a.handles[1] {
		t.Errorf("dup: %s, %v", o.Errno, a.handles)
	}
	if o := run(step.OpCloexec, 0, one, step.Arg{Key: step.KeyOn01}); o.Errno != 0 {
		t.Errorf("cloexec: %s", o.Errno)
	}
	if flags, _ := unix.FcntlInt(uintptr(dir), unix.F_GETFD, 0); flags != 0 {
		t.Errorf("the flag is still set")
	}
	if o := run(step.OpSetns, 0, step.Arg{Key: step.KeyInside, Num: 1}); o.Errno != uapi.Errno(unix.EINVAL) {
		t.Errorf("setns to a directory: %s", o.Errno)
	}
	if o := run(step.OpUserns, 4); o.Errno != 0 {
		t.Errorf("userns: %s", o.Errno)
	}
	if o := run(step.OpSetns, 0, step.Arg{Key: step.KeyInside, Num: 4}); o.Errno != uapi.Errno(unix.EINVAL) {
		t.Errorf("setns to its own: %s", o.Errno)
	}
	o := run(step.OpFsconfig, 0, step.Arg{Key: step.KeyContext, Num: 1}, step.Arg{Key: step.KeyCmds, Str: "0"})
	if o.Errno != uapi.Errno(unix.EINVAL) {
		t.Errorf("fsconfig of a directory: %s", o.Errno)
	}
}
