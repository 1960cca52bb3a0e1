package oracle

import (
	"cmp"
	"slices"

	"tokentest/cases/uapi"
)

// World is the state that the kernel's answer depends on, except the request.
type World struct {
	Kernel *Kernel
	Caller Cred
	// UnprivDisabled is the sysctl kernel.unprivileged_bpf_disabled: 0, 1 or 2.
	UnprivDisabled int
	// LSM are the BPF-LSM programs that apply to the caller, in the order in
	// which they were attached. A decision sets Ran of those that ran.
	LSM []*LSM
	// MountNS is the user namespace that the caller's mount namespace belongs to; nil for
	// the caller's own.
	MountNS *Userns
	// Sandbox says that the thread has a Landlock domain that allows no access to files.
	Sandbox bool
	// Domain is the thread's SELinux domain; nil is that of every process.
	Domain *Domain
	// NoFiles says that fs.file-max is used up.
	NoFiles bool
	// Memory is memory.max of the caller's cgroup, 0 if there is no limit.
	Memory uint64
}

// Kernel is what the rules need to know about the running kernel.
type Kernel struct {
	Release uapi.Release
	// Patch is the third number of a stable release, 117 of 6.12.117: stable
	// series get fixes after their first release.
	Patch int
	// Token says that the kernel has BPF_TOKEN_CREATE (mainline: 6.9).
	Token bool
	// The kernel's __MAX_BPF_CMD, __MAX_BPF_MAP_TYPE, __MAX_BPF_PROG_TYPE and
	// __MAX_BPF_ATTACH_TYPE. No mask covers a value at or above its maximum.
	MaxCmd, MaxMap, MaxProg, MaxAttach uint32
	// Enumerators are the names in the kernel's BTF, by the tag of their
	// enumeration: bpf_parse_param looks the names of a mask up there. Nil means
	// that they are unknown, and those of the release count.
	Enumerators map[string][]string
	// NoBTF says that the kernel has no BTF of its own, and shows the bits of a mask by number.
	NoBTF bool
	// NoLabels says that no active security module labels new files by an extended attribute:
	// security_inode_init_security then returns before its hooks.
	NoLabels bool
	// MitigationsOff is cpu_mitigations_off(), the result of mitigations=off.
	MitigationsOff bool
	// BypassesV4 says that bpf_jit_bypass_spec_v4 is true: the architecture does without the verifier's barriers.
	BypassesV4 bool
	// ReadsProcesses says that copy_from_kernel_nofault reads the memory of the running process at its address.
	ReadsProcesses bool
	// JITLimit is the largest net.core.bpf_jit_limit; 0 is not known, and larger than any that is asked for.
	JITLimit int
	// Page is the size of a page; 0 is 4 KiB.
	Page uint32
	// Settings are those of the running kernel that rules depend on.
	Settings Settings
	// Omit names a rule to leave out. Tests use it to show that the rule's
	// absence is noticed.
	Omit string
	// Held, if set, is called with the name of each rule that held before the
	// call was decided, and of the rule that decided it.
	Held func(rule string)
}

// KernelAt describes a mainline kernel of a release. It is complete for tests;
// a real kernel's limits come from its BTF.
func KernelAt(r uapi.Release) *Kernel {
	return &Kernel{
		Release:   r,
		Token:     !r.Less(linux(6, 9)),
		MaxCmd:    uapi.Cmds.Max(r),
		MaxMap:    uapi.MapTypes.Max(r),
		MaxProg:   uapi.ProgTypes.Max(r),
		MaxAttach: uapi.AttachTypes.Max(r),
	}
}

func linux(major, minor int) uapi.Release { return uapi.Release{Major: major, Minor: minor} }

// has reports whether the kernel is of this mainline release or a later one.
func (k *Kernel) has(since uapi.Release) bool { return !k.Release.Less(since) }

// knows reports whether the kernel's enumeration has the name.
func (k *Kernel) knows(e *uapi.Enum, m uapi.Member) bool {
	if names := k.Enumerators[e.Tag]; names != nil {
		return slices.Contains(names, e.Symbol(m))
	}
	return k.has(m.Since)
}

func (k *Kernel) page() uint32 { return cmp.Or(k.Page, 4096) }

// trustsCPU reports whether the verifier adds no protection against
// speculation, for every loader: bpf_bypass_spec_v1 and
// bpf_bypass_spec_v4 ask cpu_mitigations_off() since 6.7.
func (k *Kernel) trustsCPU() bool { return k.MitigationsOff && k.has(linux(6, 7)) }

// Userns is a user namespace. Parent is nil for the initial one. Owner is the
// kuid of its creator, numbered as in the initial namespace. Lines are its id map, of which
// Outer is a kuid; without any, the owner is its id 0.
type Userns struct {
	Parent *Userns
	Owner  uint32
	Lines  []uapi.IDRange
}

// Initial is init_user_ns.
var Initial = &Userns{}

func (n *Userns) level() int {
	if n.Parent == nil {
		return 0
	}
	return n.Parent.level() + 1
}

func (n *Userns) lines() []uapi.IDRange {
	if n.Lines == nil {
		return []uapi.IDRange{{Outer: n.Owner, Count: 1}}
	}
	return n.Lines
}

// maps mirrors kuid_has_mapping.
func (n *Userns) maps(kuid uint32) bool {
	_, ok := uapi.Up(n.lines(), kuid)
	return n == Initial || ok
}

// Kuid mirrors make_kuid: what the namespace's id is in the initial one, if it is mapped.
func (n *Userns) Kuid(id uint32) (kuid uint32, ok bool) {
	if n == Initial {
		return id, true
	}
	return uapi.Down(n.lines(), id)
}

// Shows mirrors from_kuid_munged: a kuid as the namespace numbers it.
func (n *Userns) Shows(kuid uint32) uint32 {
	if n == Initial {
		return kuid
	}
	if id, ok := uapi.Up(n.lines(), kuid); ok {
		return id
	}
	return overflowID
}

const overflowID = 65534

// Cred is the credentials of the calling thread at the time of the call: its
// user namespace, its effective kuid and its effective capabilities.
type Cred struct {
	Userns *Userns
	Euid   uint32
	Caps   uapi.CapSet
	// Denied are those that the LSM hook capable refuses in every namespace; Caps does not have them.
	Denied uapi.CapSet
}

// capable mirrors cap_capable_helper of security/commoncap.c. In the thread's
// own namespace its effective capabilities count. In a descendant namespace
// the owner has every capability, with no capability set at all.
func (c Cred) capable(target *Userns, want uapi.Cap) bool {
	if c.Denied.Has(want) {
		return false
	}
	for ns := target; ; ns = ns.Parent {
		if ns == c.Userns {
			return c.Caps.Has(want)
		}
		if ns.level() <= c.Userns.level() {
			return false
		}
		if ns.Parent == c.Userns && ns.Owner == c.Euid {
			return true
		}
	}
}

// Masks are the four 64-bit delegation masks of a bpffs superblock or a token.
type Masks struct{ Cmds, Maps, Progs, Attachs uint64 }

// bit reports whether mask has bit n. A value at or above its enumeration's
// maximum has no bit, as in bpf_token_allow_map_type.
func bit(mask uint64, n, max uint32) bool { return n < max && n < 64 && mask&(1<<n) != 0 }

// BPFFS is one bpffs superblock. It belongs to the user namespace of the
// thread that called fsopen(2).
type BPFFS struct {
	Userns   *Userns
	Delegate Masks
	Root     Node
}

// Token is struct bpf_token: a copy of the masks at creation, and the user
// namespace in which capabilities are checked.
type Token struct {
	Userns  *Userns
	Allowed Masks
}

// FDKind says what a descriptor refers to.
type FDKind int

// The kinds. The zero value is a descriptor that is not open.
const (
	Closed    FDKind = iota
	Path             // opened with O_PATH; Was says of what
	BPFFSRoot        // the root directory of a bpffs
	Dir              // another directory; Node is set if it is in a bpffs
	TokenFD
	Object // a map, a program, a BTF or another file
	ContextFD
	UsernsFD
	Unfollowed // made by a step that the oracle does not model
)

// FD is a descriptor of the caller.
type FD struct {
	Kind    FDKind
	BPFFS   *BPFFS       // of a BPFFSRoot, or the bpffs that another file is on
	Token   *Token       // of a TokenFD, or the token that a program was loaded with
	Mount   *Mount       // the mount that the file was opened on; of a Path from fsmount the mount itself
	Context *Context     // of a ContextFD
	Userns  *Userns      // of a UsernsFD
	Node    *Node        // of a directory below the root of a bpffs
	Was     FDKind       // of a Path: what the descriptor would be without O_PATH
	Pinned  bool         // BPF_OBJ_PIN takes this Object
	Map     uapi.MapType // of an Object that is a map
	Content *Content     // of a map
	Only    Direction    // of a map: the descriptor is opened for one direction
	BTF     bool         // an Object that is a BTF, with one type
	Lock    bool         // the BTF also has a struct with a bpf_spin_lock
	Field   Field        // the BTF also has a struct with this field
	Sizes   []uint32     // of the types of the BTF, if it has a Field
	Kernel  bool         // the BTF is the kernel's own
	Loaded  *Program     // of an Object that is a program
	Link    *Bond        // of an Object that is a link
	Inode   *Inode       // of a token
	Opener  Cred         // of a program: the credentials with which the descriptor was made
	Stays   bool         // opened without FD_CLOEXEC
	Holds   bool         // made the mount, which is detached for as long as such a descriptor is open
	Label   *Domain      // of a map or a program: the domain of the thread that made it
	Serial  int          // of a map or a program that was made with a name
}

// Direction is the file mode of a map's descriptor, bpf_get_file_flag.
type Direction uint8

// The directions. The zero value is O_RDWR.
const (
	ReadOnly  Direction = iota + 1 // BPF_F_RDONLY
	WriteOnly                      // BPF_F_WRONLY
)

// DirectionOf is the direction that a map's flags give its descriptor.
func DirectionOf(flags uint32) Direction {
	switch flags & fFile {
	case fRDONLY:
		return ReadOnly
	case fWRONLY:
		return WriteOnly
	}
	return 0
}

// Content is what calls on a map's elements depend on. All descriptors of a map share it.
type Content struct {
	Wide   bool // the keys are longer than 8 bytes
	Masked bool // the indexes of an array are masked
	Plain  bool // a map of 4 bytes, or more, in each value
	Stored bool // the map has an element under key 0
	Placed bool // an arena has its address in a process
	Frozen bool // BPF_MAP_FREEZE
	// Flags are map_flags; Writers are the address spaces that have the map's memory mapped writable.
	Flags   uint32
	Writers []int
	// Special says that the values have special fields, such as a lock.
	Special bool
	Field   Field // which one, if the values have one; 0 is a bpf_spin_lock
	// Moved says that a process may have given an arena its address.
	Moved bool
	// Exclusive says that the map has excl_prog_hash: zeros, which is no program's, or Own.
	Exclusive bool
	// Own says that excl_prog_hash is that of the program that has a signature, Short that the map is an array of
	// one value of four bytes, which a signature may cover.
	Own, Short bool
}

// exclusive reports whether the descriptor is a map for one program alone.
func (f *FD) exclusive() bool { return f.Content != nil && f.Content.Exclusive }

// Program is what later calls see of a loaded program.
type Program struct {
	Type     uapi.ProgType
	Expected uapi.AttachType // expected_attach_type, after the kernel's fix-up
	Symbol   Symbol
	Spills   bool // the program stores a pointer on its stack
	Body     Body
	Freq     bool // BPF_F_TEST_STATE_FREQ
	Sleeps   bool // BPF_F_SLEEPABLE
	Lines    bool // it has a line of source
	Helps    bool // it calls a helper, of which the instructions show the address
	Masks    bool // it uses a map of which the indexes are masked
	Maps     bool // it uses a map
	Helper   bool // it calls a helper of uapi.Helpers
	Other    bool // it is not the smallest one in another way
}

// notOpen mirrors fdget, which returns nothing for O_PATH descriptors.
func (f FD) notOpen() bool { return f.Kind == Closed || f.Kind == Path }

// TokenRef is how a request names a token: the flag BPF_F_TOKEN_FD and the
// descriptor. Without the flag the kernel ignores the descriptor.
type TokenRef struct {
	Flag bool
	FD   FD
}

// token returns what bpf_token_get_from_fd returns, or nil.
func (t TokenRef) token() *Token {
	if t.Flag && t.FD.Kind == TokenFD {
		return t.FD.Token
	}
	return nil
}

func (t TokenRef) badFD() bool { return t.Flag && t.FD.notOpen() }

func (t TokenRef) notToken() bool { return t.Flag && t.FD.Kind != TokenFD }
