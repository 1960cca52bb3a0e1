package sim

import (
	"slices"
	"strings"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// tokenRef is the token as a step gives it. BPF_F_TOKEN_FD among the flags
// without a token names descriptor 0, which in an actor is /dev/null.
func (a *actor) tokenRef(st *step.Step) oracle.TokenRef {
	flags, _ := st.Num(step.KeyFlags)
	flag := flags&uapi.BPF_F_TOKEN_FD != 0
	if h, ok := st.Num(step.KeyToken); ok {
		return oracle.TokenRef{Flag: true, FD: a.fds[step.Handle(h)]}
	}
	if h, ok := st.Num(step.KeyTokenFD); ok {
		return oracle.TokenRef{Flag: flag, FD: a.fds[step.Handle(h)]}
	}
	return oracle.TokenRef{Flag: flag, FD: oracle.FD{Kind: oracle.Object}}
}

func faultOf(st *step.Step) oracle.Fault {
	n, _ := st.Num(step.KeyAttr)
	f := step.AttrFault(n)
	common, _ := st.Num(step.KeyCommon)
	return oracle.Fault{
		Common: commons[step.Common(common)],
		Tail:   f == step.AttrTail, TooLong: f == step.AttrBeyond || f == step.AttrHuge,
		Unreadable: f == step.AttrUnreadable || f == step.AttrHuge,
	}
}

// overrides reports whether a step replaces a part of the well-formed request.
func overrides(st *step.Step) bool {
	return slices.ContainsFunc(st.Args, func(a step.Arg) bool { return a.Key.Field() })
}

// or returns a numeric argument, or the default if the step does not give it.
func or(st *step.Step, k step.Key, otherwise uint32) uint32 {
	if n, ok := st.Num(k); ok {
		return uint32(n)
	}
	return otherwise
}

func (a *actor) mapCreate(st *step.Step) *oracle.MapCreate {
	t, _ := st.Num(step.KeyType)
	req := &oracle.MapCreate{Type: uapi.MapType(t), Token: a.tokenRef(st), Fault: faultOf(st), NoFD: noFD(st)}
	_, req.FromKernel = st.Num(step.KeyFromKernel)
	if !overrides(st) {
		return req
	}
	s := step.MapShapeOf(req.Type)
	var btf, vmlinux uint32
	if s.BTF {
		btf = 1
	}
	if s.Struct != "" {
		vmlinux = 1 // the id in the kernel's BTF
	}
	req.Attr = &oracle.MapAttr{
		Key: or(st, step.KeyKeySize, s.Key), Value: or(st, step.KeyValueSize, s.Value),
		Max:   or(st, step.KeyMaxEntries, s.Max),
		Flags: or(st, step.KeyFlags, s.Flags) &^ uapi.BPF_F_TOKEN_FD, NUMA: or(st, step.KeyNUMA, 0),
		Extra: or(st, step.KeyExtra, 0), Ifindex: or(st, step.KeyIfindex, 0), BadName: badName(st),
		BTFKey: or(st, step.KeyBTFKey, btf), BTFValue: or(st, step.KeyBTFValue, btf),
		Vmlinux: or(st, step.KeyVmlinux, vmlinux),
	}
	req.Attr.NoStruct = or(st, step.KeyVmlinux, 0) == noStruct
	if n, ok := st.Num(step.KeyHash); ok {
		size := uint32(n)
		req.Attr.Excl = &size
	}
	if _, own := st.Num(step.KeyOwnHash); own {
		size := uint32(hashSize)
		req.Attr.Excl = &size
	}
	req.Attr.Types = 1 // the BTF of a storage map has one type
	_, sized := st.Num(step.KeyValueSize)
	req.Attr.BadStruct = sized && s.Struct != ""
	if h, ok := st.Num(step.KeyInner); ok {
		fd := a.fds[step.Handle(h)]
		req.Attr.Inner = &fd
	}
	if h, ok := st.Num(step.KeyBTF); ok {
		fd := a.fds[step.Handle(h)]
		closed := fd.Kind == oracle.Closed || fd.Kind == oracle.Path
		req.Attr.BTFClosed, req.Attr.BTFNone = closed, !closed && !fd.BTF
		if fd.Lock {
			req.Attr.Types = step.LockType
		}
		req.Attr.Special = (fd.Lock || fd.Field != 0) && req.Attr.BTFValue == step.LockType
		req.Attr.Field, req.Attr.Sizes, req.Attr.BTFKernel = fd.Field, fd.Sizes, fd.Kernel
	} else if !s.BTF && s.Struct == "" {
		req.Attr.BTFNone = true // descriptor 0, /dev/null
	}
	return req
}

// noStruct is an id of the kernel's BTF that is no struct_ops: each is behind the types of its members.
const noStruct = 1

// hashSize is the size of a SHA-256.
const hashSize = 32

// nameLen is the room for an object's name, with its terminating zero: BPF_OBJ_NAME_LEN.
const nameLen = 16

func badName(st *step.Step) bool {
	for _, a := range st.Args {
		if a.Key == step.KeyName {
			return len(a.Str) >= nameLen || strings.IndexFunc(a.Str, func(r rune) bool {
				return !(r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
			}) >= 0
		}
	}
	return false
}

// smallest is the number of instructions of a type's own program.
const smallest = 2

var commons = map[step.Common]oracle.Common{
	step.CommonEmpty: oracle.CommonEmpty, step.CommonLog: oracle.CommonLog, step.CommonLength: oracle.CommonLength,
	step.CommonPart: oracle.CommonPart, step.CommonSame: oracle.CommonSame, step.CommonOther: oracle.CommonOther,
	step.CommonShort: oracle.CommonShort, step.CommonBadBuffer: oracle.CommonBadBuffer,
	step.CommonReadOnly: oracle.CommonReadOnly, step.CommonNoLevel: oracle.CommonNoLevel,
	step.CommonNoSize: oracle.CommonNoSize, step.CommonBadLevel: oracle.CommonBadLevel,
	step.CommonBigSize: oracle.CommonBigSize, step.CommonTail: oracle.CommonTail, step.CommonHuge: oracle.CommonHuge,
	step.CommonUnreadable: oracle.CommonUnreadable,
}

var bodies = map[step.Body]oracle.Body{
	step.BodyJiffies64: oracle.CallsJiffies64, step.BodyCurrentTask: oracle.CallsGetCurrentTask,
	step.BodyProbeWriteUser: oracle.CallsProbeWriteUser, step.BodyReturnContext: oracle.ReturnsContext,
	step.BodyReadData: oracle.ReadsSkbData, step.BodyUninitStack: oracle.ReadsUninitStack,
	step.BodyVarStack: oracle.VariesStackPointer, step.BodySpill: oracle.SpillsContext,
	step.BodySubprog: oracle.CallsSubprog, step.BodyProbeReadKernel: oracle.CallsProbeReadKernel,
	step.BodyLoop: oracle.Loops, step.BodyKfunc: oracle.CallsKfunc, step.BodyKfuncPerfmon: oracle.CallsKfuncPerfmon,
	step.BodyKfuncDestructive: oracle.CallsKfuncDestructive, step.BodyReadBTF: oracle.ReadsBTF,
	step.BodyReadMap: oracle.ReadsMap, step.BodyUseMap: oracle.HasMap,
	step.BodySubtract: oracle.SubtractsPointers, step.BodyCompare: oracle.ComparesPointers,
	step.BodyPartialSpill: oracle.OverwritesSpill, step.BodyWriteTime: oracle.WritesTime,
	step.BodyFarStack: oracle.PointsBeyondStack, step.BodySysBpf: oracle.CallsSysBpf,
	step.BodyAddToPointer: oracle.AddsToSpill, step.BodyMixedRead: oracle.ReadsMixed,
	step.BodySubtractHalf: oracle.SubtractsHalves, step.BodyBlankKey: oracle.HasBlankKey,
	step.BodyPointerKey: oracle.HasPointerKey,
	step.BodyDeadCode:   oracle.HasDeadCode, step.BodyBranches: oracle.HasBranches,
	step.BodyBlankSlot: oracle.ReadsBlankSlot, step.BodyVarWrite: oracle.WritesVariably,
	step.BodyStalePacket: oracle.UsesStalePacket, step.BodyLinked: oracle.LinksBounds,
	step.BodyMaskedAdd: oracle.AddsToElement, step.BodyTailCall: oracle.TailCalls, step.BodyNotTaken: oracle.HasNotTaken,
	step.BodyProbeRead: oracle.CallsProbeRead, step.BodyProbeReadStr: oracle.CallsProbeReadStr,
	step.BodyTracePrintk: oracle.CallsTracePrintk, step.BodyFindSymbol: oracle.CallsFindSymbol,
	step.BodyNegate: oracle.NegatesPointer, step.BodyExtendHalf: oracle.ExtendsHalf, step.BodyCopyHalf: oracle.CopiesHalf,
	step.BodyStoreValue: oracle.StoresInValue, step.BodyStoreRecord: oracle.StoresInRecord,
	step.BodyStorePacket: oracle.StoresInPacket, step.BodyStoreKeys: oracle.StoresInKeys,
	step.BodyStaleRecord: oracle.UsesStaleRecord, step.BodyStaleSlice: oracle.UsesStaleSlice,
	step.BodyStoreContext: oracle.StoresInContext, step.BodyPassPointer: oracle.PassesPointer,
	step.BodyCompareNumber: oracle.ComparesNumber, step.BodyCompareConst: oracle.ComparesConst,
	step.BodyAtomicPointer: oracle.AddsPointer, step.BodySpillNumber: oracle.UsesSpilledNumber,
	step.BodyHelperSpill: oracle.HelperOverwritesSpill, step.BodyZeroSize: oracle.PassesNoBytes,
	step.BodyBeforeContext: oracle.ReadsBeforeContext,
}

func progAttr(a *actor, st *step.Step, s step.ProgShape) *oracle.ProgAttr {
	if !overrides(st) {
		return nil
	}
	fault, _ := st.Num(step.KeyAttr)
	body, _ := st.Num(step.KeyBody)
	at := &oracle.ProgAttr{
		Flags: or(st, step.KeyFlags, s.Flags), Insns: uint64(or(st, step.KeyInsns, smallest)),
		BadInsns: step.AttrFault(fault) == step.AttrInsns, BadName: badName(st), BadLog: badLog(st),
		Ifindex: or(st, step.KeyIfindex, 0), AttachID: attachID(st, &s), Body: bodies[step.Body(body)],
	}
	helper, _ := st.Num(step.KeyHelper)
	at.Helper = uapi.HelperOf(uint32(helper))
	if n, ok := st.Num(step.KeySign); ok {
		size := uint32(n)
		at.Sign, at.Ring = &size, int32(or(st, step.KeyRing, 0))
	}
	if _, at.Signed = st.Num(step.KeySigned); at.Signed {
		at.Sign, at.Ring = nil, int32(or(st, step.KeyRing, threadKeyring))
	}
	if h, ok := st.Num(step.KeyBound); ok {
		fd := a.fds[step.Handle(h)]
		at.Binds = &fd
	}
	if h, ok := st.Num(step.KeyMap); ok {
		fd := a.fds[step.Handle(h)]
		at.Uses = &fd
	}
	if h, ok := st.Num(step.KeyAttachFD); ok {
		fd := a.fds[step.Handle(h)]
		at.AttachFD = &fd
	}
	return at
}

// threadKeyring is KEY_SPEC_THREAD_KEYRING.
const threadKeyring = 1<<32 - 1

// maxBTFType is BTF_MAX_TYPE, include/uapi/linux/btf.h.
const maxBTFType = 0xfffff

// attachID is what kind of id a step gives as attach_btf_id.
func attachID(st *step.Step, s *step.ProgShape) oracle.AttachID {
	n, given := st.Num(step.KeyAttachBTFID)
	n &= 1<<32 - 1
	switch {
	case !given, s.Ext && n == step.FuncType:
		return oracle.OwnID
	case n == 0:
		return oracle.NoID
	case n > maxBTFType:
		return oracle.TooBigID
	case n == 1 || s.Ext:
		return oracle.FirstID
	}
	return oracle.OtherID
}

// badLog reports a log level that the kernel does not know, BPF_LOG_MASK.
func badLog(st *step.Step) bool { return or(st, step.KeyLog, 0)&^0xf != 0 }

func (a *actor) btfLoad(st *step.Step) *oracle.BTFLoad {
	_, junk := st.Num(step.KeyJunk)
	_, loop := st.Num(step.KeyLoop)
	return &oracle.BTFLoad{
		Token: a.tokenRef(st), Flags: or(st, step.KeyFlags, 0), BadLog: badLog(st), Junk: junk, Loop: loop,
		Fault: faultOf(st), NoFD: noFD(st),
	}
}
