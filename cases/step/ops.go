package step

import (
	"fmt"
	"slices"
)

// Op is what a step does.
type Op uint8

// The operations of the case language, in the order in which help lists them.
// A number crosses to the guest within one build and is stored nowhere: a
// record has an operation's name.
const (
	// The commands of bpf(2), and what a world consists of.
	OpBPFFS Op = iota + 1
	OpTokenCreate
	OpMapCreate
	OpProgLoad
	OpBTFLoad
	OpSend
	OpClose
	OpSysctl
	OpSysrq
	OpCall

	// Around a bpffs: its context, its mounts and its root.
	OpFsopen
	OpFsconfig
	OpFscreate
	OpFsreconfigure
	OpFspick
	OpFsmount
	OpMoveMount
	OpMount
	OpRemount
	OpBind
	OpCloneMount
	OpShare
	OpUmount
	OpOpen
	OpMkdir
	OpChmod
	OpStat
	OpMountinfo
	OpFdinfo
	OpTokenInfo
	OpPin
	OpLink

	// A descriptor's and an actor's life.
	OpDup
	OpCloexec
	OpExec
	OpFork
	OpExit
	OpUserns
	OpNetns
	OpSetns
	OpPidfdGetfd
	OpProcOpen
	OpChurn
	OpNamespaces
	OpRace

	// BPF-LSM programs.
	OpLSM
	OpLSMOff
	OpLSMRan

	OpMemory

	// What the kernel's own selftests look at beside the answer of a call.
	OpKallsyms
	OpLibrary
	OpElement
	OpObjGet
	OpConsume
	OpBarriers

	OpReopen
	OpMountAttr
	OpFile
	OpProcFdinfo
	OpXattr
	OpFileMax

	// What a program is attached to.
	OpLinkCreate
	OpProgAttach
	OpProgDetach
	OpLinkUpdate
	OpLinkDetach
	OpIterCreate
	OpAttached
	// A command that the language does not know.
	OpRaw

	OpRun

	// Objects that a process holds, and sysctls that it writes.
	OpFreeze
	OpBatch
	OpProgInfo
	OpWriteSysctl
	OpKernelBTF
	OpTranslated
	OpRunProg
	OpSymlink
	OpSELinux
	OpLinkInfo
	OpQueryEvent
	OpMmap

	// Ops is the length of a table that is indexed by Op; its place 0 is empty.
	Ops
)

// Who says who does an operation in the guest.
type Who uint8

// Those who do an operation.
const (
	// ByWorker is the actor, on a thread with the step's capabilities.
	ByWorker Who = iota + 1
	// ByLeader is the actor's first thread: the operation only looks, and a thread that
	// dropped its privileges may not read its own process's files in /proc.
	ByLeader
	// ByBroker is the agent, which has every privilege in the initial namespaces.
	ByBroker
	// ByBoth is the agent, which then has the actor make the call.
	ByBoth
)

// Shows says what a step shows in addition to its errno, if it is allowed.
type Shows uint8

// What steps show.
const (
	ShowsNothing Shows = iota
	ShowsObject        // whether what was made, or done, works
	ShowsMasks         // the four masks of a token
	ShowsText          // a text that the kernel shows
	ShowsCount         // how many objects were left
	ShowsErrnos        // the errnos that came
)

// Drawn says how often an operation is drawn at random. One that is never
// drawn has a reason.
type Drawn struct {
	Setup int    // its weight among the acts of a set-up
	Cell  int    // its weight among the calls that are asked about
	Along bool   // another act has it as a part, or it has its own place in a set-up
	Never string // why it is not drawn
}

// Operation is a row of the table of operations. How an operation is simulated,
// done in the guest and drawn stands in the tables of cases/sim, harness/guest and
// cases/draw; each is indexed by Op, and a test compares it with this one.
type Operation struct {
	Name   string
	Doc    string // what it does, for help
	Params []Param
	Makes  bool // it makes a descriptor: a step may have "-> NAME"
	Who    Who
	Shows  Shows
	// Caps says that the step's capabilities play a part in the answer.
	Caps bool
	// Timed says that a benchmark can make the call again and again.
	Timed bool
	// Long says that it can take long, so that the guest must report progress meanwhile.
	Long   bool
	Config string // the symbols that compile in what it needs
	Drawn  Drawn
}

// Use says how a step gives an argument.
type Use uint8

// The ways to give an argument.
const (
	Optional   Use = iota // KEY=VALUE, or not at all
	Positional            // VALUE, in its place among the positional ones
	Required              // KEY=VALUE
	OneOf                 // KEY=VALUE, and exactly one of all that are OneOf
)

// Param is an argument that an operation takes.
type Param struct {
	Key  Key
	Name string
	Kind Kind
	Doc  string
	Use  Use
	// Point says that a step without the argument tests nothing.
	Point bool
	// Rest says that it is the last of the positional ones and takes all further words.
	Rest bool
	// At says that NAME@OFFSET=VALUE gives it, as often as there are members.
	At bool
}

// Spelling is the argument's name as a case file spells it.
func (p *Param) Spelling() string {
	if p.At {
		return p.Name + "@OFFSET="
	}
	return p.Name + "="
}

// Same reports whether two parameters are the same but for how a step gives them.
func (p Param) Same(q Param) bool {
	p.Use, p.Point = q.Use, q.Point
	return p == q
}

func (p Param) as(u Use) Param {
	p.Use = u
	return p
}

func (p Param) point() Param {
	p.Point = true
	return p
}

// The arguments that several operations take.
var (
	paramToken = Param{Key: KeyToken, Name: "token", Kind: KindHandle,
		Doc: "the token to give, with BPF_F_TOKEN_FD; closed: a descriptor that is not open"}
	paramTokenFD = Param{Key: KeyTokenFD, Name: "token_fd", Kind: KindHandle, Doc: "a token without BPF_F_TOKEN_FD"}
	paramAttr    = Param{Key: KeyAttr, Name: "attr", Kind: KindFault,
		Doc: "the fault of the attribute as a whole: tail, beyond, huge, unreadable; " +
			"insns for a program's instructions"}
	paramFlags   = Param{Key: KeyFlags, Name: "flags", Kind: KindNum, Doc: "the flags, instead of the type's own"}
	paramLog     = Param{Key: KeyLog, Name: "log", Kind: KindNum, Doc: "the log level"}
	paramName    = Param{Key: KeyName, Name: "name", Kind: KindText, Doc: "the object's name"}
	paramIfindex = Param{Key: KeyIfindex, Name: "ifindex", Kind: KindNum, Doc: "the device to offload to"}
	paramInside  = Param{Key: KeyInside, Name: "inside", Kind: KindHandle,
		Doc: "a user namespace to setns(2) into first, in a process of its own"}
	paramThen = Param{Key: KeyThen, Name: "then", Kind: KindCaps,
		Doc: "with inside=: the effective capabilities after entering, instead of all"}
	paramNoFD = Param{Key: KeyNoFD, Name: "no_fd", Kind: KindNum,
		Doc: "1: while the process may open no more descriptors"}
	paramMemlock = Param{Key: KeyMemlock, Name: "memlock", Kind: KindNum,
		Doc: "with this RLIMIT_MEMLOCK, which bounds maps before 5.11"}
	paramAs = Param{Key: KeyAsUID, Name: "uid", Kind: KindNum,
		Doc: "of a call: as this uid of the actor's user namespace, instead of the actor's"}
	paramCompat = Param{Key: KeyCompat, Name: "compat", Kind: KindNum,
		Doc: "1: as a program of 32 bits makes it, by int 0x80"}
	paramSandbox = Param{Key: KeySandbox, Name: "landlock", Kind: KindNum,
		Doc: "1: by a thread with a Landlock domain, in which no access to files is allowed"}
	paramDomain = Param{Key: KeyDomain, Name: "selinux", Kind: KindDomain,
		Doc: "by a thread in this SELinux domain, which lacks what its name says; a step selinux comes before"}
	paramCommon = Param{Key: KeyCommon, Name: "common", Kind: KindCommon,
		Doc: "with BPF_COMMON_ATTRS and attributes that have: empty, no length; log, a log with room; length, log_level " +
			"alone; part, a log, without log_true_size; same or other, a log, and the command's own attributes name the same " +
			"or another; short, a log of one byte; bad_buffer, a log at an invalid address; read_only, a log, in memory that " +
			"cannot be written; no_level, no_size, bad_level, big_size: a log of which one member is wrong; tail, a byte " +
			"after the last field; huge, more than a page; unreadable, an invalid address"}
	paramFromKernel = Param{Key: KeyFromKernel, Name: "kernel", Kind: KindNum,
		Doc: "1: the kernel itself makes the call, for a program (BPF_PROG_TYPE_SYSCALL) " +
			"that root has loaded and the actor runs"}
	paramAt = Param{Key: KeyAt, Name: "at", Kind: KindPlace,
		Doc: "the place: /mnt/a to /mnt/d, or any other absolute path, of which the last part is made if need be; " +
			"each actor has its own mounts unless it joins another"}
	paramIn      = Param{Key: KeyIn, Name: "in", Kind: KindHandle, Doc: "the directory", Use: Required}
	paramNewName = Param{Key: KeyPath, Name: "name", Kind: KindText, Doc: "the new name", Use: Required}
	paramFrom    = Param{Key: KeyFrom, Name: "from", Kind: KindActor, Use: Required,
		Doc: "the actor whose descriptor it is"}
	paramContext = Param{Key: KeyContext, Name: "context", Kind: KindHandle,
		Doc: "the descriptor of fsopen or fspick", Use: Positional}
	paramLSM = Param{Key: KeyHandle, Name: "program", Kind: KindHandle, Doc: "the BPF-LSM program", Use: Positional}
)

// The arguments of the operations that attach programs.
var (
	paramProgram = Param{Key: KeyHandle, Name: "program", Kind: KindHandle, Doc: "the program", Use: Positional}
	paramSpot    = Param{Key: KeySpot, Name: "to", Kind: KindSpot, Use: Required,
		Doc: "the target: xdp, tcx, ... on the loopback device; cgroup_* on a cgroup; sk_lookup, flow_dissector on the " +
			"network namespace; fentry, lsm, iter, ..., where the program says which"}
	paramAttachFlags = Param{Key: KeyFlags, Name: "flags", Kind: KindNum,
		Doc: "BPF_F_ALLOW_OVERRIDE 1, BPF_F_ALLOW_MULTI 2, BPF_F_REPLACE 4, BPF_F_BEFORE 8, BPF_F_AFTER 16, BPF_F_ID 32"}
	paramRelative   = Param{Key: KeyRelative, Name: "relative", Kind: KindHandle, Doc: "relative_fd: a program or a link"}
	paramRelativeID = Param{Key: KeyID, Name: "id", Kind: KindNum, Doc: "relative_id: an id that no object has"}
	paramAttrTail   = Param{Key: KeyAttr, Name: "attr", Kind: KindFault,
		Doc: "the fault of the attribute as a whole: tail, beyond, huge, unreadable"}
)

// paramHandle is the descriptor that an operation is about.
func paramHandle(doc string) Param {
	return Param{Key: KeyHandle, Name: "handle", Kind: KindHandle, Doc: doc, Use: Positional}
}

// mountOptions are the options that a step may set, in the order in which it names them.
var mountOptions = []Param{
	{Key: KeyCmds, Name: "cmds", Kind: KindOption,
		Doc: "delegate_cmds, as fsconfig(2) gets it; may be repeated. " +
			`\040 is a space, \012 a newline: escapes as mountinfo has them`},
	{Key: KeyMaps, Name: "maps", Kind: KindOption, Doc: "delegate_maps"},
	{Key: KeyProgs, Name: "progs", Kind: KindOption, Doc: "delegate_progs"},
	{Key: KeyAttachs, Name: "attachs", Kind: KindOption, Doc: "delegate_attachs"},
	{Key: KeyUID, Name: "uid", Kind: KindOption, Doc: "the root directory's owner"},
	{Key: KeyGID, Name: "gid", Kind: KindOption, Doc: "the root directory's group"},
	{Key: KeyMode, Name: "mode", Kind: KindOption, Doc: "the root directory's permission bits, octal"},
	{Key: KeyUnknown, Name: "unknown", Kind: KindOption, Doc: "an option that bpffs does not have"},
}

// operations is the table.
var operations = [Ops]Operation{
	OpBPFFS: {
		Name: "bpffs", Makes: true, Who: ByBroker, Shows: ShowsObject, Drawn: Drawn{Setup: 3, Along: true},
		Doc: "the actor opens a bpffs, the broker sets the options and creates it, " +
			"the actor mounts it (at the place, if one is named) and opens its root",
		Params: append(slices.Clone(mountOptions), paramAt),
	},
	OpTokenCreate: {
		Name: "token_create", Makes: true, Who: ByWorker, Shows: ShowsMasks, Caps: true, Timed: true,
		Drawn: Drawn{Setup: 66, Cell: 6}, Doc: "BPF_TOKEN_CREATE",
		Params: []Param{
			Param{Key: KeyBPFFS, Name: "bpffs", Kind: KindHandle,
				Doc: "the bpffs, or another descriptor, to make it from"}.point(),
			{Key: KeyFlags, Name: "flags", Kind: KindNum, Doc: "attr.flags"},
			paramAttr, paramCommon, paramInside, paramThen, paramNoFD,
			{Key: KeyUmask, Name: "umask", Kind: KindText, Doc: "the process's umask, octal"},
			paramAs, paramCompat, paramSandbox, paramDomain,
		},
	},
	OpMapCreate: {
		Name: "map_create", Makes: true, Who: ByWorker, Shows: ShowsObject, Caps: true, Timed: true,
		Drawn: Drawn{Cell: 24, Along: true}, Doc: "BPF_MAP_CREATE",
		Params: []Param{
			Param{Key: KeyType, Name: "type", Kind: KindMapType,
				Doc: "the map type; the other attributes are well formed for it"}.point(),
			paramToken, paramTokenFD, paramAttr, paramCommon, paramFlags, paramName, paramIfindex, paramInside, paramThen,
			{Key: KeyKeySize, Name: "key", Kind: KindNum, Doc: "key_size"},
			{Key: KeyValueSize, Name: "value", Kind: KindNum, Doc: "value_size"},
			{Key: KeyMaxEntries, Name: "max", Kind: KindNum, Doc: "max_entries"},
			{Key: KeyExtra, Name: "extra", Kind: KindNum, Doc: "map_extra"},
			{Key: KeyNUMA, Name: "numa", Kind: KindNum, Doc: "numa_node, for BPF_F_NUMA_NODE among the flags"},
			{Key: KeyInner, Name: "inner", Kind: KindHandle, Doc: "inner_map_fd"},
			{Key: KeyBTF, Name: "btf", Kind: KindHandle, Doc: "btf_fd"},
			{Key: KeyBTFKey, Name: "btf_key", Kind: KindNum, Doc: "btf_key_type_id"},
			{Key: KeyBTFValue, Name: "btf_value", Kind: KindNum, Doc: "btf_value_type_id"},
			{Key: KeyVmlinux, Name: "vmlinux", Kind: KindNum, Doc: "btf_vmlinux_value_type_id"},
			{Key: KeyHash, Name: "excl", Kind: KindNum, Doc: "excl_prog_hash, with this size: a map of one program alone"},
			{Key: KeyOwnHash, Name: "excl_signed", Kind: KindNum, Doc: "1: excl_prog_hash of the program that signed=1 signs"},
			paramNoFD, paramMemlock, paramFromKernel, paramAs, paramCompat, paramDomain,
		},
	},
	OpProgLoad: {
		Name: "prog_load", Makes: true, Who: ByWorker, Shows: ShowsObject, Caps: true, Timed: true,
		Drawn: Drawn{Setup: 22, Cell: 24}, Doc: "BPF_PROG_LOAD",
		Params: []Param{
			Param{Key: KeyType, Name: "type", Kind: KindProgType,
				Doc: "the program type; the program is a smallest one for it"}.point(),
			{Key: KeyAttach, Name: "attach", Kind: KindAttachType, Doc: "expected_attach_type; 0 when it is left out"},
			paramToken, paramTokenFD, paramAttr, paramCommon, paramFlags, paramName, paramIfindex, paramLog, paramInside,
			paramThen,
			{Key: KeyInsns, Name: "insns", Kind: KindNum, Doc: "the number of instructions"},
			{Key: KeyAttachBTFID, Name: "attach_btf_id", Kind: KindNum, Doc: "attach_btf_id"},
			{Key: KeyAttachFD, Name: "attach_fd", Kind: KindHandle, Doc: "attach_prog_fd"},
			{Key: KeyBody, Name: "prog", Kind: KindBody,
				Doc: "a program that needs a privilege: jiffies64, get_current_task, ..."},
			{Key: KeyHelper, Name: "helper", Kind: KindHelper, Doc: "the program calls this helper"},
			{
				Key:  KeyMap,
				Name: "map",
				Kind: KindHandle,
				Doc:  "the program looks up the element under key 0 of this map, or does with it what prog= says",
			},
			{Key: KeySign, Name: "sign", Kind: KindNum, Doc: "a signature of this length, which is no signature"},
			{Key: KeyRing, Name: "keyring", Kind: KindNum, Doc: "keyring_id"},
			{Key: KeySigned, Name: "signed", Kind: KindNum,
				Doc: "1: the signature of the smallest program that returns 2 (xdp, ext), with fd_array= of it and four zeros, " +
					"and its key in the thread's keyring"},
			{Key: KeyBound, Name: "fd_array", Kind: KindHandle, Doc: "fd_array with one descriptor: a map or a BTF"},
			{Key: KeyLines, Name: "lines", Kind: KindNum, Doc: "1: with a function and a line of source, in a BTF of root's"},
			paramNoFD, paramAs, paramCompat, paramDomain,
		},
	},
	OpBTFLoad: {
		Name: "btf_load", Makes: true, Who: ByWorker, Shows: ShowsObject, Caps: true, Timed: true,
		Drawn: Drawn{Cell: 12, Along: true}, Doc: "BPF_BTF_LOAD of a smallest BTF",
		Params: []Param{
			paramToken, paramTokenFD, paramAttr, paramCommon, paramFlags, paramLog, paramInside, paramThen,
			{Key: KeyJunk, Name: "junk", Kind: KindNum, Doc: "1: invalid BTF"},
			{Key: KeyLock, Name: "lock", Kind: KindNum, Doc: "1: with type 3, a struct that holds a bpf_spin_lock"},
			{Key: KeyLoop, Name: "loop", Kind: KindNum, Doc: "1: with type 2, a typedef of itself"},
			{Key: KeyField, Name: "field", Kind: KindField, Doc: "with type 3, a struct that holds this special field"},
			paramNoFD, paramAs, paramCompat, paramDomain,
		},
	},
	OpSend: {
		Name: "send", Who: ByBroker, Drawn: Drawn{Setup: 110}, Doc: "pass a descriptor to another actor",
		Params: []Param{
			paramHandle("what to send"),
			{Key: KeyTo, Name: "to", Kind: KindActor, Doc: "the actor that gets it, over SCM_RIGHTS", Use: Positional},
		},
	},
	OpClose: {
		Name: "close", Who: ByWorker, Drawn: Drawn{Setup: 11}, Doc: "close a descriptor",
		Params: []Param{paramHandle("what to close")},
	},
	OpSysctl: {
		Name: "sysctl", Who: ByBroker, Drawn: Drawn{Along: true}, Doc: "the broker sets kernel.unprivileged_bpf_disabled",
		Params: []Param{
			Param{Key: KeyValue, Name: "unprivileged_bpf_disabled", Kind: KindNum,
				Doc: "0, 1 or 2; a world begins with 2. 1 cannot be changed: worlds that set it run last"}.point(),
		},
	},
	OpSysrq: {
		Name: "sysrq", Who: ByBroker, Drawn: Drawn{Never: "it crashes the kernel"},
		Doc: "provoke a fault, to test the harness itself",
		Params: []Param{
			{Key: KeyValue, Name: "key", Kind: KindText,
				Doc: "the letter for /proc/sysrq-trigger: c crashes the kernel", Use: Positional},
		},
	},
	OpCall: {
		Name: "call", Makes: true, Who: ByWorker, Shows: ShowsObject, Caps: true, Timed: true,
		Drawn: Drawn{Cell: 24}, Doc: "any other command of bpf(2)",
		Params: []Param{
			Param{Key: KeyCmd, Name: "cmd", Kind: KindCmd, Use: Required,
				Doc: "the command, by name or number; the request is a smallest well-formed one " +
					"on objects that root made"}.point(),
			paramToken,
			{Key: KeyTokenAt, Name: "token_at", Kind: KindNum,
				Doc: "where the command's attribute has the token's descriptor, for a command that has no place for a token"},
			{Key: KeyFlagAt, Name: "flag_at", Kind: KindNum,
				Doc: "with token_at=: where its 32-bit flags are, to set BPF_F_TOKEN_FD among them"},
			paramAttr,
			{Key: KeyOn, Name: "on", Kind: KindOn, Doc: "another object than the usual one: cgroup_skb, tcx, private"},
			{Key: KeyProg, Name: "prog", Kind: KindHandle, Doc: "the cgroup_skb program to attach"},
			{Key: KeyID, Name: "id", Kind: KindNum, Doc: "an id that no object has"},
			paramCommon,
			paramFromKernel, paramAs, paramCompat, paramDomain,
		},
	},

	OpFsopen: {
		Name: "fsopen", Makes: true, Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 33},
		Doc: `fsopen("bpf"): a context, whose bpffs will belong to the actor's user namespace`,
	},
	OpFsconfig: {
		Name: "fsconfig", Who: ByWorker, Caps: true, Drawn: Drawn{Along: true},
		Doc: "FSCONFIG_SET_STRING for each option in turn; the first that is refused ends the step",
		Params: append([]Param{paramContext,
			{
				Key:  KeyFlag,
				Name: "flag",
				Kind: KindText,
				Doc:  "the name of an option, set without a value",
			},
			{Key: KeyAs, Name: "as", Kind: KindForm,
				Doc: "the values are no strings: FSCONFIG_SET_BINARY, SET_PATH, SET_PATH_EMPTY, SET_FD"},
			{Key: KeySource, Name: "source", Kind: KindOption, Doc: "what is mounted, which a bpffs does not use"},
		}, mountOptions...),
	},
	OpFscreate: {
		Name: "fscreate", Who: ByWorker, Caps: true, Drawn: Drawn{Along: true}, Doc: "FSCONFIG_CMD_CREATE",
		Params: []Param{
			paramContext,
			{Key: KeyExcl, Name: "excl", Kind: KindNum, Doc: "1: FSCONFIG_CMD_CREATE_EXCL"},
		},
	},
	OpFsreconfigure: {
		Name: "fsreconfigure", Who: ByWorker, Caps: true, Drawn: Drawn{Along: true}, Doc: "FSCONFIG_CMD_RECONFIGURE",
		Params: []Param{paramContext},
	},
	OpFspick: {
		Name: "fspick", Makes: true, Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3},
		Doc: "fspick(2): a context to reconfigure the bpffs that is mounted there", Params: []Param{paramAt.as(Required)},
	},
	OpFsmount: {
		Name: "fsmount", Makes: true, Who: ByWorker, Caps: true, Drawn: Drawn{Along: true},
		Doc: "fsmount(2): a detached mount",
		Params: []Param{
			paramContext,
			{Key: KeyReadonly, Name: "readonly", Kind: KindNum, Doc: "1: with MOUNT_ATTR_RDONLY"},
		},
	},
	OpMoveMount: {
		Name: "move_mount", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3}, Doc: "move_mount(2) to a place",
		Params: []Param{
			{Key: KeyMount, Name: "mount", Kind: KindHandle, Doc: "the descriptor of fsmount or clone_mount", Use: Positional},
			paramAt.as(Required),
		},
	},
	OpMount: {
		Name: "mount", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3},
		Doc:    "mount(2) of a bpffs with the options as data",
		Params: append([]Param{paramAt.as(Required), paramSandbox}, mountOptions...),
	},
	OpRemount: {
		Name: "remount", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3},
		Doc:    "mount(2) with MS_REMOUNT and the options as data",
		Params: append([]Param{paramAt.as(Required)}, mountOptions...),
	},
	OpBind: {
		Name: "bind", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3}, Doc: "mount(2) with MS_BIND",
		Params: []Param{
			{Key: KeyShown, Name: "from", Kind: KindPlace, Doc: "the place to bind from", Use: OneOf},
			{Key: KeyHandle, Name: "of", Kind: KindHandle, Doc: "or the descriptor of a file", Use: OneOf},
			paramAt.as(Required),
			{Key: KeyReadonly, Name: "ro", Kind: KindNum, Doc: "1: and then read-only, with MS_REMOUNT|MS_BIND|MS_RDONLY"},
		},
	},
	OpCloneMount: {
		Name: "clone_mount", Makes: true, Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3},
		Doc: "open_tree(2) with OPEN_TREE_CLONE: a detached copy of the mount",
		Params: []Param{paramAt.as(OneOf),
			{Key: KeyHandle, Name: "of", Kind: KindHandle, Doc: "or of the file of a descriptor", Use: OneOf}},
	},
	OpShare: {
		Name: "share", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3},
		Doc:    "mount(2) with MS_SHARED: a mount on it also appears on all its copies",
		Params: []Param{paramAt.as(Required)},
	},
	OpUmount: {
		Name: "umount", Who: ByBoth, Caps: true, Drawn: Drawn{Setup: 3}, Doc: "umount2(2)",
		Params: []Param{
			paramAt.as(Required),
			{Key: KeyLazy, Name: "lazy", Kind: KindNum, Doc: "1: with MNT_DETACH"},
		},
	},
	OpOpen: {
		Name: "open", Makes: true, Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 6, Cell: 1}, Doc: "openat(2)",
		Params: []Param{
			{Key: KeyHandle, Name: "of", Kind: KindHandle, Doc: "a mount or a directory", Use: OneOf},
			{Key: KeyAt, Name: "at", Kind: KindPlace, Doc: "or a place; /tmp is not a bpffs", Use: OneOf},
			{Key: KeyPath, Name: "path", Kind: KindText, Doc: "a name in it"},
			{Key: KeyHow, Name: "how", Kind: KindHow, Doc: "dir: O_RDONLY|O_DIRECTORY, the default; path: O_PATH"},
			paramAs, paramSandbox,
		},
	},
	OpMkdir: {
		Name: "mkdir", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3}, Doc: "mkdirat(2)",
		Params: []Param{paramIn, paramNewName, paramAs, paramSandbox},
	},
	OpChmod: {
		Name: "chmod", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 11}, Doc: "fchmod(2)",
		Params: []Param{
			paramHandle("a directory, or a token"),
			{Key: KeyMode, Name: "mode", Kind: KindText, Doc: "the permission bits, octal", Use: Required},
			{Key: KeyPath, Name: "name", Kind: KindText, Doc: "a name in it, instead: fchmodat(2)"},
			paramAs,
		},
	},
	OpStat: {
		Name: "stat", Who: ByLeader, Shows: ShowsText, Drawn: Drawn{Cell: 1},
		Doc: "compare mode, owner and group as fstat(2) shows them", Params: []Param{paramHandle("a directory, or a token")},
	},
	OpMountinfo: {
		Name: "mountinfo", Who: ByLeader, Shows: ShowsText, Drawn: Drawn{Cell: 1},
		Doc: "compare the mount options in /proc/self/mountinfo",
		Params: []Param{
			paramAt.as(Required),
			{Key: KeyBy, Name: "by", Kind: KindBy, Doc: "statmount: those that statmount(2) shows"},
		},
	},
	OpFdinfo: {
		Name: "fdinfo", Who: ByLeader, Shows: ShowsMasks, Drawn: Drawn{Cell: 1},
		Doc: "compare the masks in the token's fdinfo", Params: []Param{paramHandle("a token")},
	},
	OpTokenInfo: {
		Name: "token_info", Who: ByWorker, Shows: ShowsMasks, Caps: true, Drawn: Drawn{Cell: 1},
		Doc: "BPF_OBJ_GET_INFO_BY_FD of a token; compare the masks",
		Params: []Param{
			paramHandle("a token"),
			{Key: KeyLength, Name: "len", Kind: KindNum, Doc: "info_len, instead of 32; up to 131072"},
		},
	},
	OpPin: {
		Name: "pin", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 5}, Doc: "BPF_OBJ_PIN",
		Params: []Param{paramHandle("what to pin"), paramIn, paramNewName, paramAs, paramSandbox},
	},
	OpLink: {
		Name: "link", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3}, Doc: "linkat(2) of the descriptor's file",
		Params: []Param{paramHandle("what to link"), paramIn, paramNewName},
	},

	OpDup: {
		Name: "dup", Makes: true, Who: ByWorker, Drawn: Drawn{Setup: 33},
		Doc: "a copy of a descriptor, as dup(2) makes it", Params: []Param{paramHandle("the descriptor to copy")},
	},
	OpCloexec: {
		Name: "cloexec", Who: ByWorker, Drawn: Drawn{Along: true}, Doc: "F_SETFD",
		Params: []Param{
			paramHandle("a descriptor"),
			{Key: KeyOn01, Name: "on", Kind: KindNum, Use: Positional,
				Doc: "0: it stays open over exec; 1: it does not, the default"},
		},
	},
	OpExec: {
		Name: "exec", Who: ByBroker, Drawn: Drawn{Setup: 11},
		Doc: "execve(2): the actor's process starts its program again; descriptors with FD_CLOEXEC are closed",
	},
	OpFork: {
		Name: "fork", Who: ByBroker, Drawn: Drawn{Along: true},
		Doc: "fork(2) and execve(2): the child has the descriptors without FD_CLOEXEC",
		Params: []Param{
			{Key: KeyTo, Name: "child", Kind: KindActor, Doc: "an actor declared as child ACTOR", Use: Positional},
		},
	},
	OpExit: {
		Name: "exit", Who: ByBroker, Drawn: Drawn{Along: true},
		Doc: "the actor's process ends, and so do the objects that only it holds",
	},
	OpUserns: {
		Name: "userns", Makes: true, Who: ByWorker, Drawn: Drawn{Setup: 33}, Doc: "open /proc/thread-self/ns/user",
	},
	OpNetns: {
		Name: "netns", Makes: true, Who: ByWorker, Drawn: Drawn{Setup: 3}, Doc: "open /proc/thread-self/ns/net",
		Config: "NET_NS",
	},
	OpSetns: {
		Name: "setns", Who: ByWorker, Caps: true, Drawn: Drawn{Cell: 1},
		Doc: "setns(2) with CLONE_NEWUSER, in a process of its own",
		Params: []Param{
			{Key: KeyInside, Name: "userns", Kind: KindHandle, Doc: "the descriptor of userns", Use: Positional},
		},
	},
	OpPidfdGetfd: {
		Name: "pidfd_getfd", Makes: true, Who: ByBoth, Caps: true, Drawn: Drawn{Setup: 15},
		Doc:    "pidfd_getfd(2): take another process's descriptor",
		Params: []Param{paramHandle("what to take"), paramFrom, paramDomain},
	},
	OpProcOpen: {
		Name: "proc_open", Makes: true, Who: ByBoth, Caps: true, Drawn: Drawn{Setup: 7},
		Doc: "open /proc/PID/fd/N with O_PATH", Params: []Param{paramHandle("the descriptor to open"), paramFrom},
	},
	OpChurn: {
		Name: "churn", Who: ByBoth, Shows: ShowsCount, Caps: true, Long: true, Drawn: Drawn{Never: takesLong},
		Doc: "BPF_TOKEN_CREATE and close, again and again, or with no_fd=1 each refused with EMFILE; " +
			"the kernel's slab objects are counted before and after",
		Params: []Param{
			{Key: KeyBPFFS, Name: "bpffs", Kind: KindHandle, Doc: "the bpffs", Use: Required, Point: true},
			{Key: KeyTimes, Name: "times", Kind: KindNum, Doc: "how often", Use: Required},
			{Key: KeySlack, Name: "slack", Kind: KindNum, Use: Required,
				Doc: "how many more slab objects there may be afterwards; kilobytes of slab, " +
					"where the kernel counts no objects (no CONFIG_SLUB_DEBUG)"},
			paramNoFD,
		},
	},
	OpNamespaces: {
		Name: "namespaces", Who: ByBroker, Long: true, Drawn: Drawn{Never: takesLong},
		Doc: "a user namespace with a bpffs, a token, and a map, a BTF and a program made through it is made and left, " +
			"with requests that fail late, again and again, while /proc/sys/user/max_user_namespaces bounds how many " +
			"there may be",
		Params: []Param{
			{Key: KeyTimes, Name: "times", Kind: KindNum, Doc: "how often", Use: Required},
			{Key: KeySlack, Name: "slack", Kind: KindNum, Use: Required,
				Doc: "how many more user namespaces the kernel allows meanwhile"},
		},
	},
	OpRace: {
		Name: "race", Who: ByBoth, Shows: ShowsErrnos, Caps: true, Drawn: Drawn{Never: takesLong},
		Doc: "two actions at the same time; each errno must be one that either order gives",
		Params: []Param{
			{
				Key:  KeyRace,
				Name: "what",
				Kind: KindRace,
				Doc:  "create_umount, use_close or delegate_exit",
				Use:  Positional,
			},
			{Key: KeyTimes, Name: "times", Kind: KindNum, Doc: "how often", Use: Required},
			{Key: KeyBPFFS, Name: "bpffs", Kind: KindHandle, Doc: "the bpffs", Point: true},
			{Key: KeyToken, Name: "token", Kind: KindHandle, Doc: "the token"},
			{Key: KeyAt, Name: "at", Kind: KindPlace, Doc: "where the bpffs is mounted"},
		},
	},

	OpLSM: {
		Name: "lsm", Makes: true, Who: ByBroker, Shows: ShowsObject, Drawn: Drawn{Along: true},
		Doc: "the broker attaches a BPF-LSM program to a hook, until the world ends",
		Params: []Param{
			{Key: KeyHook, Name: "hook", Kind: KindHook, Use: Required,
				Doc: "bpf, bpf_token_create, bpf_token_cmd, bpf_token_capable, bpf_map_create, bpf_prog_load, bpf_map, " +
					"bpf_prog, inode_permission, locked_down or capable; bpf_token_free, bpf_map_free and " +
					"bpf_prog_free only observe, in every process"},
			{Key: KeyOf, Name: "of", Kind: KindActor, Use: Required,
				Doc: "the actor whose calls it checks; other actors' calls are not changed"},
			{Key: KeyErrno, Name: "errno", Kind: KindErrno, Use: Required,
				Doc: "the errno that it returns; ok: it only observes"},
			{
				Key:  KeyHookCmd,
				Name: "cmd",
				Kind: KindAnyCmd,
				Doc:  "only where the command is this one (bpf, bpf_token_cmd)",
			},
			{
				Key:  KeyHookCap,
				Name: "cap",
				Kind: KindCap,
				Doc:  "only where the capability is this one (bpf_token_capable, capable)",
			},
			{Key: KeyHookMask, Name: "mask", Kind: KindNum,
				Doc: "only where the mask is this one: MAY_READ is 4, MAY_WRITE 2, MAY_ACCESS 16 (inode_permission); " +
					"FMODE_READ is 1, FMODE_WRITE 2 (bpf_map)"},
			{Key: KeyHookName, Name: "name", Kind: KindText,
				Doc: "only where the object has this name, of at most 7 characters (bpf_map_free, bpf_prog_free)"},
			{Key: KeyGiven, Name: "token", Kind: KindNum, Doc: "only where the token is not NULL (1), or is (0)"},
			{Key: KeyKernel, Name: "kernel", Kind: KindNum,
				Doc: "only where the kernel itself calls (1), or a process (0); since 6.15"},
			{Key: KeyOfCmds, Name: "cmds", Kind: KindNum, Doc: "only where the token's allowed_cmds are these"},
			{Key: KeyOfMaps, Name: "maps", Kind: KindNum, Doc: "its allowed_maps"},
			{Key: KeyOfProgs, Name: "progs", Kind: KindNum, Doc: "its allowed_progs"},
			{Key: KeyOfAttachs, Name: "attachs", Kind: KindNum, Doc: "its allowed_attachs"},
		},
	},
	OpLSMOff: {
		Name: "lsm_off", Who: ByBroker, Drawn: Drawn{Along: true},
		Doc: "have a BPF-LSM program refuse nothing more", Params: []Param{paramLSM},
	},
	OpLSMRan: {
		Name: "lsm_ran", Who: ByBroker, Drawn: Drawn{Along: true},
		Doc: "ok if the conditions of a BPF-LSM program ever held, else ENODATA",
		Params: []Param{
			paramLSM,
			{Key: KeyTimes, Name: "times", Kind: KindNum, Doc: "ok if they held so often, for the hooks that free an object"},
		},
	},

	OpMemory: {
		Name: "memory", Who: ByBroker, Config: "MEMCG", Drawn: Drawn{Setup: 2},
		Doc: "the broker puts a process into a memory cgroup of its own, until the world ends; a second time, " +
			"it waits until no more than a quarter is used: ENOMEM, if that does not come",
		Params: []Param{
			{Key: KeyTo, Name: "actor", Kind: KindActor, Doc: "whose process is bounded", Use: Positional},
			{Key: KeyMemory, Name: "max", Kind: KindNum, Doc: "memory.max, in bytes", Use: Required},
		},
	},

	OpKallsyms: {
		Name: "kallsyms", Who: ByBroker, Drawn: Drawn{Never: takesLong},
		Doc: "ok if /proc/kallsyms holds a program of the name, or for F a further function of a program, else ENOENT",
		Params: []Param{
			paramName.as(Required),
		},
	},
	OpLibrary: {
		Name: "library", Who: ByWorker, Shows: ShowsObject, Caps: true, Drawn: Drawn{Never: takesLong},
		Doc: "run an application that uses cilium/ebpf, which finds a token by itself; " +
			"the answer is the errno that it gets, EOPNOTSUPP for the library's own ErrNotSupported",
		Params: []Param{
			{Key: KeyMake, Name: "make", Kind: KindMake, Use: Required,
				Doc: "queue, btf (a map that names one), prog (XDP with helpers), freplace"},
			{Key: KeyEnv, Name: "env", Kind: KindText,
				Doc: "LIBBPF_BPF_TOKEN_PATH in its environment, which is libbpf's: empty, it finds no token"},
		},
	},
	OpElement: {
		Name: "element", Who: ByWorker, Shows: ShowsObject, Caps: true, Drawn: Drawn{Setup: 15},
		Doc: "the element under key 0 of a map; to look it up or to delete it, it is put there first",
		Params: []Param{
			paramHandle("a map"),
			{Key: KeyDo, Name: "do", Kind: KindDo, Doc: "update, lookup or delete", Use: Positional},
		},
	},
	OpObjGet: {
		Name: "get_pinned", Makes: true, Who: ByWorker, Shows: ShowsObject, Caps: true, Drawn: Drawn{Setup: 6},
		Doc: "BPF_OBJ_GET of the object pinned under a name in the directory",
		Params: []Param{paramIn, paramNewName,
			{Key: KeyFlags, Name: "flags", Kind: KindNum, Doc: "BPF_F_RDONLY 8, BPF_F_WRONLY 16"}, paramAs, paramSandbox,
			paramDomain},
	},
	OpConsume: {
		Name: "consume", Who: ByWorker, Shows: ShowsObject, Caps: true, Drawn: Drawn{Never: takesLong},
		Doc: "run a program that writes a record into a buffer, both of root's making, " +
			"and read the record out of the buffer's mapped memory",
		Params: []Param{
			{Key: KeyBuffer, Name: "buffer", Kind: KindBuffer, Use: Positional,
				Doc: "ring: a ringbuf map; perf: a perf_event_array map, with perf events of the actor's own"},
		},
	},
	OpBarriers: {
		Name: "barriers", Who: ByWorker, Shows: ShowsText, Caps: true, Drawn: Drawn{Setup: 3},
		Doc: "how many barriers against speculation the verifier put into a program, as root sees; " +
			"the number is compared. ENODATA if the kernel does not show its instructions",
		Params: []Param{
			paramHandle("a program"),
		},
	},
	OpReopen: {
		Name: "reopen", Makes: true, Who: ByWorker, Drawn: Drawn{Never: "some kernels crash on a token that is opened again"},
		Doc:    "open a descriptor again through /proc/self/fd, which reaches the file but no token",
		Params: []Param{paramHandle("the descriptor to open again")},
	},

	OpLinkCreate: {
		Name: "attach_link", Makes: true, Who: ByWorker, Shows: ShowsObject, Caps: true, Drawn: Drawn{Setup: 10},
		Doc: "BPF_LINK_CREATE of a program at a target (BPF_RAW_TRACEPOINT_OPEN at raw_tp): the link is a descriptor",
		Params: []Param{
			paramProgram, paramSpot, paramAttachFlags, paramAttrTail,
		},
	},
	OpProgAttach: {
		Name: "attach_prog", Who: ByBoth, Caps: true, Drawn: Drawn{Setup: 6},
		Doc: "BPF_PROG_ATTACH of a program to a target, where it stays until it is detached or the world ends",
		Params: []Param{
			paramProgram, paramSpot, paramAttachFlags, paramRelative, paramRelativeID,
			{Key: KeyOld, Name: "old", Kind: KindHandle,
				Doc: "replace_bpf_fd: the program that this one replaces, with flags=0x4"},
			paramAttrTail,
		},
	},
	OpProgDetach: {
		Name: "detach_prog", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 5},
		Doc: "BPF_PROG_DETACH of a program from a target, or of any program",
		Params: []Param{
			paramSpot, {Key: KeyProg, Name: "prog", Kind: KindHandle, Doc: "the program; else none is named"},
			paramAttachFlags, paramRelative, paramRelativeID, paramAttrTail,
		},
	},
	OpLinkUpdate: {
		Name: "update_link", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 4},
		Doc: "BPF_LINK_UPDATE: the link gets another program",
		Params: []Param{
			paramHandle("the link"), {Key: KeyProg, Name: "prog", Kind: KindHandle, Doc: "the new program", Use: Positional},
			{Key: KeyOld, Name: "old", Kind: KindHandle, Doc: "the program that the link must have, with BPF_F_REPLACE"},
		},
	},
	OpLinkDetach: {
		Name: "detach_link", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3},
		Doc:    "BPF_LINK_DETACH: the link stays open, its program is attached no more",
		Params: []Param{paramHandle("the link")},
	},
	OpIterCreate: {
		Name: "iterate", Who: ByWorker, Shows: ShowsObject, Caps: true, Drawn: Drawn{Setup: 3},
		Doc: "BPF_ITER_CREATE of a link of an iterator", Params: []Param{paramHandle("the link")},
	},
	OpAttached: {
		Name: "attached", Who: ByBroker, Shows: ShowsText, Drawn: Drawn{Along: true},
		Doc: "how many programs root sees at a target, and how many of them links hold at tcx, BPF_PROG_QUERY; " +
			"the numbers are compared",
		Params: []Param{paramSpot},
	},
	OpMountAttr: {
		Name: "mount_attr", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3},
		Doc: "mount_setattr(2) of a mount, or of the directory that is its root",
		Params: []Param{
			{Key: KeyMount, Name: "mount", Kind: KindHandle, Doc: "the descriptor of fsmount, clone_mount or open",
				Use: Positional},
			{Key: KeyReadonly, Name: "readonly", Kind: KindNum, Doc: "1 sets MOUNT_ATTR_RDONLY, 0 clears it", Use: OneOf},
			{Key: KeyIDMap, Name: "idmap", Kind: KindHandle, Doc: "MOUNT_ATTR_IDMAP with this user namespace", Use: OneOf},
		},
	},
	OpFile: {
		Name: "file", Who: ByWorker, Caps: true, Drawn: Drawn{Cell: 1}, Doc: "a system call on a token as a file",
		Params: []Param{
			paramHandle("a token"),
			{Key: KeyFileDo, Name: "do", Kind: KindFileDo, Use: Positional,
				Doc: "truncate, watch (inotify_add_watch), read or write"},
		},
	},
	OpProcFdinfo: {
		Name: "proc_fdinfo", Who: ByBoth, Shows: ShowsMasks, Caps: true, Drawn: Drawn{Cell: 1},
		Doc:    "compare the masks in /proc/PID/fdinfo/N of another process",
		Params: []Param{paramHandle("a token"), paramFrom},
	},
	OpRaw: {
		Name: "raw", Makes: true, Who: ByWorker, Caps: true,
		Drawn: Drawn{Never: "the rules have no answer to compare with"},
		Doc: "any command of bpf(2), with an attribute that the step spells out; what it leaves out is 0. The rules " +
			"do not follow it: only => judges it, and with => ? the report says what the kernel answered and wrote. " +
			"With -> NAME the result is a descriptor",
		Params: []Param{
			Param{Key: KeyCmd, Name: "cmd", Kind: KindAnyCmd, Use: Required,
				Doc: "the command, by name or number; also one that this program does not know"}.point(),
			{Key: KeyU32, Name: "u32", Kind: KindNum, At: true, Doc: "4 bytes at the offset: u32@16=0x10000"},
			{Key: KeyU64, Name: "u64", Kind: KindNum, At: true, Doc: "8 bytes"},
			{Key: KeyFD, Name: "fd", Kind: KindHandle, At: true, Doc: "a descriptor, a token for example: fd@76=t"},
			{Key: KeyPtr, Name: "ptr", Kind: KindBytes, At: true,
				Doc: `the address of memory: "text" with a terminating zero and \040 for a space, 0x and hexadecimal ` +
					"digits for bytes, zero:N for N zeros (the report shows what the kernel writes there), or " +
					"exit (a smallest program), license (GPL), btf (a smallest BTF)"},
			{Key: KeySize, Name: "size", Kind: KindNum,
				Doc: "the length of the attribute, instead of that of the newest kernel"},
			paramAs, paramCompat,
		},
	},
	OpRun: {
		Name: "run", Who: ByBoth, Caps: true, Long: true, Drawn: Drawn{Never: takesLong},
		Doc: "run a program of this host, as exec brings it along with its libraries, in the actor's namespaces: its " +
			"exit status must be 0 or that of code=; output and exit status are in the record. " + OwnProgram +
			" is a program of the guest's, which makes a hash with the token of fd= and ends with the errno. " +
			"What follows the program's name is its own: arguments of the step stand before it",
		Params: []Param{
			{Key: KeyCode, Name: "code", Kind: KindText,
				Doc: "the exit status that it must have, 128 and the number for a signal that ended it; ?: any"},
			{Key: KeyPrints, Name: "out", Kind: KindOption, Doc: `a part of its output; \040 is a space`},
			{Key: KeyHandle, Name: "fd", Kind: KindHandle, Doc: "a descriptor that it gets as its descriptor 3"},
			{Key: KeyWay, Name: "way", Kind: KindWay,
				Doc: "ambient, the default: it has the capabilities caps= as ambient ones, with SECBIT_NOROOT; " +
					"exec: what execve(2) makes of them, for uid 0 all, for others those of the file"},
			{Key: KeyFileCaps, Name: "file_caps", Kind: KindCaps, Doc: "the capabilities of the program's file"},
			{Key: KeyNoNewPrivs, Name: "no_new_privs", Kind: KindNum, Doc: "1: after PR_SET_NO_NEW_PRIVS"},
			{Key: KeySecurebits, Name: "securebits", Kind: KindNum,
				Doc: "after PR_SET_SECUREBITS: " + SecurebitsDoc},
			paramAs,
			{Key: KeyCommand, Name: "program", Kind: KindText, Use: Positional, Rest: true,
				Doc: `the program, as a shell finds it on this host, and its arguments; \040 is a space in one`},
		},
	},

	OpFreeze: {
		Name: "freeze", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 4},
		Doc: "BPF_MAP_FREEZE: no process may change the map's elements any more", Params: []Param{paramHandle("a map")},
	},
	OpBatch: {
		Name: "batch", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 5},
		Doc: "a batch command about one element of a map",
		Params: []Param{
			paramHandle("a map"),
			{Key: KeyDo, Name: "do", Kind: KindBatch, Use: Positional,
				Doc: "update, lookup, delete or take (look up and delete)"},
		},
	},
	OpProgInfo: {
		Name: "prog_info", Who: ByWorker, Shows: ShowsText, Caps: true, Drawn: Drawn{Setup: 3},
		Doc:    "BPF_OBJ_GET_INFO_BY_FD of a program; compare which of its parts are shown",
		Params: []Param{paramHandle("a program")},
	},
	OpKernelBTF: {
		Name: "kernel_btf", Makes: true, Who: ByWorker, Shows: ShowsObject, Caps: true, Drawn: Drawn{Setup: 1},
		Doc: "BPF_BTF_GET_FD_BY_ID of the kernel's own BTF", Config: "DEBUG_INFO_BTF",
	},
	OpWriteSysctl: {
		Name: "write_sysctl", Who: ByBoth, Caps: true, Drawn: Drawn{Setup: 2},
		Doc: "the actor itself writes a sysctl of bpf(2); but for the first two they have their values " +
			"again after the world",
		Params: []Param{
			{Key: KeyValue, Name: "unprivileged_bpf_disabled", Kind: KindNum, Doc: "0, 1 or 2", Use: OneOf},
			{Key: KeyStats, Name: "bpf_stats_enabled", Kind: KindNum, Doc: "or this one: 0 or 1", Use: OneOf},
			{Key: KeyRestrict, Name: "kptr_restrict", Kind: KindNum, Doc: "or kernel.kptr_restrict: 0, 1 or 2", Use: OneOf},
			{Key: KeyJITOn, Name: "bpf_jit_enable", Kind: KindNum, Doc: "or net.core.bpf_jit_enable: 1 or 2", Use: OneOf},
			{Key: KeyHarden, Name: "bpf_jit_harden", Kind: KindNum, Doc: "or net.core.bpf_jit_harden: 0, 1 or 2", Use: OneOf},
			{Key: KeyJITLimit, Name: "bpf_jit_limit", Kind: KindNum, Use: OneOf,
				Doc: "or net.core.bpf_jit_limit: 1 is used up, 0x2000000 is not"},
		},
	},
	OpTranslated: {
		Name: "translated", Who: ByWorker, Shows: ShowsText, Caps: true, Drawn: Drawn{Setup: 2},
		Doc: "what the verifier made of a program, as root sees: how many instructions it has, how many the verifier " +
			"looked at, and how many mask an index against speculation; compared. ENODATA if the kernel does not show them",
		Params: []Param{paramHandle("a program")},
	},
	OpRunProg: {
		Name: "run_prog", Who: ByWorker, Shows: ShowsObject, Caps: true, Drawn: Drawn{Setup: 3},
		Doc:    "BPF_PROG_TEST_RUN of a program, once; the errno that a syscall program returns is that of the step",
		Params: []Param{paramHandle("a program")},
	},
	OpSymlink: {
		Name: "symlink", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 2},
		Doc:    "symlinkat(2) of a name that is not there",
		Params: []Param{paramIn, paramNewName, paramAs, paramSandbox},
	},
	OpSELinux: {
		Name: "selinux", Who: ByBroker, Config: "SECURITY_SELINUX SECURITY_SELINUX_DEVELOP",
		Drawn: Drawn{Never: "SELinux is active only where the kernel's command line says so"},
		Doc: "the broker loads a policy with the domains of selinux=, and sets the mode until the world ends; " +
			"every process has the domain that the policy denies nothing",
		Params: []Param{
			{Key: KeyEnforce, Name: "mode", Kind: KindMode, Use: Positional, Doc: "enforcing, or permissive"},
			{Key: KeyTokenPerms, Name: "token_perms", Kind: KindNum,
				Doc: "1: the policy has the capability bpf_token_perms, which 7.0 knows"},
		},
	},
	OpLinkInfo: {
		Name: "link_info", Who: ByWorker, Shows: ShowsText, Caps: true, Drawn: Drawn{Setup: 3},
		Doc: "BPF_OBJ_GET_INFO_BY_FD of a link; compare its type, that its program has an id, and whether the addresses " +
			"of what it probes are shown",
		Params: []Param{paramHandle("a link")},
	},
	OpQueryEvent: {
		Name: "query_event", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 1}, Config: "BPF_EVENTS",
		Doc: "ioctl(PERF_EVENT_IOC_QUERY_BPF) of a perf event of a tracepoint, which root opened",
	},
	OpMmap: {
		Name: "mmap", Who: ByWorker, Shows: ShowsObject, Drawn: Drawn{Setup: 10},
		Doc: "mmap(2), with MAP_SHARED, of the first page of a map, until the process ends or starts its program again",
		Params: []Param{
			paramHandle("a map"),
			{Key: KeyWrite, Name: "write", Kind: KindNum, Doc: "1: also with PROT_WRITE"},
		},
	},
	OpXattr: {
		Name: "xattr", Who: ByWorker, Caps: true, Drawn: Drawn{Setup: 3},
		Doc: "fsetxattr(2) or fgetxattr(2) of security.bpf.label, trusted.label, user.label or security.capability",
		Params: []Param{
			paramHandle("a directory of a bpffs, or a token"),
			{Key: KeyXattrDo, Name: "do", Kind: KindXattrDo, Use: Positional,
				Doc: "set, get, or fill: set others, of 4096 bytes each, until one is refused or there are 64"},
			{Key: KeyXattr, Name: "name", Kind: KindXattr, Use: Positional, Doc: "security, trusted, user or capability"},
		},
	},
	OpFileMax: {
		Name: "file_max", Who: ByBroker, Drawn: Drawn{Never: "some kernels leak an inode, which a later umount(2) finds"},
		Doc: "the broker sets fs.file-max, which bounds the files of processes without CAP_SYS_ADMIN",
		Params: []Param{
			{Key: KeyValue, Name: "value", Kind: KindNum, Doc: "the number; 0: the one before", Use: Required},
		},
	},
}

// SecurebitsDoc names the securebits.
const SecurebitsDoc = "SECBIT_NOROOT 1, SECBIT_NO_SETUID_FIXUP 4, SECBIT_KEEP_CAPS 16, SECBIT_NO_CAP_AMBIENT_RAISE 64"

// takesLong is why an operation is not drawn.
const takesLong = "it takes long"

// Known reports whether the table has the operation. What the decoder of a
// record or of a script reads may be any number.
func (o Op) Known() bool { return o > 0 && o < Ops }

// Row returns the operation's row; it is empty for one that is not known.
func (o Op) Row() *Operation {
	if !o.Known() {
		return &operations[0]
	}
	return &operations[o]
}

// String returns the operation's name in a case file.
func (o Op) String() string {
	if o.Known() {
		return operations[o].Name
	}
	return fmt.Sprintf("op %d", uint8(o))
}

// OpNamed returns the operation of a name, or 0.
func OpNamed(name string) Op {
	for o := Op(1); o < Ops; o++ {
		if operations[o].Name == name {
			return o
		}
	}
	return 0
}

// Brokered reports whether the broker has a part in the operation; any other
// an actor does by itself.
func (o Op) Brokered() bool {
	who := o.Row().Who
	return who == ByBroker || who == ByBoth
}

// Observes reports whether the actor's first thread does the operation.
func (o Op) Observes() bool { return o.Row().Who == ByLeader }

// Named returns the parameter of a name, or nil.
func (r *Operation) Named(name string) *Param {
	return r.param(func(p *Param) bool { return p.Name == name })
}

// Of returns the parameter of a key, or nil.
func (r *Operation) Of(k Key) *Param {
	return r.param(func(p *Param) bool { return p.Key == k })
}

func (r *Operation) param(is func(*Param) bool) *Param {
	for i := range r.Params {
		if is(&r.Params[i]) {
			return &r.Params[i]
		}
	}
	return nil
}

// Used returns the parameters that a step gives in a way, in their order.
func (r *Operation) Used(u Use) []*Param {
	var out []*Param
	for i := range r.Params {
		if r.Params[i].Use == u {
			out = append(out, &r.Params[i])
		}
	}
	return out
}
