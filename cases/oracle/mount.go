package oracle

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
)

const (
	eBUSY     = uapi.Errno(unix.EBUSY)
	eNOTDIR   = uapi.Errno(unix.ENOTDIR)
	eEXIST    = uapi.Errno(unix.EEXIST)
	eXDEV     = uapi.Errno(unix.EXDEV)
	eOVERFLOW = uapi.Errno(unix.EOVERFLOW)
	eBADFD    = uapi.Errno(unix.EBADFD)

	mayMountText = "the caller lacks CAP_SYS_ADMIN in the user namespace of its mount namespace"
	badFDText    = "the descriptor is not open, or is an O_PATH descriptor"
)

// Inode is what the permission checks see of a file: the kuids of its owner
// and group, and its permission bits.
type Inode struct{ UID, GID, Mode uint32 }

// rootMode is what bpf_fill_super adds to the mode option.
const rootMode = 0o1000

// Phase is how far a file-system context is.
type Phase uint8

// The phases, as enum fs_context_phase has them.
const (
	CreateParams Phase = iota
	AwaitingMount
	AwaitingReconf
	ReconfParams
	Failed
)

// Context is a file-system context: what fsopen(2) or fspick(2) made.
type Context struct {
	Userns *Userns // the opener's, or that of the bpffs that was picked
	Phase  Phase
	Masks  Masks
	Root   Inode
	FS     *BPFFS // what it has created, or picked
}

// Mount is one mount of a bpffs. At is its place, 0 while it is nowhere.
type Mount struct {
	FS  *BPFFS
	At  uint64
	Seq int // a later one is greater
	// Peers is the peer group of a shared mount, 0 of a private one.
	Peers int
}

// mayMount mirrors may_mount of fs/namespace.c: every actor's mount namespace
// belongs to its user namespace.
func (c *call[R]) mayMount() bool { return c.Caller.Caps.Has(uapi.CAP_SYS_ADMIN) }

func mayMountRule[R any]() rule[R] {
	return rule[R]{id: "may-mount", text: mayMountText, fn: "may_mount", errno: ePERM, holds: func(c *call[R]) bool { return !c.mayMount() }}
}

// notOpen mirrors fdget: O_PATH descriptors are not open to it.
func notOpen(fd FD) bool { return fd.Kind == Closed || fd.Kind == Path }

// Fsopen is fsopen("bpf").
type Fsopen struct{}

var fsopenRules = []rule[*Fsopen]{mayMountRule[*Fsopen]()}

func (r *Fsopen) decide(w *World, trace *[]Line) Verdict {
	return run(w, "fsopen", r, nil, fsopenRules, trace)
}

// MountOption is one assignment to a context. Flag says that it is set
// without a value.
type MountOption struct {
	Option
	Flag bool
}

// Fsconfig is one FSCONFIG_SET_STRING or FSCONFIG_SET_FLAG.
type Fsconfig struct {
	FD  FD
	Set MountOption
}

func contextRules[R any](fn string, fd func(r R) FD) []rule[R] {
	return []rule[R]{
		{id: "bad-fd", text: badFDText, fn: fn, errno: eBADF, holds: func(c *call[R]) bool { return notOpen(fd(c.req)) }},
		{id: "no-context", text: "the descriptor is no file-system context", fn: fn, errno: eINVAL,
			holds: func(c *call[R]) bool { return fd(c.req).Kind != ContextFD && !notOpen(fd(c.req)) }},
	}
}

// takesOptions follows finish_clean_context: after the context was mounted or
// reconfigured it begins anew.
func (x *Context) takesOptions() bool {
	return x.Phase == CreateParams || x.Phase == ReconfParams || x.Phase == AwaitingReconf
}

// optionRules are what the file system says of an assignment, bpf_parse_param.
// into is the context that gets it.
func optionRules[R any](set func(r R) MountOption, into func(r R) *Userns) []rule[R] {
	parse := func(c *call[R]) (uint64, uapi.Errno) { return parseOption(c.Kernel, set(c.req)) }
	is := func(want uapi.Errno) func(c *call[R]) bool {
		return func(c *call[R]) bool { _, e := parse(c); return e == want }
	}
	return []rule[R]{
		{id: "malformed", text: "the option's value is malformed", fn: "bpf_parse_param", errno: eINVAL, holds: is(eINVAL)},
		{id: "out-of-range", text: "the number has more than 64 bits", fn: "bpf_parse_param", errno: eRANGE, holds: is(eRANGE)},
		{id: "unmapped-id", text: "the setter's user namespace or the bpffs's has no such uid or gid", fn: "bpf_parse_param", errno: eINVAL,
			holds: func(c *call[R]) bool {
				o := set(c.req)
				n, e := parse(c)
				return e == 0 && (o.Name == "uid" || o.Name == "gid") && !idFits(c.Caller, into(c.req), n)
			}},
		{id: "set-unprivileged", text: "to set a delegation mask wants CAP_SYS_ADMIN in the initial user namespace", fn: "bpf_parse_param", errno: ePERM,
			holds: func(c *call[R]) bool {
				n, e := parse(c)
				return e == 0 && isDelegate(set(c.req).Name) && n != 0 && !c.Caller.capable(Initial, uapi.CAP_SYS_ADMIN)
			}},
	}
}

func isDelegate(name string) bool { return strings.HasPrefix(name, "delegate_") }

// idFits mirrors make_kuid of the caller's namespace and kuid_has_mapping of
// the bpffs's. A namespace here maps its 0 to its owner, and nothing else.
func idFits(c Cred, fs *Userns, id uint64) bool {
	kuid := id
	if id == invalidID {
		return false
	}
	if c.Userns != Initial {
		if id != 0 {
			return false
		}
		kuid = uint64(c.Userns.Owner)
	}
	return fs == nil || fs.maps(uint32(kuid))
}

// invalidID is (uid_t)-1, which is nobody's.
const invalidID = 1<<32 - 1

func (n *Userns) maps(kuid uint32) bool { return n == Initial || n.Owner == kuid }

// parseOption reads a value as fs_parse and bpf_parse_param do.
func parseOption(k *Kernel, o MountOption) (uint64, uapi.Errno) {
	known := isDelegate(o.Name) && k.Token || o.Name == "mode" || o.Name == "uid" || o.Name == "gid"
	switch {
	case !known:
		return 0, 0 // bpffs ignores what it does not know
	case o.Flag || o.Value == "" || len(o.Value) >= fsconfigMax:
		return 0, eINVAL
	case isDelegate(o.Name):
		return ParseMask(k, o.Name, o.Value)
	}
	digits, base := o.Value, 0
	if o.Name == "mode" {
		base = 8
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || strings.ContainsAny(digits, "_-") {
		return 0, eINVAL
	}
	return n, 0
}

// Apply makes an assignment that was not refused.
func (x *Context) Apply(k *Kernel, c Cred, o MountOption) {
	n, _ := parseOption(k, o)
	id := uint32(n)
	if c.Userns != Initial {
		id = c.Userns.Owner
	}
	switch {
	case o.Name == "uid":
		x.Root.UID = id
	case o.Name == "gid":
		x.Root.GID = id
	case o.Name == "mode":
		x.Root.Mode = uint32(n) & 0o7777
	case isDelegate(o.Name) && k.Token:
		*x.Masks.Of(o.Name) |= n
	}
}

var fsconfigRules = append(append(contextRules("fsconfig", func(r *Fsconfig) FD { return r.FD }),
	rule[*Fsconfig]{id: "too-long", text: "the value is longer than 255 bytes", fn: "fsconfig", errno: eINVAL,
		holds: func(c *call[*Fsconfig]) bool { return len(c.req.Set.Value) >= fsconfigMax }},
	rule[*Fsconfig]{id: "phase", text: "the context no longer takes options", fn: "vfs_fsconfig_locked", errno: eBUSY,
		holds: func(c *call[*Fsconfig]) bool { return c.req.FD.Context != nil && !c.req.FD.Context.takesOptions() }}),
	optionRules(func(r *Fsconfig) MountOption { return r.Set }, func(r *Fsconfig) *Userns { return r.FD.userns() })...)

func (f FD) userns() *Userns {
	if f.Context == nil {
		return nil
	}
	return f.Context.Userns
}

func (r *Fsconfig) decide(w *World, trace *[]Line) Verdict {
	return run(w, "fsconfig", r, nil, fsconfigRules, trace)
}

// Fscreate is FSCONFIG_CMD_CREATE.
type Fscreate struct{ FD FD }

var fscreateRules = append(contextRules("fsconfig", func(r *Fscreate) FD { return r.FD }),
	rule[*Fscreate]{id: "phase", text: "the context has created its bpffs, or failed to", fn: "vfs_cmd_create", errno: eBUSY,
		holds: func(c *call[*Fscreate]) bool {
			return c.req.FD.Context != nil && c.req.FD.Context.Phase != CreateParams
		}},
	rule[*Fscreate]{id: "mount-capable", text: "the caller lacks CAP_SYS_ADMIN in the opener's user namespace", fn: "mount_capable", errno: ePERM,
		holds: func(c *call[*Fscreate]) bool {
			x := c.req.FD.Context
			return x != nil && !c.Caller.capable(x.Userns, uapi.CAP_SYS_ADMIN)
		}},
	rule[*Fscreate]{id: "fill-super", text: "to create a bpffs for another user namespace than the initial one wants CAP_SYS_ADMIN in the initial one", fn: "bpf_fill_super", errno: ePERM,
		holds: func(c *call[*Fscreate]) bool {
			x := c.req.FD.Context
			return x != nil && x.Userns != Initial && !c.Caller.capable(Initial, uapi.CAP_SYS_ADMIN)
		}})

func (r *Fscreate) decide(w *World, trace *[]Line) Verdict {
	return run(w, "fscreate", r, nil, fscreateRules, trace)
}

// Fsreconfigure is FSCONFIG_CMD_RECONFIGURE.
type Fsreconfigure struct{ FD FD }

var fsreconfigureRules = append(contextRules("fsconfig", func(r *Fsreconfigure) FD { return r.FD }),
	rule[*Fsreconfigure]{id: "phase", text: "the context is none to reconfigure with", fn: "vfs_cmd_reconfigure", errno: eBUSY,
		holds: func(c *call[*Fsreconfigure]) bool {
			x := c.req.FD.Context
			return x != nil && x.Phase != ReconfParams && x.Phase != AwaitingReconf
		}},
	rule[*Fsreconfigure]{id: "no-cap", text: "the caller lacks CAP_SYS_ADMIN in the bpffs's user namespace", fn: "vfs_cmd_reconfigure", errno: ePERM,
		holds: func(c *call[*Fsreconfigure]) bool {
			x := c.req.FD.Context
			return x != nil && x.FS != nil && !c.Caller.capable(x.FS.Userns, uapi.CAP_SYS_ADMIN)
		}})

func (r *Fsreconfigure) decide(w *World, trace *[]Line) Verdict {
	return run(w, "fsreconfigure", r, nil, fsreconfigureRules, trace)
}

// Fsmount is fsmount(2).
type Fsmount struct{ FD FD }

var fsmountRules = append(append([]rule[*Fsmount]{mayMountRule[*Fsmount]()}, contextRules("fsmount", func(r *Fsmount) FD { return r.FD })...),
	rule[*Fsmount]{id: "nothing-created", text: "the context has created no bpffs", fn: "fsmount", errno: eINVAL,
		holds: func(c *call[*Fsmount]) bool { return c.req.FD.Context != nil && c.req.FD.Context.FS == nil }},
	rule[*Fsmount]{id: "phase", text: "the context's bpffs was mounted already", fn: "fsmount", errno: eBUSY,
		holds: func(c *call[*Fsmount]) bool {
			return c.req.FD.Context != nil && c.req.FD.Context.Phase != AwaitingMount
		}})

func (r *Fsmount) decide(w *World, trace *[]Line) Verdict {
	return run(w, "fsmount", r, nil, fsmountRules, trace)
}

// MountCall is mount(2), umount(2), move_mount(2), fspick(2) or open_tree(2).
// What is its name; On is what is mounted at the place that it is about.
type MountCall struct {
	What    string
	FD      FD // of move_mount
	On      *Mount
	Options []MountOption // of mount and remount
	Busy    bool          // somebody holds a file of the mount
	Lazy    bool
}

// The calls of a MountCall.
const (
	Fspick     = "fspick"
	CloneMount = "clone_mount"
	Bind       = "bind"
	MoveMount  = "move_mount"
	Umount     = "umount"
	Share      = "share"
)

func mountCallRules(what string) []rule[*MountCall] {
	rules := []rule[*MountCall]{mayMountRule[*MountCall]()}
	nothing := func(fn string) rule[*MountCall] {
		return rule[*MountCall]{id: "nothing-mounted", text: "nothing is mounted there", fn: fn, errno: eINVAL, holds: func(c *call[*MountCall]) bool { return c.req.On == nil }}
	}
	switch what {
	case Fspick:
		return append(rules, nothing("fspick"))
	case Share:
		return append(rules, nothing("do_change_type"))
	case Umount:
		return append(rules, nothing("can_umount"), rule[*MountCall]{id: "busy", text: "somebody has a file of the mount open", fn: "do_umount", errno: eBUSY,
			holds: func(c *call[*MountCall]) bool { return c.req.Busy && !c.req.Lazy }})
	case MoveMount:
		return append(rules, rule[*MountCall]{id: "bad-fd", text: "the descriptor is not open", fn: "move_mount", errno: eBADF, holds: func(c *call[*MountCall]) bool { return c.req.FD.Kind == Closed }},
			rule[*MountCall]{id: "no-mount", text: "the descriptor is no root of a mount", fn: "do_move_mount", errno: eINVAL,
				holds: func(c *call[*MountCall]) bool { return c.req.FD.Mount == nil || c.req.FD.Kind != Path }})
	}
	return rules
}

func (r *MountCall) decide(w *World, trace *[]Line) Verdict {
	return run(w, r.What, r, nil, mountCallRules(r.What), trace)
}

// Mounting is mount(2) of a new bpffs, Remounting of the bpffs that is there.
type (
	Mounting   struct{ Options []MountOption }
	Remounting struct {
		Options []MountOption
		On      *Mount
	}
)

// firstRefused returns the option that bpf_parse_param refuses first: the
// rules are then those of that one.
func firstRefused(w *World, fs *Userns, options []MountOption) MountOption {
	for _, o := range options {
		probe := &oneOption{o, fs}
		if probe.decide(w, nil).Errno != 0 {
			return o
		}
	}
	return MountOption{}
}

type oneOption struct {
	set MountOption
	fs  *Userns
}

var oneOptionRules = optionRules(func(r *oneOption) MountOption { return r.set }, func(r *oneOption) *Userns { return r.fs })

func (r *oneOption) decide(w *World, trace *[]Line) Verdict {
	return run(w, "option", r, nil, oneOptionRules, trace)
}

var mountRules = append(append([]rule[*oneOption]{mayMountRule[*oneOption]()}, oneOptionRules...),
	rule[*oneOption]{id: "fill-super", text: "to create a bpffs for another user namespace than the initial one wants CAP_SYS_ADMIN in the initial one", fn: "bpf_fill_super", errno: ePERM,
		holds: func(c *call[*oneOption]) bool { return c.Caller.Userns != Initial }})

func (r *Mounting) decide(w *World, trace *[]Line) Verdict {
	fs := w.Caller.Userns
	return run(w, "mount", &oneOption{firstRefused(w, fs, r.Options), fs}, nil, mountRules, trace)
}

type newOptions struct {
	set MountOption
	on  *Mount
}

var remountRules = append(append([]rule[*newOptions]{
	mayMountRule[*newOptions](),
	{id: "nothing-mounted", text: "nothing is mounted there", fn: "do_remount", errno: eINVAL, holds: func(c *call[*newOptions]) bool { return c.req.on == nil }},
}, optionRules(func(r *newOptions) MountOption { return r.set }, func(r *newOptions) *Userns { return r.on.userns() })...),
	rule[*newOptions]{id: "no-cap", text: "the caller lacks CAP_SYS_ADMIN in the bpffs's user namespace", fn: "do_remount", errno: ePERM,
		holds: func(c *call[*newOptions]) bool {
			return c.req.on != nil && !c.Caller.capable(c.req.on.FS.Userns, uapi.CAP_SYS_ADMIN)
		}})

// userns is the namespace that what is mounted belongs to.
func (m *Mount) userns() *Userns {
	if m == nil {
		return nil
	}
	return m.FS.Userns
}

func (r *Remounting) decide(w *World, trace *[]Line) Verdict {
	return run(w, "remount", &newOptions{firstRefused(w, r.On.userns(), r.Options), r.On}, nil, remountRules, trace)
}

// Create is the bpffs that the context makes.
func (x *Context) Create() *BPFFS {
	root := x.Root
	root.Mode |= rootMode
	return &BPFFS{Userns: x.Userns, Delegate: x.Masks, Root: root}
}

// ShownOptions is what mountinfo has of a bpffs, bpf_show_options.
func (k *Kernel) ShownOptions(b *BPFFS) string {
	out := []string{"rw"}
	if b.Root.UID != 0 {
		out = append(out, fmt.Sprintf("uid=%d", b.Root.UID))
	}
	if b.Root.GID != 0 {
		out = append(out, fmt.Sprintf("gid=%d", b.Root.GID))
	}
	if mode := b.Root.Mode &^ rootMode; mode != 0o777 {
		out = append(out, fmt.Sprintf("mode=%o", mode))
	}
	ends := []uint32{k.MaxCmd, k.MaxMap, k.MaxProg, k.MaxAttach}
	for i, o := range DelegateOptions {
		if text := shownMask(o.Enum, *b.Delegate.Of(o.Name), ends[i]); text != "" {
			out = append(out, o.Name+"="+text)
		}
	}
	return strings.Join(out, ",")
}

// shownMask mirrors seq_print_delegate_opts: the first name of each bit, bits
// that have none not at all.
func shownMask(e *uapi.Enum, mask uint64, end uint32) string {
	known := uint64(1)<<end - 1
	if mask &= known; mask == known {
		return "any"
	}
	var names []string
	for n := range end {
		if mask&(1<<n) != 0 {
			names = append(names, e.Name(n))
		}
	}
	return strings.Join(names, ":")
}
