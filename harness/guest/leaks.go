package guest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
	"tokentest/harness/wire"
)

// churn has an actor make and close tokens, and counts the kernel's slab
// objects before and after.
func (g *agent) churn(p *player, s *step.Step) (step.Observation, error) {
	warm := *s
	warm.Args = slices.Clone(s.Args)
	for i := range warm.Args {
		if warm.Args[i].Key == step.KeyTimes {
			warm.Args[i].Num = warm.Args[i].Num/warmPart + 1
		}
	}
	if o, err := g.playOne(p, &warm); err != nil || o.Errno != 0 {
		return o, err
	}
	before, err := settledSlabs()
	if err != nil {
		return step.Observation{}, err
	}
	o, err := g.inSlices(p, s)
	if err != nil || o.Errno != 0 {
		return o, err
	}
	after, err := settledSlabs()
	if err != nil {
		return step.Observation{}, err
	}
	n, text := grown(before, after)
	return step.Observation{Values: []uint64{n}, Text: text}, nil
}

// sliceTimes is how many calls of a long step are made between two alive records: on a
// busy machine the whole step would look like a hang.
const sliceTimes = 4000

// inSlices has an actor do a step a part at a time.
func (g *agent) inSlices(p *player, s *step.Step) (o step.Observation, err error) {
	times, _ := s.Num(step.KeyTimes)
	for left := times; left > 0 && err == nil && o.Errno == 0; left -= min(left, sliceTimes) {
		part := *s
		part.Args = slices.Clone(s.Args)
		for i := range part.Args {
			if part.Args[i].Key == step.KeyTimes {
				part.Args[i].Num = min(left, sliceTimes)
			}
		}
		if o, err = g.playOne(p, &part); err == nil {
			err = g.tell(wire.KindAlive, nil)
		}
	}
	return o, err
}

// One of warmPart calls is made before the first count, to fill caches.
const warmPart = 20

// settledSlabs counts the active objects of each slab cache, after the kernel has freed
// the objects that wait for it.
func settledSlabs() (map[string]int64, error) {
	for range 3 {
		unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0)
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2\n"), 0); err != nil {
			return nil, fmt.Errorf("drop the kernel's caches: %w", err)
		}
		shrinkSlabs()
		time.Sleep(settle)
	}
	text, err := os.ReadFile("/proc/slabinfo")
	if err == nil {
		return parseSlabs(text)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("count slab objects: %w", err)
	}
	text, err = os.ReadFile("/proc/meminfo") // without CONFIG_SLUB_DEBUG
	if err != nil {
		return nil, fmt.Errorf("measure the slab: %w", err)
	}
	return parseSlab(text)
}

// shrinkSlabs makes each cache free its unused objects. KASAN keeps many freed objects to
// detect a later use. A kernel without the file shrink keeps none.
func shrinkSlabs() {
	knobs, _ := filepath.Glob("/sys/kernel/slab/*/shrink") // the pattern is well formed
	for _, knob := range knobs {
		os.WriteFile(knob, []byte("1\n"), 0)
	}
}

// slabKilobytes is where parseSlab has how large all caches together are.
const slabKilobytes = "kilobytes of slab"

// parseSlab reads the size of all slab caches from /proc/meminfo, for kernels
// that do not count objects. What grows there by a kilobyte counts as one: a step
// allows one object in some thirty calls, and thirty of the smallest take as much.
func parseSlab(text []byte) (map[string]int64, error) {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 2 || f[0] != "Slab:" {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read meminfo: %q", strings.TrimSpace(string(line)))
		}
		return map[string]int64{slabKilobytes: n}, nil
	}
	return nil, fmt.Errorf("read meminfo: no line \"Slab:\"")
}

// membarrierGlobal is MEMBARRIER_CMD_GLOBAL: it waits for a grace period of RCU.
const membarrierGlobal = 1

const settle = 50 * time.Millisecond

// parseSlabs reads the second column of /proc/slabinfo, active_objs.
func parseSlabs(text []byte) (map[string]int64, error) {
	out := map[string]int64{}
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 3 || f[0] == "slabinfo" || f[0] == "#" {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read slabinfo: %q", strings.TrimSpace(string(line)))
		}
		out[f[0]] = n
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("read slabinfo: no cache is listed")
	}
	return out, nil
}

// grown returns how many objects were added in all caches, and names the caches that grew most.
func grown(before, after map[string]int64) (uint64, string) {
	type growth struct {
		cache string
		n     int64
	}
	var all []growth
	sum := int64(0)
	for cache, n := range after {
		if more := n - before[cache]; more > 0 {
			all = append(all, growth{cache, more})
			sum += more
		}
	}
	slices.SortFunc(
		all,
		func(a, b growth) int { return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.cache, b.cache)) },
	)
	const named = 4
	var words []string
	for _, c := range all[:min(named, len(all))] {
		words = append(words, fmt.Sprintf("%s +%d", c.cache, c.n))
	}
	return uint64(sum), strings.Join(words, ", ")
}

const maxNamespaces = "/proc/sys/user/max_user_namespaces"

// namespaces makes and leaves user namespaces, each with a bpffs, a token, and a map,
// a BTF and a program made with it. The kernel allows only a few at a time, so that
// leaked namespaces soon exceed the limit.
func (g *agent) namespaces(_ *player, s *step.Step) (step.Observation, error) {
	times, _ := s.Num(step.KeyTimes)
	most, _ := s.Num(step.KeySlack)
	old, err := os.ReadFile(maxNamespaces)
	if err != nil {
		return step.Observation{}, fmt.Errorf("read the limit of user namespaces: %w", err)
	}
	if err := os.WriteFile(maxNamespaces, fmt.Appendln(nil, most), 0); err != nil {
		return step.Observation{}, fmt.Errorf("limit user namespaces: %w", err)
	}
	defer os.WriteFile(maxNamespaces, old, 0)
	for n := range times {
		if n%aliveNamespaces == 0 {
			if err := g.tell(wire.KindAlive, nil); err != nil {
				return step.Observation{}, err
			}
		}
		errno, err := oneNamespace()
		for try := 0; errno == uapi.Errno(unix.ENOSPC) && err == nil && try < lastNamespace; try++ {
			time.Sleep(settle) // they are freed by a worker thread of the kernel
			errno, err = oneNamespace()
		}
		if err != nil || errno != 0 {
			return step.Observation{Errno: errno}, err
		}
	}
	return step.Observation{}, nil
}

// aliveNamespaces is the number of namespaces between two alive records.
const aliveNamespaces = 25

// lastNamespace is how often it waits until a namespace is freed.
const lastNamespace = 40

// container is a process that enters namespaces of its own and opens a bpffs.
type container struct {
	*rawProcess
	ready, proceed [2]int // pipes: it has opened the context; it may go on
	context        result
}

func newContainer() (*container, error) {
	p, err := newRawProcess()
	if err != nil {
		return nil, err
	}
	c := &container{rawProcess: p}
	if err := unix.Pipe2(c.ready[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	if err := unix.Pipe2(c.proceed[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	c.add(unix.SYS_UNSHARE, unix.CLONE_NEWUSER|unix.CLONE_NEWNS)
	c.context = c.add(unix.SYS_FSOPEN, pointer(bpfName), unix.FSOPEN_CLOEXEC)
	c.add(unix.SYS_WRITE, c.ready[1], pointer(bpfName), 1)
	return c, nil
}

// opened waits for the context, or for the errno of the call that failed before it.
func (c *container) opened() (int, uapi.Errno) {
	var b [1]byte
	poll := []unix.PollFd{{Fd: int32(c.ready[0]), Events: unix.POLLIN}}
	for {
		if n, _ := unix.Poll(poll, containerPoll); n > 0 {
			unix.Read(c.ready[0], b[:])
			return c.got(c.context)
		}
		if errno := c.early(); errno != 0 {
			return noFD, errno
		}
	}
}

// early is the errno of a call that failed before the context was there.
func (c *container) early() uapi.Errno {
	for i := range int(c.context) + 1 {
		if e := c.calls[i].errno; e != 0 {
			return uapi.Errno(e)
		}
	}
	return 0
}

const containerPoll = 20 // milliseconds

func (c *container) close() {
	c.wait()
	for _, fd := range []int{c.ready[0], c.ready[1], c.proceed[0], c.proceed[1]} {
		unix.Close(fd)
	}
	if fd, errno := c.got(c.context); errno == 0 {
		unix.Close(fd)
	}
	c.free()
}

var (
	bpfName = []byte("bpf\x00")
	dotName = []byte(".\x00")
)

// everything is the four masks with each bit set.
var everything = []step.Arg{
	{
		Key: step.KeyCmds,
		Str: "any",
	}, {Key: step.KeyMaps, Str: "any"}, {Key: step.KeyProgs, Str: "any"}, {Key: step.KeyAttachs, Str: "any"},
}

// Where the container has its bpffs and its token: numbers that a request can
// name before they are there.
const (
	containerBPFFS = highFD + 1 + iota
	containerToken
)

// live adds the calls that a container makes after it has a bpffs, and returns those
// that open a descriptor.
func (c *container) live() []result {
	token, array := &attr{}, &attr{}
	token.i32(uapi.Attr_token_create_bpffs_fd, containerBPFFS)
	shape := step.MapShapeOf(uapi.BPF_MAP_TYPE_HASH)
	array.u32(uapi.Attr_map_type, uint32(uapi.BPF_MAP_TYPE_HASH))
	array.u32(uapi.Attr_key_size, shape.Key)
	array.u32(uapi.Attr_value_size, shape.Value)
	array.u32(uapi.Attr_max_entries, shape.Max)
	array.u32(uapi.Attr_map_flags, shape.Flags|uapi.BPF_F_TOKEN_FD)
	array.i32(uapi.Attr_map_token_fd, containerToken)
	c.add(unix.SYS_READ, c.proceed[0], pointer(make([]byte, 1)), 1)
	mount := c.add(unix.SYS_FSMOUNT, c.context, unix.FSMOUNT_CLOEXEC, 0)
	root := c.add(unix.SYS_OPENAT, mount, pointer(dotName), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	high := c.add(unix.SYS_DUP3, root, containerBPFFS, unix.O_CLOEXEC)
	made := c.add(unix.SYS_BPF, int(uapi.BPF_TOKEN_CREATE), pointer(token[:]), attrSize)
	highToken := c.add(unix.SYS_DUP3, made, containerToken, unix.O_CLOEXEC)
	hash := c.add(unix.SYS_BPF, int(uapi.BPF_MAP_CREATE), pointer(array[:]), attrSize)
	types := c.add(unix.SYS_BPF, int(uapi.BPF_BTF_LOAD), pointer(containerBTF()[:]), attrSize)
	filter := c.add(unix.SYS_BPF, int(uapi.BPF_PROG_LOAD), pointer(containerProg()[:]), attrSize)
	c.refusals(array)
	return []result{mount, root, high, made, highToken, hash, types, filter}
}

// The BTF and the program that a container loads, made on first use. The kernel reads
// them through addresses that keep nothing alive; these functions keep them alive.
var (
	containerBlob  = sync.OnceValue(bodies.IntBTF().Bytes)
	containerInsns = sync.OnceValue(func() []byte { return bodies.Exit(0) })
	containerExit  = sync.OnceValue(func() []byte { return bodies.Marshal(asm.Instructions{asm.Return()}) })
)

// refusals adds requests that fail after the kernel took a reference to the token: by the name, by the instructions'
// address, and by the verifier.
func (c *container) refusals(array *attr) {
	ask := func(cmd uapi.Cmd, a *attr, want uapi.Errno) {
		c.calls[c.add(unix.SYS_BPF, int(cmd), pointer(a[:]), attrSize)].wanted = uintptr(want)
	}
	badName := func(a attr, name uapi.Field) *attr {
		copy(a[name.Off:], "a-b")
		return &a
	}
	ask(uapi.BPF_MAP_CREATE, badName(*array, uapi.Attr_map_name), uapi.Errno(unix.EINVAL))
	ask(uapi.BPF_PROG_LOAD, badName(*containerProg(), uapi.Attr_prog_name), uapi.Errno(unix.EINVAL))
	unreadable, refused := containerProg(), containerProg()
	unreadable.set(uapi.Attr_insns, 1)
	ask(uapi.BPF_PROG_LOAD, unreadable, uapi.Errno(unix.EFAULT))
	insns := containerExit()
	refused.ptr(uapi.Attr_insns, &insns[0])
	refused.u32(uapi.Attr_insn_cnt, 1)
	ask(uapi.BPF_PROG_LOAD, refused, uapi.Errno(unix.EACCES)) // nothing is in R0
}

// failed is the errno of the first call that did not end as it must; EIO for one that the kernel did not refuse.
func (c *container) failed() uapi.Errno {
	for i := range c.n {
		_, errno := c.got(result(i))
		switch {
		case errno == uapi.Errno(c.calls[i].wanted):
		case errno == 0:
			return uapi.Errno(unix.EIO)
		default:
			return errno
		}
	}
	return 0
}

func containerBTF() *attr {
	blob := containerBlob()
	a := &attr{}
	a.ptr(uapi.Attr_btf, &blob[0])
	a.u32(uapi.Attr_btf_size, uint32(len(blob)))
	a.u32(uapi.Attr_btf_flags, uapi.BPF_F_TOKEN_FD)
	a.i32(uapi.Attr_btf_token_fd, containerToken)
	return a
}

func containerProg() *attr {
	insns := containerInsns()
	a := &attr{}
	a.u32(uapi.Attr_prog_type, uint32(uapi.BPF_PROG_TYPE_SOCKET_FILTER))
	a.u32(uapi.Attr_insn_cnt, uint32(len(insns)/insnLen))
	a.ptr(uapi.Attr_insns, &insns[0])
	a.ptr(uapi.Attr_license, &license[0])
	a.u32(uapi.Attr_prog_flags, uapi.BPF_F_TOKEN_FD)
	a.i32(uapi.Attr_prog_token_fd, containerToken)
	return a
}

// oneNamespace makes a namespace with a bpffs, a token and what it allows to
// make in it, and leaves it. What it opens is closed here, for the descriptors are shared.
func oneNamespace() (uapi.Errno, error) {
	c, err := newContainer()
	if err != nil {
		return 0, err
	}
	defer c.close()
	made := c.live()
	if err := c.start(); err != nil {
		return 0, err
	}
	context, errno := c.opened()
	if errno == 0 {
		errno = configure(context, everything)
	}
	unix.Write(c.proceed[1], bpfName[:1])
	c.wait()
	if errno == 0 {
		errno = c.failed()
	}
	for _, r := range made {
		if fd, e := c.got(r); e == 0 {
			unix.Close(fd)
		}
	}
	return errno, nil
}

// delegateExit delegates to a namespace whose only process is on its way out.
func (g *agent) delegateExit(s *step.Step) (step.Observation, error) {
	times, _ := s.Num(step.KeyTimes)
	seen := map[uapi.Errno]bool{}
	for range times {
		c, err := newContainer()
		if err != nil {
			return step.Observation{}, err
		}
		if err := c.start(); err != nil {
			return step.Observation{}, err
		}
		context, errno := c.opened()
		if errno == 0 {
			errno = configure(context, everything)
		}
		seen[errno] = true
		c.close()
	}
	return step.Observation{Values: errnos(seen)}, nil
}
