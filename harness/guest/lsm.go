package guest

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

const lsmList = "/sys/kernel/security/lsm"

// activeLSMs lists the security modules of the running kernel; none when it
// does not say. Without CONFIG_SECURITYFS there is no list to read, and lsm_list_modules(2) says.
func activeLSMs() []string {
	text, err := os.ReadFile(lsmList)
	if err != nil {
		return lsmNames(listLSMs())
	}
	return strings.Split(strings.TrimSpace(string(text)), ",")
}

// maxLSMs is more than a kernel can have (security/security.c: MAX_LSM_COUNT).
const maxLSMs = 64

// listLSMs returns the numbers of the active security modules; a kernel before 6.8 has no such call.
func listLSMs() []uint64 {
	ids := make([]uint64, maxLSMs)
	size := uint64(len(ids) * 8) // the kernel reads and writes the lower half
	list, length := unsafe.Pointer(&ids[0]), unsafe.Pointer(&size)
	n, _, errno := unix.Syscall(unix.SYS_LSM_LIST_MODULES, uintptr(list), uintptr(length), 0)
	if errno != 0 || n > maxLSMs {
		return nil
	}
	return ids[:n]
}

// lsmIDs are LSM_ID_CAPABILITY and those after it, include/uapi/linux/lsm.h.
var lsmIDs = []string{
	"capability", "selinux", "smack", "tomoyo", "apparmor", "yama", "loadpin", "safesetid", "lockdown",
	"bpf", "landlock", "ima", "evm", "ipe",
}

// lsmCapability is LSM_ID_CAPABILITY.
const lsmCapability = 100

func lsmNames(ids []uint64) []string {
	out := []string{}
	for _, id := range ids {
		if id >= lsmCapability && id < lsmCapability+uint64(len(lsmIDs)) {
			out = append(out, lsmIDs[id-lsmCapability])
		} else {
			out = append(out, fmt.Sprint(id))
		}
	}
	return out
}

// lsmHook is a hook with our program on it. Attaching takes the kernel tens of
// milliseconds and taking off hundreds, under emulation, so the program stays
// for as long as the machine runs. What it refuses to whom is in a map, and
// without an entry there it refuses nothing.
type lsmHook struct {
	rules      int        // the map
	kernelArg  uapi.Errno // what the verifier said to reading the kernel argument
	held       [lsmSlots]bool
	prog, link int
}

// lsmPlace is the slot that a step has filled.
type lsmPlace struct {
	hook uapi.Hook
	slot int
}

// attachLSM makes a hook refuse the calls that a step describes. On the first use of a
// hook it loads the program and attaches it.
func (g *agent) attachLSM(_ *player, s *step.Step) (step.Observation, error) {
	of, _ := s.Num(step.KeyOf)
	who, err := g.player(uint32(of))
	if err != nil {
		return step.Observation{}, err
	}
	pid, err := g.pidOf(who)
	if err != nil {
		return step.Observation{}, err
	}
	n, _ := s.Num(step.KeyHook)
	hook, err := g.hook(uapi.Hook(n))
	if err != nil {
		return step.Observation{}, fmt.Errorf("attach a BPF-LSM program to %s: %w", uapi.Hooks[n], err)
	}
	if has(s, step.KeyKernel) && hook.kernelArg != 0 {
		return step.Observation{Errno: hook.kernelArg}, nil
	}
	if s.Out != 0 {
		g.lsmOff(s.Out)
	}
	slot := hook.next()
	if slot == lsmSlots {
		return step.Observation{}, fmt.Errorf("attach a BPF-LSM program to %s: all %d slots are in use", uapi.Hooks[n],
			lsmSlots)
	}
	if err := g.settle(nil); err != nil {
		return step.Observation{}, err
	}
	if s.Out != 0 {
		g.lsm[s.Out] = lsmPlace{uapi.Hook(n), slot}
	}
	hook.held[slot] = true
	hook.write(slot, lsmRule(s, pid))
	return step.Observation{Proof: step.Works}, nil
}

// hook returns a hook's program, which is attached when it is first asked for.
func (g *agent) hook(h uapi.Hook) (*lsmHook, error) {
	if hook := g.hooks[h]; hook != nil {
		return hook, nil
	}
	var a attr
	a.u32(uapi.Attr_map_type, uint32(uapi.BPF_MAP_TYPE_ARRAY))
	a.u32(uapi.Attr_key_size, 4)
	a.u32(uapi.Attr_value_size, lsmSlots*slotLen)
	a.u32(uapi.Attr_max_entries, 1)
	hook := &lsmHook{}
	var errno uapi.Errno
	if hook.rules, errno = bpf(uapi.BPF_MAP_CREATE, &a); errno != 0 {
		return nil, fmt.Errorf("create its map: %w", unix.Errno(errno))
	}
	at := step.ArgsOf(h)
	hook.prog, errno = g.loadLSM(h, at, hook.rules)
	if errno != 0 && at.Kernel >= 0 {
		hook.kernelArg, at.Kernel = errno, -1
		hook.prog, errno = g.loadLSM(h, at, hook.rules)
	}
	if errno != 0 {
		return nil, fmt.Errorf("load it: %w", unix.Errno(errno))
	}
	if hook.link, errno = linkCreate(hook.prog, 0, uapi.BPF_LSM_MAC); errno != 0 {
		return nil, fmt.Errorf("attach it: %w", unix.Errno(errno))
	}
	g.hooks[h] = hook
	return hook, nil
}

// stopLSM makes a program refuse nothing any more, after all earlier steps.
func (g *agent) stopLSM(_ *player, s *step.Step) (step.Observation, error) {
	h, _ := s.Num(step.KeyHandle)
	err := g.settle(nil)
	g.lsmOff(step.Handle(h))
	return step.Observation{}, err
}

// lsmOff empties a slot.
func (g *agent) lsmOff(h step.Handle) {
	if place, ok := g.lsm[h]; ok {
		g.hooks[place.hook].empty(place.slot)
		delete(g.lsm, h)
	}
}

// next is the slot after the last one in use: the program tries the newest slot first.
func (h *lsmHook) next() int {
	n := lsmSlots
	for n > 0 && !h.held[n-1] {
		n--
	}
	return n
}

func (h *lsmHook) empty(slot int) {
	h.held[slot] = false
	h.write(slot, make([]byte, slotLen))
}

// forgetLSM has every hook refuse nothing: the world is over.
func (g *agent) forgetLSM() {
	clear(g.lsm)
	for _, hook := range g.hooks {
		for slot, held := range hook.held {
			if held {
				hook.empty(slot)
			}
		}
	}
}

// ranLSM answers ENODATA where a slot's conditions never held in the earlier steps of any actor.
func (g *agent) ranLSM(_ *player, s *step.Step) (step.Observation, error) {
	if err := g.settle(nil); err != nil {
		return step.Observation{}, err
	}
	h, _ := s.Num(step.KeyHandle)
	place, ok := g.lsm[step.Handle(h)]
	if !ok {
		return step.Observation{Errno: uapi.Errno(unix.ENODATA)}, nil
	}
	times, exact := s.Num(step.KeyTimes)
	n := g.held(place)
	if place.hook.Frees() {
		n = g.freed(place, max(times, 1))
	}
	if n == 0 || exact && n != times {
		return step.Observation{Errno: uapi.Errno(unix.ENODATA)}, nil
	}
	return step.Observation{}, nil
}

// held is how often a slot's conditions held.
func (g *agent) held(p lsmPlace) uint64 {
	return binary.NativeEndian.Uint64(g.hooks[p.hook].read()[p.slot*slotLen+slotCount:])
}

// The kernel frees an object after a grace period, and on a workqueue.
const (
	freeLatest = 3 * time.Second
	freeStep   = 20 * time.Millisecond
)

// freed waits until a slot's conditions held so often, and then a little for what must not come.
func (g *agent) freed(p lsmPlace, times uint64) uint64 {
	for end := time.Now().Add(freeLatest); g.held(p) < times && time.Now().Before(end); {
		time.Sleep(freeStep)
	}
	time.Sleep(5 * freeStep)
	return g.held(p)
}

// pidOf asks an actor's process for its number, once.
func (g *agent) pidOf(p *player) (uint32, error) {
	if p.number == 0 {
		seen := make([]step.Observation, 1)
		p.pending.add(verbPID)
		p.pending.want = append(p.pending.want, seen)
		if _, err := g.flush(p); err != nil {
			return 0, err
		}
		if len(seen[0].Values) != 1 {
			return 0, fmt.Errorf("actor %s: its process number is missing", p.name)
		}
		p.number = uint32(seen[0].Values[0])
	}
	return p.number, nil
}

// element makes a call about the only element of a hook's map.
func (h *lsmHook) element(cmd uapi.Cmd, value []byte) uapi.Errno {
	key := make([]byte, 4)
	var a attr
	a.i32(uapi.Attr_map_fd, h.rules)
	a.ptr(uapi.Attr_key, &key[0])
	a.ptr(uapi.Attr_value, &value[0])
	_, errno := bpf(cmd, &a)
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	return errno
}

func (h *lsmHook) read() []byte {
	value := make([]byte, lsmSlots*slotLen)
	h.element(uapi.BPF_MAP_LOOKUP_ELEM, value)
	return value
}

// write fills a slot and leaves the others, with what they counted.
func (h *lsmHook) write(slot int, rule []byte) {
	value := h.read()
	copy(value[slot*slotLen:], rule)
	h.element(uapi.BPF_MAP_UPDATE_ELEM, value)
}

func (g *agent) loadLSM(h uapi.Hook, at step.HookArgs, rules int) (int, uapi.Errno) {
	code := bodies.Marshal(lsmBody(h, at, &g.btf, rules))
	var a attr
	a.u32(uapi.Attr_prog_type, uint32(uapi.BPF_PROG_TYPE_LSM))
	a.u32(uapi.Attr_insn_cnt, uint32(len(code)/insnLen))
	a.ptr(uapi.Attr_insns, &code[0])
	a.ptr(uapi.Attr_license, &license[0])
	a.u32(uapi.Attr_expected_attach_type, uint32(uapi.BPF_LSM_MAC))
	a.u32(uapi.Attr_attach_btf_id, g.btf.id(step.KindFunc, step.HookFunc(h)))
	fd, errno := again(func() (int, uapi.Errno) { return bpf(uapi.BPF_PROG_LOAD, &a) })
	runtime.KeepAlive(code)
	return fd, errno
}
