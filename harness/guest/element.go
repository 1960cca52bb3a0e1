package guest

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

// maxValue is room for the value of a map of descriptors, and more than most maps need.
const maxValue = 8 << 10

// maxKey is more than the longest key that a map of a case has.
const maxKey = 32 << 10

// access makes a call about the element under key 0 of a map.
func access(cmd uapi.Cmd, fd int, value []byte) uapi.Errno {
	key := make([]byte, maxKey)
	var a attr
	a.i32(uapi.Attr_map_fd, fd)
	a.ptr(uapi.Attr_key, &key[0])
	if value != nil {
		a.ptr(uapi.Attr_value, &value[0])
	}
	_, errno := bpf(cmd, &a)
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	return errno
}

// element puts an element into a map, looks it up or deletes it, and looks whether it is, or was,
// there. What the kernel does not let the descriptor do shows nothing.
func (a *actor) element(s *step.Step) (int, step.Observation) {
	do, _ := s.Num(step.KeyDo)
	fd := a.fd(s, step.KeyHandle)
	t, room := mapInfo(fd)
	value, want := make([]byte, room), []byte{0xa5, 0, 0, 0}
	copy(value, want)
	if t == uapi.BPF_MAP_TYPE_PROG_ARRAY { // it takes a program, and shows its id
		filter := a.fix.commands[fixFilter]
		binary.NativeEndian.PutUint32(value, uint32(filter))
		binary.NativeEndian.PutUint32(want, a.id(uapi.BPF_PROG_GET_FD_BY_ID, filter))
	}
	got := make([]byte, room)
	matches := func() bool { return bytes.Equal(got[:len(want)], want) }
	look := func() uapi.Errno { return access(uapi.BPF_MAP_LOOKUP_ELEM, fd, got) }
	refused := func(errno uapi.Errno) bool { return errno != 0 && errno != uapi.Errno(unix.ENOENT) }
	put := access(uapi.BPF_MAP_UPDATE_ELEM, fd, value)
	switch step.Do(do) {
	case step.DoLookup:
		return noFD, proved(look(), func() bool { return put != 0 || matches() })
	case step.DoDelete:
		seen := look()
		if seen != 0 && !refused(seen) && put == 0 {
			return noFD, step.Observation{Proof: step.DoesNotWork} // it was not there
		}
		return noFD, proved(access(uapi.BPF_MAP_DELETE_ELEM, fd, nil), func() bool {
			return look() != 0
		})
	}
	return noFD, proved(put, func() bool {
		seen := look()
		return refused(seen) || seen == 0 && matches()
	})
}

// proved is the result of a call, with the proof that it worked.
func proved(errno uapi.Errno, works func() bool) step.Observation {
	o := step.Observation{Errno: errno}
	if errno == 0 {
		o.Proof = step.DoesNotWork
		if works() {
			o.Proof = step.Works
		}
	}
	return o
}

// mapInfo asks a map for its type, and how much room a value needs: that of a map with a value for
// each processor needs one for each.
func mapInfo(fd int) (uapi.MapType, int) {
	const size, rounded, cpus = 3, 8, 64
	info := make([]byte, infoLen)
	var a attr
	a.i32(uapi.Attr_info_bpf_fd, fd)
	a.u32(uapi.Attr_info_info_len, infoLen)
	a.ptr(uapi.Attr_info_info, &info[0])
	if _, errno := bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &a); errno != 0 {
		return uapi.BPF_MAP_TYPE_UNSPEC, maxValue
	}
	runtime.KeepAlive(info)
	value := int(binary.NativeEndian.Uint32(info[size*wordSize:]))
	if value > maxKey { // of no map of a case, and no map at all
		value = 0
	}
	return uapi.MapType(binary.NativeEndian.Uint32(info)), max(maxValue, (value+rounded)*cpus)
}

func (a *actor) objGet(s *step.Step) (int, step.Observation) {
	name, err := unix.ByteSliceFromString(str(s, step.KeyPath))
	if err != nil {
		return done(unix.EINVAL)
	}
	var at attr
	at.path(a.fd(s, step.KeyIn), name)
	flags, _ := s.Num(step.KeyFlags)
	at.u32(uapi.Attr_file_flags, pathFD|uint32(flags))
	fd, errno := bpf(uapi.BPF_OBJ_GET, &at)
	runtime.KeepAlive(name)
	return fd, proved(errno, func() bool {
		t, _ := mapInfo(fd)
		return t != uapi.BPF_MAP_TYPE_UNSPEC
	})
}

// record is what the programs of the buffers write.
const record = 0x746f6b656e // as a number of 64 bits

// The sizes of the buffers: whole pages, whatever a page is, and for the perf events one for each processor.
const (
	bufferLen  = 64 << 10
	maxCPUs    = 256
	outputOnly = 10 // PERF_COUNT_SW_BPF_OUTPUT
)

// makeBuffer makes a buffer's map.
func makeBuffer(b step.Buffer) (int, uapi.Errno) {
	var a attr
	if b == step.BufferRing {
		a.u32(uapi.Attr_map_type, uint32(uapi.BPF_MAP_TYPE_RINGBUF))
		a.u32(uapi.Attr_max_entries, bufferLen)
	} else {
		a.u32(uapi.Attr_map_type, uint32(uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY))
		a.u32(uapi.Attr_key_size, 4)
		a.u32(uapi.Attr_value_size, 4)
		a.u32(uapi.Attr_max_entries, maxCPUs)
	}
	return bpf(uapi.BPF_MAP_CREATE, &a)
}

// loadWriter loads the program that writes into a buffer.
func loadWriter(b step.Buffer, buffer int) (int, uapi.Errno) {
	body := asm.Instructions{
		asm.LoadImm(asm.R2, record, asm.DWord), asm.StoreMem(asm.R10, -8, asm.R2, asm.DWord),
	}
	if b == step.BufferRing { // bpf_ringbuf_output(map, data, 8, 0)
		body = append(body, asm.LoadMapPtr(asm.R1, buffer), asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -8),
			asm.Mov.Imm(asm.R3, 8), asm.Mov.Imm(asm.R4, 0), asm.FnRingbufOutput.Call())
	} else { // bpf_perf_event_output(ctx, map, BPF_F_CURRENT_CPU, data, 8)
		body = append(body, asm.LoadMapPtr(asm.R2, buffer), asm.LoadImm(asm.R3, 0xffffffff, asm.DWord), asm.Mov.Reg(asm.R4,
			asm.R10),
			asm.Add.Imm(asm.R4, -8), asm.Mov.Imm(asm.R5, 8), asm.FnPerfEventOutput.Call())
	}
	code := bodies.Marshal(append(body, asm.Mov.Imm(asm.R0, 0), asm.Return()))
	var p attr
	p.u32(uapi.Attr_prog_type, uint32(uapi.BPF_PROG_TYPE_SOCKET_FILTER))
	p.u32(uapi.Attr_insn_cnt, uint32(len(code)/insnLen))
	p.ptr(uapi.Attr_insns, &code[0])
	p.ptr(uapi.Attr_license, &license[0])
	fd, errno := bpf(uapi.BPF_PROG_LOAD, &p)
	runtime.KeepAlive(code)
	return fd, errno
}

// consume has a buffer's program write a record, and reads it.
func (a *actor) consume(s *step.Step) (int, step.Observation) {
	b, _ := s.Num(step.KeyBuffer)
	f := &a.fix.commands
	if step.Buffer(b) == step.BufferRing {
		r, err := openRing(f[fixRing])
		if err != nil {
			return done(err)
		}
		defer r.close()
		r.skip()
		return noFD, proved(a.emit(f[fixRingProg]), r.read)
	}
	r, err := openPerf(f[fixPerf])
	if err != nil {
		return done(err)
	}
	defer r.close()
	return noFD, proved(a.emit(f[fixPerfProg]), r.read)
}

// emit runs a buffer's program.
func (a *actor) emit(prog int) uapi.Errno {
	packet := make([]byte, packetLen)
	var at attr
	at.i32(uapi.Attr_test_prog_fd, prog)
	at.u32(uapi.Attr_test_data_size_in, packetLen)
	at.ptr(uapi.Attr_test_data_in, &packet[0])
	at.u32(uapi.Attr_test_repeat, 1) // once
	_, errno := bpf(uapi.BPF_PROG_TEST_RUN, &at)
	runtime.KeepAlive(packet)
	return errno
}

// ring is a ringbuf map as a process maps it: a page with the read position, then
// a page with the written position, and the records, twice.
type ring struct{ reader, written []byte }

func openRing(fd int) (*ring, error) {
	page := os.Getpagesize()
	reads, err := unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	written, err := unix.Mmap(fd, int64(page), page+2*bufferLen, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		unix.Munmap(reads)
		return nil, err
	}
	return &ring{reads, written}, nil
}

func (r *ring) close() {
	unix.Munmap(r.reader)
	unix.Munmap(r.written)
}

// at is a position that the kernel, or the process, writes.
func at(page []byte, off int) *uint64 { return (*uint64)(unsafe.Pointer(&page[off])) }

func (r *ring) skip() { atomic.StoreUint64(at(r.reader, 0), atomic.LoadUint64(at(r.written, 0))) }

// read takes one record: a header of 8 bytes, whose first 4 are the length, and what the program wrote.
func (r *ring) read() bool {
	const header = 8
	from, to := atomic.LoadUint64(at(r.reader, 0)), atomic.LoadUint64(at(r.written, 0))
	if to != from+header+8 {
		return false
	}
	data := r.written[os.Getpagesize()+int(from%bufferLen):]
	defer r.skip()
	return binary.NativeEndian.Uint32(data) == 8 && binary.NativeEndian.Uint64(data[header:]) == record
}

// perfReader is a perf event of each processor, whose buffers are mapped.
type perfReader struct {
	fds   []int
	pages [][]byte
}

func openPerf(array int) (*perfReader, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	r := &perfReader{}
	for cpu := range maxCPUs {
		if !set.IsSet(cpu) {
			continue
		}
		if err := r.add(array, cpu); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

func (r *perfReader) add(array, cpu int) error {
	event := &unix.PerfEventAttr{
		Type:        unix.PERF_TYPE_SOFTWARE,
		Config:      outputOnly,
		Sample:      1,
		Sample_type: unix.PERF_SAMPLE_RAW,
		Wakeup:      1,
	}
	event.Size = uint32(unsafe.Sizeof(*event))
	fd, err := unix.PerfEventOpen(event, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return err
	}
	r.fds = append(r.fds, fd)
	page, err := unix.Mmap(fd, 0, 2*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	r.pages = append(r.pages, page)
	var a attr
	element := make([]byte, 8)
	binary.NativeEndian.PutUint32(element, uint32(cpu))
	binary.NativeEndian.PutUint32(element[4:], uint32(fd))
	a.i32(uapi.Attr_map_fd, array)
	a.ptr(uapi.Attr_key, &element[0])
	a.ptr(uapi.Attr_value, &element[4])
	_, errno := bpf(uapi.BPF_MAP_UPDATE_ELEM, &a)
	runtime.KeepAlive(element)
	if errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

func (r *perfReader) close() {
	for _, page := range r.pages {
		unix.Munmap(page)
	}
	for _, fd := range r.fds {
		unix.Close(fd)
	}
}

// read looks for the one record among the buffers: struct perf_event_header,
// the length, and what the program wrote.
func (r *perfReader) read() bool {
	const (
		head   = 1024 // data_head of struct perf_event_mmap_page
		header = 8
	)
	found := 0
	for _, page := range r.pages {
		data := page[os.Getpagesize():]
		if atomic.LoadUint64(at(page, head)) == 0 {
			continue
		}
		found++
		if binary.NativeEndian.Uint32(data) != unix.PERF_RECORD_SAMPLE ||
			binary.NativeEndian.Uint32(data[header:]) < 8 ||
			binary.NativeEndian.Uint64(data[header+4:]) != record {
			return false
		}
	}
	return found == 1
}
