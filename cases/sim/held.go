package sim

import (
	"encoding/binary"
	"fmt"
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/arch"
)

func (s *Sim) freeze(a *actor, st *step.Step) Expect {
	req := &oracle.Freeze{FD: a.handle(st, step.KeyHandle)}
	if c := req.FD.Content; c != nil {
		req.Mapped = slices.ContainsFunc(c.Writers, func(space int) bool {
			return slices.ContainsFunc(s.actors, func(a actor) bool { return a.space == space })
		})
	}
	e := s.decide(a, st, req)
	if e.OK() {
		req.Apply()
	}
	return e
}

// newSpace is the number of a new address space.
func (s *Sim) newSpace() int {
	s.spaces++
	return s.spaces
}

func (s *Sim) mmap(a *actor, st *step.Step) Expect {
	_, write := st.Num(step.KeyWrite)
	req := &oracle.Mmap{FD: a.handle(st, step.KeyHandle), Write: write}
	e := s.decide(a, st, req)
	if c := req.FD.Content; c != nil && !e.Verdict.Known {
		c.Moved = true
	}
	if e.OK() && write {
		req.FD.Content.Writers = append(slices.Clip(req.FD.Content.Writers), a.space)
	}
	return e
}

var batchCmds = map[step.Batch]uapi.Cmd{
	step.BatchUpdate: uapi.BPF_MAP_UPDATE_BATCH, step.BatchLookup: uapi.BPF_MAP_LOOKUP_BATCH,
	step.BatchDelete: uapi.BPF_MAP_DELETE_BATCH, step.BatchTake: uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH,
}

func (s *Sim) batch(a *actor, st *step.Step) Expect {
	do, _ := st.Num(step.KeyDo)
	req := &oracle.Batch{FD: a.handle(st, step.KeyHandle), Do: batchCmds[step.Batch(do)]}
	e := s.decide(a, st, req)
	req.Apply(&e.Verdict)
	return e
}

// progInfo compares what the kernel shows of a program's instructions.
func (s *Sim) progInfo(a *actor, st *step.Step) Expect {
	req := &oracle.ProgInfo{FD: a.handle(st, step.KeyHandle)}
	e := s.decide(a, st, req)
	if !e.OK() {
		return e
	}
	w := s.world(a, st)
	insns, compiled, addresses := req.Shows(&w)
	p := req.FD.Loaded
	if !p.CallsKnown() {
		return Expect{Verdict: oracle.Verdict{Rule: "the rules do not cover what becomes of the program's calls",
			ID: "prog_info/not-modelled"}}
	}
	word := map[bool]string{true: "shown", false: "hidden"}
	calls := "none"
	if p.Helps && insns && (addresses || !p.Symbol.Blinded) {
		calls = word[addresses]
	}
	e.Text = fmt.Sprintf("instructions %s, calls %s, compiled %s, code %s, addresses %s, lengths %s, lines %s",
		word[insns], calls, word[compiled], word[addresses && compiled], word[addresses], word[addresses && compiled],
		word[addresses && compiled && p.Lines])
	return e
}

func (s *Sim) writeSysctl(a *actor, st *step.Step) Expect {
	req := &oracle.WriteSysctl{}
	for key, file := range sysctlFiles {
		if v, ok := st.Num(key); ok {
			req.File, req.Value = file, int(v)
		}
	}
	if a.net && req.File >= oracle.FileJITEnable {
		return notFollowed(st, "the rules follow only sysctls of the initial network namespace")
	}
	e := s.decide(a, st, req)
	if e.OK() && req.File == oracle.FileUnprivDisabled {
		s.sysctl = req.Value
	}
	if e.OK() {
		k := *s.kernel
		k.Settings = req.Apply(k.Settings)
		s.kernel = &k
	}
	return e
}

var sysctlFiles = map[step.Key]oracle.SysctlFile{
	step.KeyValue: oracle.FileUnprivDisabled, step.KeyStats: oracle.FileStats, step.KeyRestrict: oracle.FileRestrict,
	step.KeyJITOn:  oracle.FileJITEnable,
	step.KeyHarden: oracle.FileJITHarden, step.KeyJITLimit: oracle.FileJITLimit,
}

// translated compares what the verifier made of a program. Only root, who has every capability, is followed.
func (s *Sim) translated(a *actor, st *step.Step) Expect {
	fd := a.handle(st, step.KeyHandle)
	unknown := Expect{Verdict: oracle.Verdict{ID: "translated/not-modelled",
		Rule: "the rules follow root, and some programs that were loaded"}}
	if a.cred.Userns != oracle.Initial || !st.Caps.Has(uapi.CAP_BPF) || fd.Loaded == nil {
		return unknown
	}
	e := s.decide(a, st, &oracle.Instructions{Of: &fd.Loaded.Symbol})
	if !e.OK() {
		return e
	}
	text, known := fd.Loaded.Translated(s.kernel)
	if !known {
		return unknown
	}
	e.Text = text
	e.Verdict = oracle.Verdict{Known: true, Rule: "the verifier removes dead code with CAP_BPF, and guards against " +
		"speculation without CAP_PERFMON", Func: "bpf_check", ID: "translated"}
	return e
}

func (s *Sim) runProg(a *actor, st *step.Step) Expect {
	return s.decide(a, st, &oracle.RunProg{FD: a.handle(st, step.KeyHandle)})
}

// byteOrder is how the kernel's architecture stores a number.
func byteOrder(f *step.Facts) interface {
	binary.ByteOrder
	binary.AppendByteOrder
} {
	if arch.Or(arch.Find(f.Machine)).BigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// tokenInfo compares the masks, as far as the length that the caller gives has room for them.
func (s *Sim) tokenInfo(a *actor, st *step.Step) Expect {
	fd := a.handle(st, step.KeyHandle)
	length := or(st, step.KeyLength, tokenInfoLen)
	e := s.decide(a, st, &oracle.TokenInfo{FD: fd, Length: length})
	if !e.OK() || fd.Kind != oracle.TokenFD {
		return e
	}
	m, order := fd.Token.Allowed, byteOrder(s.facts)
	var info []byte
	for _, mask := range []uint64{m.Cmds, m.Maps, m.Progs, m.Attachs} {
		info = order.AppendUint64(info, mask)
	}
	if length < tokenInfoLen {
		clear(info[length:])
	}
	for at := 0; at < tokenInfoLen; at += 8 {
		e.Values = append(e.Values, order.Uint64(info[at:]))
	}
	return e
}

const tokenInfoLen = uapi.TokenInfoSize

var fieldKinds = map[step.Field]oracle.Field{
	step.FieldTimer: oracle.Timer, step.FieldWorkqueue: oracle.Timer, step.FieldTaskWork: oracle.TaskWork,
	step.FieldKptr: oracle.Kptr, step.FieldRefcount: oracle.Kptr, step.FieldResLock: oracle.ResLock,
	step.FieldListHead: oracle.Root, step.FieldRbRoot: oracle.Root, step.FieldUptr: oracle.Uptr,
}

// signedSince is the release that has signed programs.
var signedSince = uapi.Release{Major: 6, Minor: 18}

// newer notes that a request has a member that a kernel before 6.18 does not know: there it is a byte after the
// command's last field.
func (s *Sim) newer(f *oracle.Fault, has bool) {
	f.Tail = f.Tail || has && s.kernel.Release.Less(signedSince)
}

func (s *Sim) kernelBTF(a *actor, st *step.Step) Expect {
	e := s.decide(a, st, &oracle.Call{Cmd: uapi.BPF_BTF_GET_FD_BY_ID})
	if e.OK() {
		a.keep(st, oracle.FD{Kind: oracle.Object, BTF: true, Kernel: true})
	}
	return e
}
