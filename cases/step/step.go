// Package step is what crosses to the guest: actors, steps, and the well-formed
// request that each step stands for; and what comes back: observations and facts.
//
// It holds no expectation and no case, so neither can reach the guest, and a
// changed case needs no new guest image.
//
// Start with the table operations in ops.go; shapes.go has a row for each map type
// and program type, commands.go for each command that takes a token, settings.go
// for each setting of the kernel.
package step

import (
	"strings"

	"tokentest/cases/uapi"
)

// Program is what crosses to the guest: actors and the set-up steps that the
// cells of a world share. It holds no expectation.
type Program struct {
	Actors []Actor
	Setup  []Step
	Dirs   []string // the places that steps name by their path; the agent makes them
}

// ActorKind says in which namespaces an actor's process runs.
type ActorKind uint8

// The kinds of actors.
const (
	Init   ActorKind = iota + 1 // in the initial namespaces
	Userns                      // in a user and mount namespace of its own
	Joins                       // a process of its own in another actor's namespaces
	Child                       // as Joins, but started by a step of its parent
)

// Actor is a process that runs steps. Parent is the index of the actor that
// forks it, or -1 for the agent: a userns actor's namespace is a child of its
// parent's, a joins or child actor shares them. UID is the kuid outside that owns the
// namespace, or that the init actor runs as; a joins or child actor has that of its parent.
type Actor struct {
	Name   string
	Kind   ActorKind
	Parent int
	UID    uint32
	Caps   uapi.CapSet
	Place
}

// Place is what else there is to say of an actor's process and its namespaces.
type Place struct {
	Map    IDMap   // of its user namespace; empty for one that maps UID alone, as its uid 0
	As     uint32  // its uid as its user namespace numbers it
	Apart  Apart   // further namespaces of its own
	Mounts MountNS // where the mount namespace of a userns actor comes from
	Compat bool    // its program has 32 bits
	Bits   uint8   // the securebits of its threads
}

// Apart is a set of namespaces.
type Apart uint8

// The namespaces.
const (
	ApartNet Apart = 1 << iota
	ApartPID
	ApartCgroup
)

// MountNS says which mount namespace an actor is in.
type MountNS uint8

// The mount namespaces.
const (
	MountsOwn    MountNS = iota // made in its user namespace, and so owned by that
	MountsBefore                // made before its user namespace, and so owned by the parent's
	MountsParent                // the one that it was in before
)

// MostLines is how many lines an id map can have here. The kernel keeps up to five in the user namespace itself and
// sorts more: UID_GID_MAP_MAX_BASE_EXTENTS.
const MostLines = 8

// IDMap is the lines of an id map; those behind the last have no ids.
type IDMap [MostLines]uapi.IDRange

// Lines are the lines that are there.
func (m *IDMap) Lines() []uapi.IDRange {
	n := 0
	for n < len(m) && m[n].Count > 0 {
		n++
	}
	return m[:n]
}

// Lines is the id map of the actor's user namespace, as its parent's numbers the ids: outer is the id there that the
// namespace maps if it has no map of its own.
func (a *Actor) Lines(outer uint32) []uapi.IDRange {
	if lines := a.Map.Lines(); len(lines) > 0 {
		return lines
	}
	return []uapi.IDRange{{Outer: outer, Count: 1}}
}

// Has reports whether the actor's user namespace maps an id.
func (a *Actor) Has(id uint32) bool {
	_, ok := uapi.Down(a.Lines(0), id)
	return ok
}

// Handle numbers a descriptor within a program; each actor has its own
// descriptor under the number. 0 is none.
type Handle uint32

// FuncType is the id of the function in the BTF of the program that an ext program extends.
const FuncType = 5

// LockType is the id of the struct of KeyLock, 4 bytes long.
const LockType = 3

// ClosedFD is the handle that names a descriptor which is not open.
const ClosedFD Handle = 255

// Arg is one argument: a number, a handle or an actor's index in Num, or a
// string that the kernel gets as it stands in Str. At is the offset of a member of
// the attribute that OpRaw fills in.
type Arg struct {
	Key Key
	At  uint16
	Num uint64
	Str string
}

// Step is one action of an actor, with exactly the effective capabilities Caps.
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

// Cell is the steps of one case, after its world's set-up.
type Cell []Step

// Proof says whether an object that a call made works.
type Proof uint8

// The proofs.
const (
	NoProof Proof = iota // nothing was made
	Works
	DoesNotWork
	SurvivesExec // a token without FD_CLOEXEC: bpf_token_create gives it
)

// Fails reports whether the object does not work as it must.
func (p Proof) Fails() bool { return p > Works }

// Fault describes the object if it does not work as it must.
func (p Proof) Fault() string {
	if p == SurvivesExec {
		return "a descriptor that survives execve(2)"
	}
	return "an object that does not work"
}

// Observation is the result of a step: the errno, for success the proof that the object
// works, and the numbers read from it (for a token the four masks of its fdinfo) or the
// text that the kernel shows.
type Observation struct {
	Errno  uapi.Errno `json:"errno"`
	Proof  Proof      `json:"proof,omitempty"`
	Values []uint64   `json:"values,omitempty"`
	Text   string     `json:"text,omitempty"`
}

// Fixture is an object for the requests of cases that the kernel refused to the guest's
// root: the cases that need it prove nothing.
type Fixture struct {
	Name  string     `json:"name"`
	Errno uapi.Errno `json:"errno"`
}

// NoProgram32 is Facts.No32 of an image without a program of 32 bits.
const NoProgram32 = "no program"

// NoTime32 is Facts.No32 of a kernel that runs programs of 32 bits, but not those of the Go toolchain, whose clocks and
// futexes have times of 32 bits.
const NoTime32 = "no times of 32 bits"

// Facts describe the kernel that runs the cases: what the guest read from it, and its
// configuration from the host.
type Facts struct {
	Release string `json:"release"`
	// Machine is what uname -m says, and PageSize the size of a page; zero in records from before they were added.
	Machine  string `json:"machine,omitempty"`
	PageSize uint32 `json:"page_size,omitempty"`
	// ISA is the line "isa" or "Features" in /proc/cpuinfo, "" if there is none.
	ISA string `json:"isa,omitempty"`
	// NoArena is the errno with which the kernel refused an arena to the guest's agent, of those that say that it has
	// none: EOPNOTSUPP or ENOMEM.
	NoArena string `json:"no_arena,omitempty"`
	// No32 is the errno with which the kernel refused to start a program of 32 bits; "" if it started, and in records
	// from before it was added. Linux32 says that the kernel lets a process have the personality of one, PER_LINUX32.
	// It is NoProgram32 if the image has no such program for actors, and NoTime32 if the kernel has no clock for them.
	No32    string `json:"no_32,omitempty"`
	Linux32 bool   `json:"linux32,omitempty"`
	// Token says that the kernel knows BPF_TOKEN_CREATE: the guest tried it.
	Token bool `json:"token"`
	// BTF says that /sys/kernel/btf/vmlinux could be read; the rest comes from it.
	BTF bool `json:"btf"`
	// Max holds the __MAX_… enumerator of each enumeration, by tag.
	Max map[string]uint32 `json:"max,omitempty"`
	// Enumerators holds the names of each enumeration's members as the
	// kernel's BTF has them, by tag.
	Enumerators map[string][]string `json:"enumerators,omitempty"`
	// StructOpsIndex is the index of StructOpsMember in StructOps.
	StructOpsIndex uint32 `json:"struct_ops_index"`
	// LSM are the active security modules; nil when that is not known.
	LSM []string `json:"lsm,omitzero"`
	// MitigationsOff says that the kernel was booted with mitigations=off.
	MitigationsOff bool `json:"mitigations_off,omitempty"`
	// Settings holds each setting of the table Settings that the kernel has: its
	// value before the guest changed anything, and while cases run.
	Settings map[string]Reading `json:"settings,omitempty"`
	// Changes lists what the guest changed in the kernel before the first case.
	Changes []Change `json:"changes,omitempty"`
	// ConfigOff are the configuration symbols of Options whose function or file
	// the running kernel does not have.
	ConfigOff []string `json:"config_off,omitempty"`
	// ConfigOn are the configuration symbols of Opposites whose function the running kernel does not have.
	ConfigOn []string `json:"config_on,omitempty"`
	// OptionsFrom says where the guest looked for functions: FromBTF, FromKallsyms, or ""
	// where the kernel shows neither. Records made before it was added looked in the BTF.
	OptionsFrom string `json:"options_from,omitempty"`
	// TypesOff are the types of BTFNames, "KIND NAME", that the kernel's BTF does not have.
	TypesOff []string `json:"types_off,omitempty"`
	// Config holds the kernel's configuration; nil when it is not known.
	Config map[string]string `json:"-"`
}

// Patch returns the release's third number, 0 when it has none.
func (f *Facts) Patch() int {
	v := f.Version()
	rest, ok := strings.CutPrefix(f.Release, v.String()+".")
	if !ok {
		return 0
	}
	n := 0
	for _, r := range rest {
		if r < '0' || r > '9' || n > 1<<16 {
			break
		}
		n = n*10 + int(r-'0')
	}
	return n
}

// Version returns the release's first two numbers; zeros when it has none.
func (f *Facts) Version() uapi.Release {
	r, err := uapi.ParseRelease(f.Release)
	if err != nil {
		return uapi.Release{}
	}
	return r
}
