package cases

import (
	"slices"
	"strings"

	"tokentest/cases/step"
)

type argKind uint8

const (
	kindString argKind = iota
	kindOption         // a string with octal escapes
	kindNum
	kindHandle
	kindActor
	kindMapType
	kindProgType
	kindAttachType
	kindFault
	kindBody
	kindCmd
	kindOn
	kindHook
	kindErrno
	kindAnyCmd
	kindCap
	kindMake
	kindPlace
	kindHow
	kindRace
	kindDo
	kindBuffer
	kindCaps
)

type keySpec struct {
	key  step.Key
	name string
	kind argKind
	doc  string
}

type opSpec struct {
	op         step.Op
	keys       []keySpec
	positional []step.Key
	makes      bool // may have "-> NAME"
	doc        string
	required   []step.Key // of those that are not positional
	either     []step.Key // exactly one of them
}

var tokenKey = keySpec{step.KeyToken, "token", kindHandle, "the token to give, with BPF_F_TOKEN_FD; closed: a descriptor that is not open"}

var (
	tokenFDKey = keySpec{step.KeyTokenFD, "token_fd", kindHandle, "a token without BPF_F_TOKEN_FD"}
	attrKey    = keySpec{step.KeyAttr, "attr", kindFault, "what is wrong with the attribute as a whole: tail, beyond, huge, unreadable; insns for a program's instructions"}
	flagsKey   = keySpec{step.KeyFlags, "flags", kindNum, "the flags, instead of the type's own"}
	logKey     = keySpec{step.KeyLog, "log", kindNum, "the log level"}
	nameKey    = keySpec{step.KeyName, "name", kindString, "the object's name"}
	ifindexKey = keySpec{step.KeyIfindex, "ifindex", kindNum, "the device to offload to"}
)

// ops is the case language's table of operations; the parser, its help and
// its errors are made from it.
var ops = slices.Concat(bpfOps, mountOps, lifeOps)

var bpfOps = []opSpec{
	{op: step.OpBPFFS, keys: append(slices.Clone(optionKeys), atKey), makes: true,
		doc: "the actor opens a bpffs, the broker sets the options and creates it, the actor mounts it (at the place, if one is named) and opens its root"},
	{op: step.OpTokenCreate, keys: []keySpec{
		{step.KeyBPFFS, "bpffs", kindHandle, "the bpffs, or another descriptor, to make it from"},
		{step.KeyFlags, "flags", kindNum, "attr.flags"}, attrKey, insideKey, thenKey,
		noFDKey,
	}, makes: true, doc: "BPF_TOKEN_CREATE"},
	{op: step.OpMapCreate, keys: []keySpec{
		{step.KeyType, "type", kindMapType, "the map type; the other attributes are well formed for it"}, tokenKey, tokenFDKey, attrKey, flagsKey, nameKey, ifindexKey, insideKey, thenKey,
		{step.KeyKeySize, "key", kindNum, "key_size"},
		{step.KeyValueSize, "value", kindNum, "value_size"},
		{step.KeyMaxEntries, "max", kindNum, "max_entries"},
		{step.KeyExtra, "extra", kindNum, "map_extra"},
		{step.KeyNUMA, "numa", kindNum, "numa_node, for BPF_F_NUMA_NODE among the flags"},
		{step.KeyInner, "inner", kindHandle, "inner_map_fd"},
		{step.KeyBTF, "btf", kindHandle, "btf_fd"},
		{step.KeyBTFKey, "btf_key", kindNum, "btf_key_type_id"},
		{step.KeyBTFValue, "btf_value", kindNum, "btf_value_type_id"},
		{step.KeyVmlinux, "vmlinux", kindNum, "btf_vmlinux_value_type_id"},
		noFDKey, memlockKey, fromKernelKey,
	}, makes: true, doc: "BPF_MAP_CREATE"},
	{op: step.OpProgLoad, keys: []keySpec{
		{step.KeyType, "type", kindProgType, "the program type; the program is a smallest one for it"},
		{step.KeyAttach, "attach", kindAttachType, "expected_attach_type; 0 when it is left out"}, tokenKey, tokenFDKey, attrKey, flagsKey, nameKey, ifindexKey, logKey, insideKey, thenKey,
		{step.KeyInsns, "insns", kindNum, "the number of instructions"},
		{step.KeyAttachBTFID, "attach_btf_id", kindNum, "attach_btf_id"},
		{step.KeyAttachFD, "attach_fd", kindHandle, "attach_prog_fd"},
		{step.KeyBody, "prog", kindBody, "a program that wants a privilege: jiffies64, get_current_task, ..."},
		{step.KeyMap, "map", kindHandle, "the program looks up the element under key 0 of this map"},
		noFDKey,
	}, makes: true, doc: "BPF_PROG_LOAD"},
	{op: step.OpBTFLoad, keys: []keySpec{tokenKey, tokenFDKey, attrKey, flagsKey, logKey, insideKey, thenKey,
		{step.KeyJunk, "junk", kindNum, "1: no BTF"},
		{step.KeyLock, "lock", kindNum, "1: with type 3, a struct that holds a bpf_spin_lock"}, noFDKey,
	}, makes: true, doc: "BPF_BTF_LOAD of a smallest BTF"},
	{op: step.OpSend, keys: []keySpec{
		{step.KeyHandle, "handle", kindHandle, "what to send"}, {step.KeyTo, "to", kindActor, "the actor that gets it, over SCM_RIGHTS"},
	}, positional: []step.Key{step.KeyHandle, step.KeyTo}, doc: "pass a descriptor to another actor"},
	{op: step.OpClose, keys: []keySpec{{step.KeyHandle, "handle", kindHandle, "what to close"}}, positional: []step.Key{step.KeyHandle}, doc: "close a descriptor"},
	{op: step.OpSysctl, keys: []keySpec{
		{step.KeyValue, "unprivileged_bpf_disabled", kindNum, "0, 1 or 2; it is 2 when a world begins. 1 is for good: worlds that set it run last"},
	}, doc: "the broker sets kernel.unprivileged_bpf_disabled"},
	{op: step.OpSysrq, keys: []keySpec{
		{step.KeyValue, "key", kindString, "the letter for /proc/sysrq-trigger: c crashes the kernel"},
	}, positional: []step.Key{step.KeyValue}, doc: "provoke a fault, to test the harness itself"},
	{op: step.OpCall, keys: []keySpec{
		{step.KeyCmd, "cmd", kindCmd, "the command, by name or number; the request is a smallest well-formed one on objects that root made"},
		tokenKey, attrKey,
		{step.KeyOn, "on", kindOn, "what else it is about: cgroup_skb, tcx, private"},
		{step.KeyProg, "prog", kindHandle, "the cgroup_skb program to attach"},
		{step.KeyID, "id", kindNum, "an id that nothing has"},
		{step.KeyCommon, "common", kindNum, "1: with BPF_COMMON_ATTRS"},
	}, doc: "any other command of bpf(2)"},
}

func init() {
	ops = slices.Concat(ops, lsmOps, limitOps)
	ops = append(ops, parityOps...)
	ops = append(ops, opSpec{op: step.OpReopen, keys: []keySpec{{step.KeyHandle, "handle", kindHandle, "what to open again"}}, positional: []step.Key{step.KeyHandle}, makes: true,
		doc: "open a descriptor again through /proc/self/fd, which knows no token behind one"})
}

func opNamed(name string) *opSpec {
	for i := range ops {
		if ops[i].op.String() == name {
			return &ops[i]
		}
	}
	return nil
}

func (o *opSpec) key(name string) *keySpec {
	for i := range o.keys {
		if o.keys[i].name == name {
			return &o.keys[i]
		}
	}
	return nil
}

func (o *opSpec) keyOf(k step.Key) *keySpec {
	for i := range o.keys {
		if o.keys[i].key == k {
			return &o.keys[i]
		}
	}
	return nil
}

func opNames() string {
	var names []string
	for _, o := range ops {
		names = append(names, o.op.String())
	}
	return strings.Join(names, " ")
}
