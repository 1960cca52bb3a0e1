package step

// Key names an argument of a step.
type Key uint8

// The arguments of steps. The numbers are stored nowhere, like those of operations.
const (
	// Mount options, passed to the kernel unchanged.
	KeyCmds Key = iota + 1
	KeyMaps
	KeyProgs
	KeyAttachs
	KeyUID
	KeyGID
	KeyMode // of chmod, too
	KeyUnknown
	KeySource
	KeyFlag // the name of a mount option that is set without a value

	// How a request gives a token.
	KeyToken
	KeyTokenFD // without BPF_F_TOKEN_FD

	// What a request asks for.
	KeyBPFFS
	KeyType
	KeyAttach
	KeyCmd
	KeyOn     // what else than the usual object a command is about, an On
	KeyProg   // the cgroup_skb program to attach
	KeyID     // the id to ask for instead of that of an object that is there
	KeyCommon // with BPF_COMMON_ATTRS, a Common

	// What makes a request other than well formed: each replaces what the type's shape has.
	KeyFlags
	KeyAttr // how the attribute itself is wrong, an AttrFault
	KeyKeySize
	KeyValueSize
	KeyMaxEntries
	KeyExtra
	KeyNUMA
	KeyInner
	KeyBTF
	KeyBTFKey
	KeyBTFValue
	KeyVmlinux // btf_vmlinux_value_type_id
	KeyIfindex
	KeyName
	KeyInsns
	KeyLog // the log level
	KeyAttachBTFID
	KeyAttachFD
	KeyBody // a Body
	KeyMap  // the map that the program looks an element up in, or that its body uses
	KeyHelper
	KeyJunk    // bytes that are not a BTF
	KeyLock    // with a struct that holds a lock, LockType
	KeyLoop    // with a type of itself
	KeyField   // with a struct that holds a Field, LockType
	KeyHash    // excl_prog_hash_size
	KeySign    // signature_size
	KeyRing    // keyring_id
	KeyLines   // with a line of source
	KeySigned  // with a signature that is one
	KeyBound   // fd_array
	KeyOwnHash // excl_prog_hash of the signed program

	// An attribute member by member, and where a command that the language does not know
	// looks for a token. Arg.At is the offset of a member.
	KeyU32
	KeyU64
	KeyPtr // of memory, a Blob in Num or its bytes in Str
	KeyFD
	KeySize    // of the attribute
	KeyTokenAt // the offset of the token's descriptor
	KeyFlagAt  // the offset of the flags

	// How a call is made.
	KeyInside     // the user namespace to enter first
	KeyThen       // the effective capabilities once it has entered KeyInside
	KeyNoFD       // while the process may open no more descriptors
	KeyMemlock    // with this RLIMIT_MEMLOCK
	KeyAsUID      // as this uid of the actor's user namespace
	KeyCompat     // as a program of 32 bits makes it
	KeySandbox    // in a Landlock domain that allows nothing
	KeyDomain     // in a Domain of SELinux
	KeyFromKernel // the kernel itself makes the call, for a BPF_PROG_TYPE_SYSCALL program

	// Descriptors, places and names.
	KeyHandle
	KeyTo
	KeyFrom // the actor whose descriptor it is
	KeyValue
	KeyContext  // the descriptor of fsopen or fspick
	KeyMount    // the descriptor of fsmount or clone_mount
	KeyAt       // a Place
	KeyShown    // a Place that is bound elsewhere
	KeyPath     // a name below a directory
	KeyHow      // a How
	KeyLazy     // umount with MNT_DETACH
	KeyIn       // the directory that a name is made in
	KeyOn01     // 0 or 1
	KeyAs       // how fsconfig(2) gets the values, a Form
	KeyExcl     // FSCONFIG_CMD_CREATE_EXCL
	KeyReadonly // MOUNT_ATTR_RDONLY
	KeyIDMap    // the user namespace of MOUNT_ATTR_IDMAP
	KeyUmask
	KeyBy      // a By
	KeyFileDo  // a FileDo
	KeyXattrDo // an XattrDo
	KeyXattr   // an Xattr
	KeyEnforce // a Mode of SELinux
	KeyTokenPerms
	KeyTimes
	KeySlack
	KeyRace   // a Race
	KeyMemory // memory.max

	// What a program is attached to.
	KeySpot     // a Spot
	KeyRelative // relative_fd
	KeyOld      // the program that a link or a target must have
	KeyLength   // info_len
	KeyStats    // kernel.bpf_stats_enabled
	KeyJITOn    // net.core.bpf_jit_enable
	KeyRestrict // kernel.kptr_restrict
	KeyHarden   // net.core.bpf_jit_harden
	KeyJITLimit // net.core.bpf_jit_limit

	// A BPF-LSM program: the hook, whose calls count, what the program returns, and
	// the conditions that must all hold for it to return that.
	KeyHook      // a Hook
	KeyOf        // the actor whose calls it is about
	KeyErrno     // what the hook returns, 0 for nothing
	KeyHookCmd   // the command is this one: bpf, bpf_token_cmd
	KeyHookCap   // the capability is this one: bpf_token_capable
	KeyGiven     // the token argument is 0: NULL, 1: a token
	KeyKernel    // the kernel argument is 0 or 1
	KeyHookMask  // the mask argument is this one: inode_permission, bpf_map
	KeyHookName  // the object's name is this one: bpf_map_free, bpf_prog_free
	KeyOfCmds    // the token's allowed_cmds are these
	KeyOfMaps    // allowed_maps
	KeyOfProgs   // allowed_progs
	KeyOfAttachs // allowed_attachs

	// What the kernel's selftests look at.
	KeyDo     // a Do
	KeyBuffer // a Buffer
	KeyWrite  // PROT_WRITE
	KeyMake   // a Make
	KeyEnv    // LIBBPF_BPF_TOKEN_PATH in its environment

	// A program of the user's.
	KeyCommand  // the program and its arguments
	KeyCode     // the exit status that it must have
	KeyPrints   // what its output must contain
	KeyWay      // a RunWay
	KeyFileCaps // the capabilities of the program's file
	KeyNoNewPrivs
	KeySecurebits

	// Arguments that a case file cannot have: the broker or a benchmark adds them.
	KeyPID    // the process of KeyFrom
	KeyNumber // the descriptor's number there
	KeyTime   // make the call for so many microseconds and show the nanoseconds that one takes
	KeyRepeat // make it so many times

	// Keys is the length of a table that is indexed by Key; its place 0 is empty.
	Keys
)

// keyRow describes an argument. It is the same for all operations.
type keyRow struct {
	option string // the mount option that it sets
	field  bool   // it replaces a part of a well-formed request
	inner  bool   // it cannot be written in a case file
}

// keys is the table; an argument that is not here is of none of these types.
var keys = [Keys]keyRow{
	KeyCmds:    {option: "delegate_cmds"},
	KeyMaps:    {option: "delegate_maps"},
	KeyProgs:   {option: "delegate_progs"},
	KeyAttachs: {option: "delegate_attachs"},
	KeyUID:     {option: "uid"},
	KeyGID:     {option: "gid"},
	KeyMode:    {option: "mode"},
	KeyUnknown: {option: "unknown"},
	KeySource:  {option: "source"},

	KeyFlags:       {field: true},
	KeyAttr:        {field: true},
	KeyKeySize:     {field: true},
	KeyValueSize:   {field: true},
	KeyMaxEntries:  {field: true},
	KeyExtra:       {field: true},
	KeyNUMA:        {field: true},
	KeyInner:       {field: true},
	KeyBTF:         {field: true},
	KeyBTFKey:      {field: true},
	KeyBTFValue:    {field: true},
	KeyVmlinux:     {field: true},
	KeyIfindex:     {field: true},
	KeyName:        {field: true},
	KeyInsns:       {field: true},
	KeyLog:         {field: true},
	KeyAttachBTFID: {field: true},
	KeyAttachFD:    {field: true},
	KeyBody:        {field: true},
	KeyMap:         {field: true},
	KeyHelper:      {field: true},
	KeyJunk:        {field: true},
	KeyLock:        {field: true},
	KeyLoop:        {field: true},
	KeyField:       {field: true},
	KeyHash:        {field: true},
	KeySign:        {field: true},
	KeyRing:        {field: true},
	KeyLines:       {field: true},
	KeySigned:      {field: true},
	KeyBound:       {field: true},
	KeyOwnHash:     {field: true},

	KeyPID:    {inner: true},
	KeyNumber: {inner: true},
	KeyTime:   {inner: true},
	KeyRepeat: {inner: true},
}

func (k Key) row() *keyRow {
	if k >= Keys {
		return &keys[0]
	}
	return &keys[k]
}

// MountOption returns the mount option that the argument sets, or "".
func (k Key) MountOption() string { return k.row().option }

// Field reports whether the argument replaces a part of a request that is
// well formed for its type.
func (k Key) Field() bool { return k.row().field }

// Width is how many bytes the member takes that the argument sets, 0 if it sets none.
func (k Key) Width() int {
	switch k {
	case KeyU32, KeyFD:
		return 4
	case KeyU64, KeyPtr:
		return 8
	}
	return 0
}

// Inner reports whether the argument cannot be written in a case file.
func (k Key) Inner() bool { return k.row().inner }
