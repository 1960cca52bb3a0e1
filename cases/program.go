// Package cases is the corpus: it reads case files, expands their axes into
// cases, attaches what the oracle expects, and selects by name.
package cases

import (
	"fmt"
	"strings"

	"tokentest/cases/oracle"
	"tokentest/cases/uapi"
)

// Program is what crosses to the guest: actors and the set-up steps that the
// cells of a world share. It holds no expectation.
type Program struct {
	Actors []Actor
	Setup  []Step
}

// ActorKind says where an actor's process lives.
type ActorKind uint8

// The kinds of actors.
const (
	Init   ActorKind = iota + 1 // in the initial namespaces
	Userns                      // in a user and mount namespace of its own
	Joins                       // a process of its own in another actor's namespaces
)

// Actor is a process that runs steps. Parent is the index of the actor that
// forks it, or -1 for the agent: a userns actor's namespace is a child of its
// parent's, a joins actor shares them. UID is the kuid outside that owns the
// namespace, or that the init actor runs as.
type Actor struct {
	Name   string
	Kind   ActorKind
	Parent int
	UID    uint32
	Caps   uapi.CapSet
}

// Handle numbers a descriptor within a program; each actor has its own
// descriptor under the number. 0 is none.
type Handle uint32

// ClosedFD is the handle that names a descriptor which is not open.
const ClosedFD Handle = 255

// Op is what a step does.
type Op uint8

// The operations of the case language.
const (
	OpBPFFS Op = iota + 1
	OpTokenCreate
	OpMapCreate
	OpProgLoad
	OpBTFLoad
	OpSend
	OpClose
	OpSysctl
	OpSysrq
)

// String returns the operation's name in a case file.
func (o Op) String() string {
	for _, s := range ops {
		if s.op == o {
			return s.name
		}
	}
	return fmt.Sprintf("op %d", uint8(o))
}

// Key names an argument of a step.
type Key uint8

// The arguments of steps.
const (
	KeyCmds Key = iota + 1
	KeyMaps
	KeyProgs
	KeyAttachs
	KeyBPFFS
	KeyToken
	KeyType
	KeyAttach
	KeyFlags
	KeyHandle
	KeyTo
	KeyValue
)

// Arg is one argument: a number, a handle or an actor's index in Num, or a
// string that the kernel gets as it stands in Str.
type Arg struct {
	Key Key
	Num uint64
	Str string
}

// Step is one act of an actor, with exactly the effective capabilities Caps.
type Step struct {
	Actor uint32
	Op    Op
	Caps  uapi.CapSet
	Args  []Arg
	Out   Handle
}

// Num returns a numeric argument and whether it is there.
func (s *Step) Num(k Key) (uint64, bool) {
	for i := range s.Args {
		if s.Args[i].Key == k {
			return s.Args[i].Num, true
		}
	}
	return 0, false
}

// Cell is the steps of one case behind its world's set-up.
type Cell []Step

// Proof says whether an object that a call made was seen to work.
type Proof uint8

// The proofs.
const (
	NoProof Proof = iota // nothing was made
	Works
	DoesNotWork
)

// Observation is what a step showed: the errno, for success the proof that
// the object works, and the numbers read back from it (for a token the four
// masks of its fdinfo).
type Observation struct {
	Errno  uapi.Errno `json:"errno"`
	Proof  Proof      `json:"proof,omitempty"`
	Values []uint64   `json:"values,omitempty"`
}

type argKind uint8

const (
	kindString argKind = iota
	kindNum
	kindHandle
	kindActor
	kindMapType
	kindProgType
	kindAttachType
)

type keySpec struct {
	key  Key
	name string
	kind argKind
	doc  string
}

type opSpec struct {
	op         Op
	name       string
	keys       []keySpec
	positional []Key
	makes      bool // may have "-> NAME"
	doc        string
}

var tokenKey = keySpec{KeyToken, "token", kindHandle, "the token to give, with BPF_F_TOKEN_FD; closed: a descriptor that is not open"}

// ops is the case language's table of operations; the parser, its help and
// its errors are made from it.
var ops = []opSpec{
	{OpBPFFS, "bpffs", []keySpec{
		{KeyCmds, "cmds", kindString, "delegate_cmds, as fsconfig(2) gets it; may be repeated"},
		{KeyMaps, "maps", kindString, "delegate_maps"},
		{KeyProgs, "progs", kindString, "delegate_progs"},
		{KeyAttachs, "attachs", kindString, "delegate_attachs"},
	}, nil, true, "the actor opens a bpffs, the broker sets the options and creates it, the actor mounts it"},
	{OpTokenCreate, "token_create", []keySpec{
		{KeyBPFFS, "bpffs", kindHandle, "the bpffs, or another descriptor, to make it from"},
		{KeyFlags, "flags", kindNum, "attr.flags"},
	}, nil, true, "BPF_TOKEN_CREATE"},
	{OpMapCreate, "map_create", []keySpec{
		{KeyType, "type", kindMapType, "the map type; the other attributes are well formed for it"}, tokenKey,
	}, nil, true, "BPF_MAP_CREATE"},
	{OpProgLoad, "prog_load", []keySpec{
		{KeyType, "type", kindProgType, "the program type; the program is a smallest one for it"},
		{KeyAttach, "attach", kindAttachType, "expected_attach_type; 0 when it is left out"}, tokenKey,
	}, nil, true, "BPF_PROG_LOAD"},
	{OpBTFLoad, "btf_load", []keySpec{tokenKey}, nil, true, "BPF_BTF_LOAD of a smallest BTF"},
	{OpSend, "send", []keySpec{
		{KeyHandle, "handle", kindHandle, "what to send"}, {KeyTo, "to", kindActor, "the actor that gets it, over SCM_RIGHTS"},
	}, []Key{KeyHandle, KeyTo}, false, "pass a descriptor to another actor"},
	{OpClose, "close", []keySpec{{KeyHandle, "handle", kindHandle, "what to close"}}, []Key{KeyHandle}, false, "close a descriptor"},
	{OpSysctl, "sysctl", []keySpec{
		{KeyValue, "unprivileged_bpf_disabled", kindNum, "0 or 2; it is 2 when a world begins"},
	}, nil, false, "the broker sets kernel.unprivileged_bpf_disabled"},
	{OpSysrq, "sysrq", []keySpec{
		{KeyValue, "key", kindString, "the letter for /proc/sysrq-trigger: c crashes the kernel"},
	}, []Key{KeyValue}, false, "provoke a fault, to test the harness itself"},
}

func opNamed(name string) *opSpec {
	for i := range ops {
		if ops[i].name == name {
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

func (o *opSpec) keyOf(k Key) *keySpec {
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
		names = append(names, o.name)
	}
	return strings.Join(names, " ")
}

// delegateOption returns the mount option that a key of bpffs sets.
func delegateOption(k Key) string {
	return oracle.DelegateOptions[k-KeyCmds].Name
}
