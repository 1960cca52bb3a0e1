package guest

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// What requests about targets name. The file is one that no process runs, so that a probe in it stops nobody.
var (
	probedSymbol = []byte("bpf_fentry_test2\x00") // nothing calls it but a test run
	probedFile   = []byte("/.probed\x00")
)

const (
	attachDir    = "attach" // the cgroup that programs are attached to
	probedOffset = 64
	skbMode      = 1 << 1 // XDP_FLAGS_SKB_MODE
	ipv4         = 2      // NFPROTO_IPV4
	nfPriority   = 100
	maxAttached  = 64 // BPF_MPROG_MAX
)

// makeAttachFixtures makes what programs are attached to.
func (f *commandFixtures) makeAttachFixtures(m *maker, create func(string, uapi.MapType) int) {
	f[fixNetns] = m.make("network namespace", func() (int, uapi.Errno) {
		fd, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return fd, errnoOf(err)
	})
	f[fixAttachCgroup] = m.make("cgroup for programs", func() (int, uapi.Errno) {
		if err := unix.Mkdirat(f[fixCgroup], attachDir, 0o755); err != nil && err != unix.EEXIST {
			return noFD, errnoOf(err)
		}
		fd, err := unix.Openat(f[fixCgroup], attachDir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return fd, errnoOf(err)
	})
	f[fixSockMap] = create("sockmap", uapi.BPF_MAP_TYPE_SOCKMAP)
	f[fixEvent] = m.make("perf event", quietEvent)
	f[fixProbe] = m.make("kprobe", kprobe)
	f[fixTraceEvent] = m.make("perf event of a tracepoint", traceEvent)
	_ = os.WriteFile(unix.ByteSliceToString(probedFile), make([]byte, os.Getpagesize()), 0o444) // a link then says ENOENT
}

// quietEvent opens a perf event that is off.
func quietEvent() (int, uapi.Errno) {
	event := &unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Sample: 1 << 40,
		Bits: unix.PerfBitDisabled, Size: unix.PERF_ATTR_SIZE_VER8}
	fd, err := unix.PerfEventOpen(event, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	return fd, errnoOf(err)
}

// kprobe opens a perf event that is a probe of a function.
func kprobe() (int, uapi.Errno) {
	text, err := os.ReadFile("/sys/bus/event_source/devices/kprobe/type")
	if err != nil {
		return noFD, errnoOf(err)
	}
	kind, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return noFD, uapi.Errno(unix.EINVAL)
	}
	name := make([]byte, 8)
	point(name, uapi.Field{Size: 8}, unsafe.Pointer(&probedSymbol[0]))
	event := &unix.PerfEventAttr{Type: uint32(kind), Bits: unix.PerfBitDisabled, Size: unix.PERF_ATTR_SIZE_VER8,
		Ext1: binary.NativeEndian.Uint64(name)}
	fd, err := unix.PerfEventOpen(event, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	return fd, errnoOf(err)
}

// traceEvent opens a perf event of a tracepoint that nothing passes. The tracefs stays: where lockdown leaves it empty,
// 6.12 crashes in tracefs_destroy_inode when the last mount of it goes.
func traceEvent() (int, uapi.Errno) {
	root, errno := mountRoot("tracefs")
	if errno != 0 {
		return noFD, errno
	}
	id, err := unix.Openat(root, "events/bpf_trace/bpf_trace_printk/id", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return noFD, errnoOf(err)
	}
	defer closeFD(id)
	text := make([]byte, 16)
	n, err := unix.Read(id, text)
	if err != nil {
		return noFD, errnoOf(err)
	}
	number, err := strconv.ParseUint(strings.TrimSpace(string(text[:n])), 10, 32)
	if err != nil {
		return noFD, uapi.Errno(unix.EINVAL)
	}
	event := &unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: number, Bits: unix.PerfBitDisabled,
		Size: unix.PERF_ATTR_SIZE_VER8}
	fd, err := unix.PerfEventOpen(event, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	return fd, errnoOf(err)
}

// queryEvent asks how many programs are at a tracepoint: ids_len is 0.
func (a *actor) queryEvent(*step.Step) (int, step.Observation) {
	query := make([]byte, 2*wordSize) // struct perf_event_query_bpf without ids
	escapes = &query[0]
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(a.fix.commands[fixTraceEvent]), unix.PERF_EVENT_IOC_QUERY_BPF,
		uintptr(unsafe.Pointer(&query[0])))
	return noFD, step.Observation{Errno: uapi.Errno(errno)}
}

// spotOf is the target that a step names.
func spotOf(s *step.Step) *step.SpotShape {
	n, _ := s.Num(step.KeySpot)
	return step.Spot(n).Shape()
}

// target is the descriptor, or the index, of a request's target. BPF_PROG_ATTACH at a network namespace names none.
func (a *actor) target(s *step.SpotShape) int {
	f := &a.fix.commands
	switch s.At {
	case step.AtDevice:
		return loopback
	case step.AtNetns:
		return f[fixNetns]
	case step.AtCgroup:
		return f[fixAttachCgroup]
	case step.AtSockMap:
		return f[fixSockMap]
	case step.AtEvent:
		return f[fixEvent]
	case step.AtProbe:
		return f[fixProbe]
	}
	return 0
}

// createLink makes a link at a target.
func (a *actor) createLink(s *step.Step) (int, step.Observation) {
	spot, prog := spotOf(s), a.fd(s, step.KeyHandle)
	r := &request{scratch: make([]byte, 2*8)}
	cmd := uapi.BPF_LINK_CREATE
	r.link(prog, a.target(spot), spot.Attach)
	switch spot.At {
	case step.AtTracepoint:
		cmd, r.attr = uapi.BPF_RAW_TRACEPOINT_OPEN, attr{}
		r.tracepoint(prog)
	case step.AtHook:
		r.u32(uapi.Attr_link_create_netfilter_pf, ipv4)
		r.u32(uapi.Attr_link_create_netfilter_priority, nfPriority)
	case step.AtSymbol:
		r.ptr(uapi.Attr_link_create_kprobe_multi_syms, r.at(0))
		r.u32(uapi.Attr_link_create_kprobe_multi_cnt, 1)
		point(r.scratch, uapi.Field{Size: 8}, unsafe.Pointer(&probedSymbol[0]))
	case step.AtFunction:
		shape := step.ProgShapeOf(uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_FENTRY)
		r.ptr(uapi.Attr_link_create_tracing_multi_ids, r.at(0))
		r.u32(uapi.Attr_link_create_tracing_multi_cnt, 1)
		binary.NativeEndian.PutUint32(r.scratch, a.btf.id(shape.BTFKind, shape.BTFName))
	case step.AtFile:
		r.ptr(uapi.Attr_link_create_uprobe_multi_path, &probedFile[0])
		r.ptr(uapi.Attr_link_create_uprobe_multi_offsets, r.at(0))
		r.u32(uapi.Attr_link_create_uprobe_multi_cnt, 1)
		binary.NativeEndian.PutUint64(r.scratch, probedOffset)
	}
	flags, given := s.Num(step.KeyFlags)
	if !given && spot.Attach == uapi.BPF_XDP {
		flags = skbMode
	}
	if cmd == uapi.BPF_LINK_CREATE {
		r.u32(uapi.Attr_link_create_flags, uint32(flags))
	}
	fd, errno := r.call(cmd, s)
	runtime.KeepAlive(r)
	return fd, proved(errno, func() bool { return a.holds(fd, prog) })
}

// holds reports whether a link has a program.
func (a *actor) holds(link, prog int) bool {
	info := make([]byte, infoLen)
	var at attr
	at.i32(uapi.Attr_info_bpf_fd, link)
	at.u32(uapi.Attr_info_info_len, infoLen)
	at.ptr(uapi.Attr_info_info, &info[0])
	_, errno := bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &at)
	runtime.KeepAlive(info)
	return errno == 0 && uint32(get(info, uapi.LinkInfo_prog_id)) == a.id(uapi.BPF_PROG_GET_FD_BY_ID, prog)
}

// linkInfo reads what the kernel tells of a link. Only of a link of probes are there addresses to ask for.
func (a *actor) linkInfo(s *step.Step) (int, step.Observation) {
	link := a.fd(s, step.KeyHandle)
	info := make([]byte, infoLen)
	ask := func() uapi.Errno {
		var at attr
		at.i32(uapi.Attr_info_bpf_fd, link)
		at.u32(uapi.Attr_info_info_len, infoLen)
		at.ptr(uapi.Attr_info_info, &info[0])
		_, errno := bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &at)
		return errno
	}
	errno, addresses := ask(), "none"
	kind := uint32(get(info, uapi.LinkInfo_type))
	told := map[bool]string{true: "shown", false: "hidden"}
	switch {
	case errno != 0:
	case kind == step.SpotKprobeMulti.Shape().Type:
		errno, addresses = askAddresses(ask, info, uapi.LinkInfo_kprobe_multi_addrs, uapi.LinkInfo_kprobe_multi_count)
	case kind == step.SpotFentryMulti.Shape().Type:
		errno, addresses = askAddresses(ask, info, uapi.LinkInfo_tracing_multi_addrs, uapi.LinkInfo_tracing_multi_count)
	case kind == step.SpotKprobe.Shape().Type && get(info, uapi.LinkInfo_perf_event_type) == perfEventKprobe:
		addresses = told[get(info, uapi.LinkInfo_perf_event_kprobe_addr) != 0]
	}
	if errno != 0 {
		return noFD, step.Observation{Errno: errno}
	}
	return noFD, step.Observation{Proof: step.Works,
		Text: fmt.Sprintf("type %d, program %s, addresses %s", kind, told[get(info, uapi.LinkInfo_prog_id) != 0], addresses)}
}

const perfEventKprobe = 3 // BPF_PERF_EVENT_KPROBE

// askAddresses asks again, with room for one address.
func askAddresses(ask func() uapi.Errno, info []byte, addrs, count uapi.Field) (errno uapi.Errno, told string) {
	room := make([]uint64, 1)
	clear(info)
	point(info, addrs, unsafe.Pointer(&room[0]))
	set(info, count, 1)
	errno = ask()
	if room[0] != 0 {
		return errno, "shown"
	}
	return errno, "hidden"
}

// fillStep fills in a request of BPF_PROG_ATTACH or BPF_PROG_DETACH.
func (a *actor) fillStep(s *step.Step, prog int) *attr {
	spot, r := spotOf(s), &attr{}
	to := a.target(spot)
	if spot.At == step.AtNetns {
		to = 0
	}
	flags, _ := s.Num(step.KeyFlags)
	r.attach(to, prog, spot.Attach, uint32(flags))
	if id, ok := s.Num(step.KeyID); ok {
		r.u32(uapi.Attr_relative_id, uint32(id))
	}
	if has(s, step.KeyRelative) {
		r.i32(uapi.Attr_relative_fd, a.fd(s, step.KeyRelative))
	}
	if has(s, step.KeyOld) {
		r.i32(uapi.Attr_replace_bpf_fd, a.fd(s, step.KeyOld))
	}
	return r
}

func (a *actor) attachProg(s *step.Step) (int, step.Observation) {
	_, errno := a.fillStep(s, a.fd(s, step.KeyHandle)).call(uapi.BPF_PROG_ATTACH, s)
	return noFD, step.Observation{Errno: errno}
}

func (a *actor) detachProg(s *step.Step) (int, step.Observation) {
	prog := 0
	if has(s, step.KeyProg) {
		prog = a.fd(s, step.KeyProg)
	}
	_, errno := a.fillStep(s, prog).call(uapi.BPF_PROG_DETACH, s)
	return noFD, step.Observation{Errno: errno}
}

func (a *actor) updateLink(s *step.Step) (int, step.Observation) {
	var r attr
	link, prog := a.fd(s, step.KeyHandle), a.fd(s, step.KeyProg)
	r.i32(uapi.Attr_link_update_link_fd, link)
	r.i32(uapi.Attr_link_update_new_prog_fd, prog)
	if has(s, step.KeyOld) {
		r.u32(uapi.Attr_link_update_flags, replaceFlag)
		r.i32(uapi.Attr_link_update_old_prog_fd, a.fd(s, step.KeyOld))
	}
	_, errno := r.call(uapi.BPF_LINK_UPDATE, s)
	if errno == 0 && !a.holds(link, prog) {
		errno = uapi.Errno(unix.ENODATA) // the call did nothing
	}
	return noFD, step.Observation{Errno: errno}
}

const replaceFlag = 1 << 2 // BPF_F_REPLACE

func (a *actor) detachLink(s *step.Step) (int, step.Observation) {
	var r attr
	r.i32(uapi.Attr_link_detach_link_fd, a.fd(s, step.KeyHandle))
	_, errno := r.call(uapi.BPF_LINK_DETACH, s)
	return noFD, step.Observation{Errno: errno}
}

func (a *actor) createIter(s *step.Step) (int, step.Observation) {
	var r attr
	r.i32(uapi.Attr_iter_create_link_fd, a.fd(s, step.KeyHandle))
	fd, errno := r.call(uapi.BPF_ITER_CREATE, s)
	return noFD, proved(errno, func() bool { defer closeFD(fd); return fd > 2 })
}

// attachProgFor has an actor attach a program, which stays until the world ends.
func (g *agent) attachProgFor(p *player, s *step.Step) (step.Observation, error) {
	g.attached = true
	return g.playOne(p, s)
}

// showAttached says how many programs are at a target, and at a device how many of them a link holds.
func (g *agent) showAttached(_ *player, s *step.Step) (step.Observation, error) {
	if err := g.settle(nil); err != nil {
		return step.Observation{}, err
	}
	spot := spotOf(s)
	progs, links, errno := g.attachedTo(spot)
	if errno != 0 {
		return step.Observation{Errno: errno}, nil
	}
	text := fmt.Sprintf("%d programs", openable(uapi.BPF_PROG_GET_FD_BY_ID, progs))
	if spot.Attach == uapi.BPF_TCX_INGRESS {
		text += fmt.Sprintf(", %d by links", openable(uapi.BPF_LINK_GET_FD_BY_ID, links))
	}
	return step.Observation{Text: text}, nil
}

// openable counts the ids of objects that are there.
func openable(by uapi.Cmd, ids []uint32) int {
	n := 0
	for _, id := range ids {
		if fd, errno := openID(by, id); errno == 0 {
			n++
			closeFD(fd)
		}
	}
	return n
}

// openID opens a program or a link by its id, for root.
func openID(by uapi.Cmd, id uint32) (int, uapi.Errno) {
	var r attr
	r.u32(uapi.Attr_start_id, id)
	return bpf(by, &r)
}

// attachedTo are the ids of the programs at a target and, at a device, those of their links, 0 for one without a link.
func (g *agent) attachedTo(spot *step.SpotShape) (progs, links []uint32, errno uapi.Errno) {
	var progIDs, linkIDs [maxAttached]uint32
	var r attr
	a := actor{caller: g.caller}
	r.i32(uapi.Attr_query_target_fd, a.target(spot))
	r.u32(uapi.Attr_query_attach_type, uint32(spot.Attach))
	r.ptr(uapi.Attr_query_prog_ids, (*byte)(unsafe.Pointer(&progIDs)))
	if spot.Attach == uapi.BPF_TCX_INGRESS { // kernels without mprog refuse the member
		r.ptr(uapi.Attr_query_link_ids, (*byte)(unsafe.Pointer(&linkIDs)))
	}
	r.u32(uapi.Attr_query_prog_cnt, maxAttached)
	_, errno = bpf(uapi.BPF_PROG_QUERY, &r)
	runtime.KeepAlive(&progIDs)
	runtime.KeepAlive(&linkIDs)
	switch errno {
	case 0:
	case uapi.Errno(unix.ENOENT): // tcx_prog_query: the device has none
		return nil, nil, 0
	default: // the number of programs is not filled in
		return nil, nil, errno
	}
	n := min(maxAttached, r.get(uapi.Attr_query_prog_cnt))
	return progIDs[:n], linkIDs[:n], 0
}

// detachAll removes what programs of an earlier world are attached.
func (g *agent) detachAll() error {
	if !g.attached {
		return nil
	}
	g.attached = false
	a := actor{caller: g.caller}
	for _, to := range append([]step.Spot{step.SpotSkMsg}, step.Queried...) {
		spot := to.Shape()
		if a.target(spot) < 0 { // it could not be made
			continue
		}
		ids, _, errno := g.attachedTo(spot)
		if errno != 0 && errno != uapi.Errno(unix.EINVAL) { // EINVAL: the kernel has no such place
			return fmt.Errorf("find what is attached to %s: %w", spot.Name, unix.Errno(errno))
		}
		for _, id := range ids {
			prog, errno := openID(uapi.BPF_PROG_GET_FD_BY_ID, id)
			if errno != 0 {
				return fmt.Errorf("open program %d, which is attached to %s: %w", id, spot.Name, unix.Errno(errno))
			}
			s := &step.Step{Args: []step.Arg{{Key: step.KeySpot, Num: uint64(to)}}}
			_, errno = bpf(uapi.BPF_PROG_DETACH, a.fillStep(s, prog))
			closeFD(prog)
			if errno != 0 {
				return fmt.Errorf("detach program %d from %s: %w", id, spot.Name, unix.Errno(errno))
			}
		}
	}
	return nil
}
