package step

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/uapi"
)

// Kind says what the value of an argument is.
type Kind uint8

// The kinds of values.
const (
	KindText   Kind = iota + 1 // as it stands, in Arg.Str; of all other kinds but KindOption the value is in Arg.Num
	KindOption                 // a text with octal escapes
	KindNum
	KindHandle
	KindActor
	KindMapType
	KindProgType
	KindAttachType
	KindCmd    // a command that call makes
	KindAnyCmd // any command
	KindErrno
	KindCap
	KindCaps
	KindHelper // a helper of uapi.Helpers
	KindFault  // from here on one of a few words: words has them
	KindBody
	KindOn
	KindHook
	KindPlace
	KindHow
	KindRace
	KindMake
	KindDo
	KindBuffer
	KindSpot
	KindForm
	KindBy
	KindFileDo
	KindWay
	KindBytes // a Blob, or bytes in Arg.Str
	KindBatch
	KindField
	KindXattrDo
	KindXattr
	KindDomain
	KindMode
	KindCommon

	// Kinds is the length of a table that is indexed by Kind; its place 0 is empty.
	Kinds
)

// words are the kinds of values that are one of a few words; index 0 is unused.
var words = [Kinds][]string{
	KindFault: AttrFaults, KindBody: Bodies, KindOn: Ons, KindHook: uapi.Hooks, KindPlace: Places, KindHow: Hows,
	KindRace: Races, KindMake: Makes, KindDo: Dos, KindBuffer: Buffers,
	KindSpot: Spots,
	KindForm: Forms, KindBy: Bys, KindFileDo: FileDos,
	KindBytes: Blobs, KindWay: RunWays,
	KindBatch: Batches, KindField: Fields,
	KindXattrDo: XattrDos, KindXattr: Xattrs,
	KindDomain: Domains, KindMode: Modes, KindCommon: Commons,
}

// Words returns the words of a kind whose values are one of a few, else nil.
func (k Kind) Words() []string { return words[k] }

// Word reads a word of the kind.
func (k Kind) Word(s string) (uint64, error) {
	if i := slices.Index(words[k], s); i > 0 {
		return uint64(i), nil
	}
	return 0, fmt.Errorf("unknown word %q: want one of %q", s, words[k][1:])
}

// AttrFault says how union bpf_attr is wrong as a whole.
type AttrFault uint8

// The faults.
const (
	AttrTail       AttrFault = iota + 1 // a byte after the command's last field is not 0
	AttrBeyond                          // a byte after the last one that the kernel knows is not 0
	AttrHuge                            // longer than a page, at an invalid address
	AttrUnreadable                      // at an invalid address
	AttrInsns                           // the instructions are at an invalid address
)

// AttrFaults are the faults as a case file spells them.
var AttrFaults = []string{
	AttrTail: "tail", AttrBeyond: "beyond", AttrHuge: "huge", AttrUnreadable: "unreadable", AttrInsns: "insns",
}

// Common is what the common attributes of a call ask for, or how they are wrong.
type Common uint8

// The attributes; package oracle says what each is.
const (
	CommonEmpty Common = iota + 1
	CommonLog
	CommonLength
	CommonPart
	CommonSame
	CommonOther
	CommonShort
	CommonBadBuffer
	CommonReadOnly
	CommonNoLevel
	CommonNoSize
	CommonBadLevel
	CommonBigSize
	CommonTail
	CommonHuge
	CommonUnreadable
)

// Commons are the attributes as a case file spells them.
var Commons = []string{
	CommonEmpty: "empty", CommonLog: "log", CommonLength: "length", CommonPart: "part", CommonSame: "same",
	CommonOther: "other", CommonShort: "short", CommonBadBuffer: "bad_buffer", CommonReadOnly: "read_only",
	CommonNoLevel: "no_level", CommonNoSize: "no_size", CommonBadLevel: "bad_level", CommonBigSize: "big_size",
	CommonTail: "tail", CommonHuge: "huge", CommonUnreadable: "unreadable",
}

// On is an object that a command treats differently from the usual object.
type On uint8

// The objects.
const (
	OnSkb     On = iota + 1 // a cgroup_skb program that root loaded without a token
	OnTCX                   // every tcx program of the loopback device
	OnPrivate               // a pinned map that only root may open
)

// Ons are the objects as a case file spells them.
var Ons = []string{OnSkb: "cgroup_skb", OnTCX: "tcx", OnPrivate: "private"}

// Places are the directories that file systems are mounted on, as a case file
// spells them; index 0 is unused. The last one is not a bpffs.
var Places = []string{"", "/mnt/a", "/mnt/b", "/mnt/c", "/mnt/d", "/tmp"}

// How says what open asks for.
type How uint8

// The ways to open.
const (
	HowDir  How = iota + 1 // O_RDONLY|O_DIRECTORY
	HowPath                // O_PATH
)

// Hows are the ways as a case file spells them.
var Hows = []string{HowDir: "dir", HowPath: "path"}

// Race is two things that an actor, or two of them, do at the same time.
type Race uint8

// The races.
const (
	RaceCreateUmount Race = iota + 1 // TOKEN_CREATE while the bpffs is unmounted and its descriptor closed
	RaceUseClose                     // MAP_CREATE with a token that another thread closes
	RaceDelegateExit                 // the broker delegates while the last process of the namespace exits
)

// Races are the races as a case file spells them.
var Races = []string{RaceCreateUmount: "create_umount", RaceUseClose: "use_close", RaceDelegateExit: "delegate_exit"}

// Do is what is done with an element of a map.
type Do uint8

// What OpElement does.
const (
	DoUpdate Do = iota + 1
	DoLookup
	DoDelete
)

// Dos are the ways as a case file spells them.
var Dos = []string{DoUpdate: "update", DoLookup: "lookup", DoDelete: "delete"}

// Batch is a batch command.
type Batch uint8

// The batch commands.
const (
	BatchUpdate Batch = iota + 1
	BatchLookup
	BatchDelete
	BatchTake // look up and delete
)

// Batches are the commands as a case file spells them.
var Batches = []string{BatchUpdate: "update", BatchLookup: "lookup", BatchDelete: "delete", BatchTake: "take"}

// Field is a special field of a map's value.
type Field uint8

// The fields.
const (
	FieldTimer Field = iota + 1
	FieldWorkqueue
	FieldTaskWork
	FieldKptr
	FieldRefcount
	FieldResLock
	FieldListHead // with a bpf_spin_lock
	FieldRbRoot   // likewise
	FieldUptr
)

// Fields are the fields as a case file spells them.
var Fields = []string{
	FieldTimer: "timer", FieldWorkqueue: "workqueue", FieldTaskWork: "task_work", FieldKptr: "kptr",
	FieldRefcount: "refcount", FieldResLock: "res_lock", FieldListHead: "list_head", FieldRbRoot: "rb_root",
	FieldUptr: "uptr",
}

// FieldShape is what the kernel knows a field by: the name of a struct of its own and its size.
type FieldShape struct {
	Struct string // of a kptr and of a uptr, what it points to
	Size   uint32 // of the field, and of the value that holds it alone
	Since  uapi.Release
	Node   string // of the root of a list or a tree: the struct by which others are a part of it
	Linked uint32 // its size
}

// FieldShapes are the fields' rows.
var FieldShapes = []FieldShape{
	FieldTimer:     {Struct: "bpf_timer", Size: 16, Since: uapi.Release{Major: 5, Minor: 15}},
	FieldWorkqueue: {Struct: "bpf_wq", Size: 16, Since: uapi.Release{Major: 6, Minor: 10}},
	FieldTaskWork:  {Struct: "bpf_task_work", Size: 8, Since: uapi.Release{Major: 6, Minor: 18}},
	FieldKptr:      {Struct: "task_struct", Size: 8, Since: uapi.Release{Major: 6, Minor: 4}},
	FieldRefcount:  {Struct: "bpf_refcount", Size: 4, Since: uapi.Release{Major: 6, Minor: 6}},
	FieldResLock:   {Struct: "bpf_res_spin_lock", Size: 4, Since: uapi.Release{Major: 6, Minor: 15}},
	FieldListHead: {Struct: "bpf_list_head", Size: 16, Since: uapi.Release{Major: 6, Minor: 2},
		Node: "bpf_list_node", Linked: 24},
	FieldRbRoot: {Struct: "bpf_rb_root", Size: 16, Since: uapi.Release{Major: 6, Minor: 3},
		Node: "bpf_rb_node", Linked: 32},
	FieldUptr: {Struct: "tokentest_part", Size: 8, Since: uapi.Release{Major: 6, Minor: 13}},
}

// Points reports whether the field is a pointer to a struct.
func (f Field) Points() bool { return f == FieldKptr || f == FieldUptr }

// Roots reports whether the field is the root of a list or a tree.
func (f Field) Roots() bool { return FieldShapes[f].Node != "" }

// FieldNeeds is the option that a step's special field needs: bpf_find_btf_id looks up what a pointer points to.
func FieldNeeds(s *Step) string {
	if f, _ := s.Num(KeyField); Field(f).Points() {
		return "DEBUG_INFO_BTF"
	}
	return ""
}

// Sizes are the sizes of the types of the BTF that btf_load makes with a field; LockType is the value's.
func (f Field) Sizes() []uint32 {
	s := FieldShapes[f]
	switch {
	case f.Points():
		return []uint32{4, 4, s.Size, 4, s.Size} // int, the struct, the value, its type tag, the pointer
	case f.Roots(): // int, the struct, the value, its lock, the node's struct, what has it
		return []uint32{4, s.Size, 8 + s.Size, 4, s.Linked, s.Linked}
	}
	return []uint32{4, s.Size, s.Size}
}

// Buffer is where a program leaves what a process reads.
type Buffer uint8

// The buffers.
const (
	BufferRing Buffer = iota + 1 // a ringbuf map, mapped into memory
	BufferPerf                   // a perf_event_array map with the reader's perf events
)

// Buffers are the buffers as a case file spells them.
var Buffers = []string{BufferRing: "ring", BufferPerf: "perf"}

// Make is what an application makes.
type Make uint8

// What the application of OpLibrary makes.
const (
	MakeQueue    Make = iota + 1 // a queue
	MakeBTF                      // a map that names a BTF, which the library loads
	MakeProg                     // an XDP program that calls helpers for CAP_BPF and CAP_PERFMON
	MakeFreplace                 // an XDP program with a BTF, and one that replaces its function
)

// MakeNeeds are the options that compile in the helper or the program type that the application needs.
var MakeNeeds = map[Make]string{MakeProg: "BPF_EVENTS", MakeFreplace: extConfig}

// Makes are what it makes as a case file spells it.
var Makes = []string{MakeQueue: "queue", MakeBTF: "btf", MakeProg: "prog", MakeFreplace: "freplace"}

// Blob is memory that a member of a raw attribute points to.
type Blob uint8

// The blobs.
const (
	BlobExit    Blob = iota + 1 // the instructions r0 = 0; exit
	BlobLicense                 // the text GPL
	BlobBTF                     // a smallest BTF
)

// Blobs are the blobs as a case file spells them.
var Blobs = []string{BlobExit: "exit", BlobLicense: "license", BlobBTF: "btf"}

// MaxAttr is how long an attribute can be: a page, bpf_check_uarg_tail_zero.
const MaxAttr = 4096

// RunWay says which capabilities a program gets.
type RunWay uint8

// The ways.
const (
	WayAmbient RunWay = iota + 1 // as ambient ones, with SECBIT_NOROOT
	WayExec                      // what execve(2) makes of them
)

// RunWays are the ways as a case file spells them.
var RunWays = []string{WayAmbient: "ambient", WayExec: "exec"}

// AnyCode in the place of an exit status: any.
const AnyCode = "?"

// OwnProgram is a program that the guest has: it makes a hash with the token that is its
// descriptor 3, and ends with the errno.
const OwnProgram = "make_hash"

// RunPlace is where the guest has a program that steps call by this name.
func RunPlace(name string) string {
	return "/run.d/" + strings.ReplaceAll(strings.Trim(name, "/"), "/", "_")
}
