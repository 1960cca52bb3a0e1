package repro

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

// typeOf is the type of the object that a handle is, by the step that makes it; 0 if none of the case does.
func (w *writer) typeOf(h step.Handle) uint64 {
	for _, s := range slices.Concat(w.c.World.Program.Setup, []step.Step(w.cell)) {
		if s.Out == h {
			n, _ := s.Num(step.KeyType)
			return n
		}
	}
	return 0
}

// handle is the argument that most operations are about.
func (w *writer) handle() step.Handle {
	n, _ := w.st.Num(step.KeyHandle)
	return step.Handle(n)
}

// reopen opens the file of a descriptor again.
func (w *writer) reopen() error {
	w.use("reopen")
	w.step(nil, "reopen("+w.fd(step.KeyHandle)+")")
	return nil
}

// freeze writes BPF_MAP_FREEZE.
func (w *writer) freeze() error {
	r := &request{layout: elemAttr, cmd: uapi.BPF_MAP_FREEZE}
	r.set("map_fd", "%s", w.fd(step.KeyHandle))
	w.bpf(r)
	return nil
}

// mmap writes mmap(2) of a map.
func (w *writer) mmap() error {
	prot := "PROT_READ"
	if _, write := w.st.Num(step.KeyWrite); write {
		prot += " | PROT_WRITE"
	}
	w.use("map_memory")
	w.step(nil, "map_memory("+w.fd(step.KeyHandle)+", "+prot+")")
	return nil
}

// element writes what the guest does about the element under key 0: it puts one there first.
func (w *writer) element() error {
	if uapi.MapType(w.typeOf(w.handle())) == uapi.BPF_MAP_TYPE_PROG_ARRAY {
		return w.refuse("an element that is a program cannot be written yet")
	}
	do, _ := w.st.Num(step.KeyDo)
	cmd := map[step.Do]uapi.Cmd{step.DoUpdate: uapi.BPF_MAP_UPDATE_ELEM, step.DoLookup: uapi.BPF_MAP_LOOKUP_ELEM,
		step.DoDelete: uapi.BPF_MAP_DELETE_ELEM}[step.Do(do)]
	w.use("element")
	w.last[elemAttr] = max(w.last[elemAttr], lastOf(elemAttr, "value"))
	w.step(nil, fmt.Sprintf("element(%s, %s)", w.enum(&uapi.Cmds, uint32(cmd)), w.fd(step.KeyHandle)))
	return nil
}

// batchOf writes a batch command about a map of the case.
func (w *writer) batchOf() error {
	do, _ := w.st.Num(step.KeyDo)
	cmd := map[step.Batch]uapi.Cmd{
		step.BatchUpdate: uapi.BPF_MAP_UPDATE_BATCH, step.BatchLookup: uapi.BPF_MAP_LOOKUP_BATCH,
		step.BatchDelete: uapi.BPF_MAP_DELETE_BATCH, step.BatchTake: uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH}[step.Batch(do)]
	a := &asked{}
	w.batchRequest(a, cmd, w.fd(step.KeyHandle))
	a.cmd = cmd
	w.ask(a)
	return nil
}

// runProg writes one run of a program. What a syscall program returns is the answer.
func (w *writer) runProg() error {
	if f, _ := w.st.Num(step.KeyAttr); f != 0 {
		return w.refuse("attr= cannot be written yet")
	}
	packet := uapi.ProgType(w.typeOf(w.handle())) != uapi.BPF_PROG_TYPE_SYSCALL
	w.use("run_prog")
	w.last[testAttr] = max(w.last[testAttr], lastOf(testAttr, "repeat"))
	w.enum(&uapi.Cmds, uint32(uapi.BPF_PROG_TEST_RUN))
	size := 0
	if packet {
		size = 64
	}
	w.step(nil, fmt.Sprintf("run_prog(%s, %d)", w.fd(step.KeyHandle), size))
	return nil
}

// specialBTF declares a BTF with a special field in a map's value, or one that is junk, and returns its name.
func (w *writer) specialBTF(b *bodies.BTF, junk bool) string {
	magic := 0xeb9f
	if junk {
		magic++
	}
	out := []string{
		"\t__u16 magic;", "\t__u8 version, flags;", "\t__u32 hdr_len, type_off, type_len, str_off, str_len;",
		fmt.Sprintf("\t__u32 types[%d];", len(b.Types)), fmt.Sprintf("\tchar strs[%d];", len(b.Strs)), "} NAME = {",
		fmt.Sprintf("\t%#x, 1, 0, 24, 0, %d, %[2]d, %d, {", magic, 4*len(b.Types), len(b.Strs)),
	}
	line, open := "", "\t\t"
	for i, n := range b.Types {
		if note := b.Start(i); note != "" {
			if line != "" {
				out = append(out, strings.TrimSuffix(line, " "))
			}
			line = open + "/* " + note + " */ "
		}
		line += num(uint64(n)) + ", "
	}
	out = append(out, strings.TrimSuffix(line, " "))
	text := strings.TrimSuffix(b.Strs, "\x00") // C adds it
	out = append(out, fmt.Sprintf("\t}, \"%s\"\n};\n", strings.ReplaceAll(text, "\x00", `\0`)))
	return w.named("special_btf", "static const struct {\n"+strings.Join(out, "\n"))
}
