package cases

import (
	"errors"
	"strings"

	"tokentest/cases/oracle"
	"tokentest/cases/program"
	"tokentest/cases/uapi"
)

// tokenRef is the token as a step gives it. BPF_F_TOKEN_FD among the flags
// without a token names descriptor 0, which in an actor is /dev/null.
func (a *simActor) tokenRef(st *program.Step) oracle.TokenRef {
	flags, _ := st.Num(program.KeyFlags)
	flag := flags&uapi.BPF_F_TOKEN_FD != 0
	if h, ok := st.Num(program.KeyToken); ok {
		return oracle.TokenRef{Flag: true, FD: a.fds[program.Handle(h)]}
	}
	if h, ok := st.Num(program.KeyTokenFD); ok {
		return oracle.TokenRef{Flag: flag, FD: a.fds[program.Handle(h)]}
	}
	return oracle.TokenRef{Flag: flag, FD: oracle.FD{Kind: oracle.Object}}
}

func faultOf(st *program.Step) oracle.Fault {
	n, _ := st.Num(program.KeyAttr)
	f := program.AttrFault(n)
	return oracle.Fault{
		Tail: f == program.AttrTail, TooLong: f == program.AttrBeyond || f == program.AttrHuge, Unreadable: f == program.AttrUnreadable || f == program.AttrHuge,
	}
}

// checkFault refuses what says nothing: since 6.14 a program's last field ends
// where the smallest attribute does, and before it did not.
func checkFault(s *program.Step) error {
	fault, _ := s.Num(program.KeyAttr)
	if s.Op == program.OpProgLoad && program.AttrFault(fault) == program.AttrTail {
		return errors.New("prog_load takes no attr=tail: fields were added where it would write")
	}
	return nil
}

// checkBody refuses two programs in one.
func checkBody(s *program.Step) error {
	_, body := s.Num(program.KeyBody)
	_, padded := s.Num(program.KeyInsns)
	if _, uses := s.Num(program.KeyMap); uses && (body || padded) {
		return errors.New("map= is a program of its own: leave prog= and insns= out")
	}
	return nil
}

// overrides reports whether a step replaces anything of the well-formed request.
func overrides(st *program.Step) bool {
	for _, a := range st.Args {
		if a.Key > program.KeyTokenFD || a.Key == program.KeyFlags || a.Key == program.KeyAttr {
			return true
		}
	}
	return false
}

// or returns a numeric argument, or what stands there without it.
func or(st *program.Step, k program.Key, otherwise uint32) uint32 {
	if n, ok := st.Num(k); ok {
		return uint32(n)
	}
	return otherwise
}

func (a *simActor) mapCreate(st *program.Step) *oracle.MapCreate {
	t, _ := st.Num(program.KeyType)
	req := &oracle.MapCreate{Type: uapi.MapType(t), Token: a.tokenRef(st), Fault: faultOf(st), NoFD: noFD(st)}
	_, req.FromKernel = st.Num(program.KeyFromKernel)
	if !overrides(st) {
		return req
	}
	s := program.MapShapeOf(req.Type)
	var btf, vmlinux uint32
	if s.BTF {
		btf = 1
	}
	if s.Struct != "" {
		vmlinux = 1 // what the kernel's BTF says
	}
	req.Attr = &oracle.MapAttr{
		Key: or(st, program.KeyKeySize, s.Key), Value: or(st, program.KeyValueSize, s.Value), Max: or(st, program.KeyMaxEntries, s.Max),
		Flags: or(st, program.KeyFlags, s.Flags) &^ uapi.BPF_F_TOKEN_FD, NUMA: or(st, program.KeyNUMA, 0),
		Extra: or(st, program.KeyExtra, 0), Ifindex: or(st, program.KeyIfindex, 0), BadName: badName(st),
		BTFKey: or(st, program.KeyBTFKey, btf), BTFValue: or(st, program.KeyBTFValue, btf), Vmlinux: or(st, program.KeyVmlinux, vmlinux),
	}
	req.Attr.Types = 1 // that of storages' own BTF
	_, sized := st.Num(program.KeyValueSize)
	req.Attr.BadStruct = sized && s.Struct != ""
	if h, ok := st.Num(program.KeyInner); ok {
		req.Attr.BadInner = a.fds[program.Handle(h)].Kind == oracle.Closed
	}
	if h, ok := st.Num(program.KeyBTF); ok {
		fd := a.fds[program.Handle(h)]
		req.Attr.BTFClosed, req.Attr.BTFNone = fd.Kind == oracle.Closed, fd.Kind != oracle.Closed && !fd.BTF
		if fd.Lock {
			req.Attr.Types = program.LockType
		}
		req.Attr.Special = fd.Lock && req.Attr.BTFValue == program.LockType
	} else if !s.BTF && s.Struct == "" {
		req.Attr.BTFNone = true // descriptor 0, /dev/null
	}
	return req
}

func badName(st *program.Step) bool {
	for _, a := range st.Args {
		if a.Key == program.KeyName {
			return strings.IndexFunc(a.Str, func(r rune) bool {
				return !(r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
			}) >= 0
		}
	}
	return false
}

// smallest is the number of instructions of a type's own program.
const smallest = 2

var bodies = map[program.Body]oracle.Body{
	program.BodyJiffies64: oracle.CallsJiffies64, program.BodyCurrentTask: oracle.CallsGetCurrentTask,
	program.BodyProbeWriteUser: oracle.CallsProbeWriteUser, program.BodyReturnContext: oracle.ReturnsContext,
	program.BodyReadData: oracle.ReadsSkbData, program.BodyUninitStack: oracle.ReadsUninitStack, program.BodyVarStack: oracle.VariesStackPointer,
	program.BodySubprog: oracle.CallsSubprog,
}

func progAttr(a *simActor, st *program.Step, s program.ProgShape) *oracle.ProgAttr {
	if !overrides(st) {
		return nil
	}
	fault, _ := st.Num(program.KeyAttr)
	body, _ := st.Num(program.KeyBody)
	id, _ := st.Num(program.KeyAttachBTFID)
	at := &oracle.ProgAttr{
		Flags: or(st, program.KeyFlags, s.Flags), Insns: uint64(or(st, program.KeyInsns, smallest)),
		BadInsns: program.AttrFault(fault) == program.AttrInsns, BadName: badName(st), BadLog: badLog(st),
		Ifindex: or(st, program.KeyIfindex, 0), BTFID: id != 0 && s.BTFName == "" && !s.Ext, Body: bodies[program.Body(body)],
	}
	if h, ok := st.Num(program.KeyMap); ok {
		fd := a.fds[program.Handle(h)]
		at.Uses = &fd
	}
	if h, ok := st.Num(program.KeyAttachFD); ok {
		at.BadFD = a.fds[program.Handle(h)].Kind != oracle.Object
	}
	return at
}

// badLog reports a log level that the kernel does not know, BPF_LOG_MASK.
func badLog(st *program.Step) bool { return or(st, program.KeyLog, 0)&^0xf != 0 }

func (a *simActor) btfLoad(st *program.Step) *oracle.BTFLoad {
	_, junk := st.Num(program.KeyJunk)
	return &oracle.BTFLoad{
		Token: a.tokenRef(st), Flags: or(st, program.KeyFlags, 0), BadLog: badLog(st), Junk: junk, Fault: faultOf(st), NoFD: noFD(st),
	}
}
