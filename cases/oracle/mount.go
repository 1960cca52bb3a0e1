package oracle

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/uapi"
)

// Context is a file-system context, made by fsopen(2) or fspick(2).
type Context struct {
	Userns *Userns // the opener's, or that of the bpffs that was picked
	Phase  Phase
	Masks  Masks
	Root   Inode
	FS     *BPFFS // the bpffs that it created or picked
}

// Phase is the state of a context, enum fs_context_phase.
type Phase uint8

// The phases.
const (
	CreateParams Phase = iota
	AwaitingMount
	AwaitingReconf
	ReconfParams
	Failed
)

// takesOptions follows finish_clean_context: after a mount or a
// reconfiguration the context starts again.
func (x *Context) takesOptions() bool {
	return x.Phase == CreateParams || x.Phase == ReconfParams || x.Phase == AwaitingReconf
}

// Create is the bpffs that the context makes.
func (x *Context) Create() *BPFFS {
	root := x.Root
	root.Mode |= rootMode
	return &BPFFS{Userns: x.Userns, Delegate: x.Masks, Root: Node{Inode: root}}
}

// rootMode is what bpf_fill_super adds to the mount option mode.
const rootMode = 0o1000

// Mount is one mount of a bpffs.
type Mount struct {
	FS    *BPFFS
	At    uint64 // the place, 0 if it is not mounted anywhere
	Seq   int    // a later mount has a greater number
	Peers int    // the peer group of a shared mount, 0 of a private one
}

// userns is the user namespace of the mounted bpffs.
func (m *Mount) userns() *Userns {
	if m == nil {
		return nil
	}
	return m.FS.Userns
}

// mayMount is the first check of every call that changes mounts, and of fsopen.
func mayMount[R any]() rule[R] {
	return rule[R]{id: "may-mount", fn: "may_mount", errno: ePERM,
		text:  "the caller lacks CAP_SYS_ADMIN in the user namespace of its mount namespace",
		holds: func(c *call[R]) bool { return !c.mayMount() }}
}

// onContext is a request about the context that a descriptor refers to.
type onContext interface{ contextFD() FD }

func contextBadFD[R onContext](fn string) rule[R] {
	return rule[R]{id: "bad-fd", fn: fn, errno: eBADF, text: badFDText,
		holds: func(c *call[R]) bool { return c.req.contextFD().notOpen() }}
}

func notContext[R onContext](fn string) rule[R] {
	return rule[R]{id: "no-context", fn: fn, errno: eINVAL, text: "the descriptor is not a file-system context",
		holds: func(c *call[R]) bool {
			fd := c.req.contextFD()
			return fd.Kind != ContextFD && !fd.notOpen()
		}}
}

// onContextOf makes a rule of a check of the context. Without a context an
// earlier rule decides.
func onContextOf[R onContext](f func(c *call[R], x *Context) bool) func(c *call[R]) bool {
	return func(c *call[R]) bool {
		x := c.req.contextFD().Context
		return x != nil && f(c, x)
	}
}

// Fsopen is fsopen("bpf").
type Fsopen struct{}

var fsopenRules = []rule[*Fsopen]{mayMount[*Fsopen]()}

func (r *Fsopen) decide(w *World, trace *[]Line) Verdict {
	return run(w, "fsopen", r, nil, fsopenRules, trace)
}

// Fsconfig is one FSCONFIG_SET_STRING or FSCONFIG_SET_FLAG.
type Fsconfig struct {
	FD  FD
	Set MountOption
}

func (r *Fsconfig) contextFD() FD       { return r.FD }
func (r *Fsconfig) option() MountOption { return r.Set }
func (r *Fsconfig) into() *Userns {
	if r.FD.Context == nil {
		return nil
	}
	return r.FD.Context.Userns
}

// fsconfigRules are the checks of fsconfig(2) of fs/fsopen.c, then of bpf_parse_param.
var fsconfigRules = []rule[*Fsconfig]{
	contextBadFD[*Fsconfig]("fsconfig"),
	notContext[*Fsconfig]("fsconfig"),
	{id: "too-long", fn: "fsconfig", errno: eINVAL, text: "the value is longer than 255 bytes",
		holds: func(c *call[*Fsconfig]) bool { return len(c.req.Set.Value) >= fsconfigMax }},
	{id: "phase", fn: "vfs_fsconfig_locked", errno: eBUSY, text: "the context no longer takes options",
		holds: onContextOf(func(_ *call[*Fsconfig], x *Context) bool { return !x.takesOptions() })},
	optionMalformed[*Fsconfig](),
	optionOutOfRange[*Fsconfig](),
	optionUnmappedID[*Fsconfig](),
	optionUnprivileged[*Fsconfig](),
}

func (r *Fsconfig) decide(w *World, trace *[]Line) Verdict {
	return run(w, "fsconfig", r, nil, fsconfigRules, trace)
}

// Fscreate is FSCONFIG_CMD_CREATE.
type Fscreate struct{ FD FD }

func (r *Fscreate) contextFD() FD { return r.FD }

var fscreateRules = []rule[*Fscreate]{
	contextBadFD[*Fscreate]("fsconfig"),
	notContext[*Fscreate]("fsconfig"),
	{id: "phase", fn: "vfs_cmd_create", errno: eBUSY, text: "the context already created its bpffs, or failed to",
		holds: onContextOf(func(_ *call[*Fscreate], x *Context) bool { return x.Phase != CreateParams })},
	{id: "mount-capable", fn: "mount_capable", errno: ePERM,
		text: "the caller lacks CAP_SYS_ADMIN in the opener's user namespace",
		holds: onContextOf(func(c *call[*Fscreate], x *Context) bool {
			return !c.Caller.capable(x.Userns, uapi.CAP_SYS_ADMIN)
		})},
	{id: "userns-mount", fn: "sget_fc", errno: ePERM, until: linux(6, 9), fix: &usernsFix, text: usernsText,
		holds: onContextOf(func(_ *call[*Fscreate], x *Context) bool { return x.Userns != Initial })},
	{id: "userns-not-modelled", blind: true, until: linux(6, 9), text: usernsUnknown,
		holds: onContextOf(func(c *call[*Fscreate], x *Context) bool {
			return x.Userns != Initial && !usernsFix.in(c.Kernel) && c.initialCapable(uapi.CAP_SYS_ADMIN)
		})},
	{id: "fill-super", fn: "bpf_fill_super", errno: ePERM, text: fillSuperText,
		holds: onContextOf(func(c *call[*Fscreate], x *Context) bool {
			return x.Userns != Initial && !c.initialCapable(uapi.CAP_SYS_ADMIN)
		})},
}

// usernsFix is "fs: don't allow non-init s_user_ns for filesystems without FS_USERNS_MOUNT"
// (e1c5ae59c0f2). bpffs has the flag since 6.9, so that the check concerns kernels without tokens
// alone. Debian's changelog lists it for 6.1.103; seen on 6.1.192. Debian's releases before 6.12 do not
// show the patch level.
var usernsFix = fix{
	since:  linux(6, 11),
	stable: map[uapi.Release]int{linux(6, 1): 103},
}

const (
	usernsText    = "before 6.9 a bpffs belongs to the initial user namespace alone"
	usernsUnknown = "the oracle does not know whether this kernel has the fix e1c5ae59c0f2"
)

const fillSuperText = "a bpffs for another user namespace than the initial one needs CAP_SYS_ADMIN " + initialNS

func (r *Fscreate) decide(w *World, trace *[]Line) Verdict {
	return run(w, "fscreate", r, nil, fscreateRules, trace)
}

// Fsreconfigure is FSCONFIG_CMD_RECONFIGURE.
type Fsreconfigure struct{ FD FD }

func (r *Fsreconfigure) contextFD() FD { return r.FD }

var fsreconfigureRules = []rule[*Fsreconfigure]{
	contextBadFD[*Fsreconfigure]("fsconfig"),
	notContext[*Fsreconfigure]("fsconfig"),
	{id: "phase", fn: "vfs_cmd_reconfigure", errno: eBUSY, text: "the context is not a reconfigure context",
		holds: onContextOf(func(_ *call[*Fsreconfigure], x *Context) bool {
			return x.Phase != ReconfParams && x.Phase != AwaitingReconf
		})},
	{id: "no-cap", fn: "vfs_cmd_reconfigure", errno: ePERM, text: noCapInFS,
		holds: onContextOf(func(c *call[*Fsreconfigure], x *Context) bool {
			return x.FS != nil && !c.Caller.capable(x.FS.Userns, uapi.CAP_SYS_ADMIN)
		})},
}

const noCapInFS = "the caller lacks CAP_SYS_ADMIN in the bpffs's user namespace"

func (r *Fsreconfigure) decide(w *World, trace *[]Line) Verdict {
	return run(w, "fsreconfigure", r, nil, fsreconfigureRules, trace)
}

// Fsmount is fsmount(2).
type Fsmount struct{ FD FD }

func (r *Fsmount) contextFD() FD { return r.FD }

var fsmountRules = []rule[*Fsmount]{
	mayMount[*Fsmount](),
	contextBadFD[*Fsmount]("fsmount"),
	notContext[*Fsmount]("fsmount"),
	{id: "nothing-created", fn: "fsmount", errno: eINVAL, text: "the context created no bpffs",
		holds: onContextOf(func(_ *call[*Fsmount], x *Context) bool { return x.FS == nil })},
	{id: "phase", fn: "fsmount", errno: eBUSY, text: "the context's bpffs is already mounted",
		holds: onContextOf(func(_ *call[*Fsmount], x *Context) bool { return x.Phase != AwaitingMount })},
}

func (r *Fsmount) decide(w *World, trace *[]Line) Verdict {
	return run(w, "fsmount", r, nil, fsmountRules, trace)
}

// MountCall is a call on the mount at a place. On is that mount, nil if nothing
// is mounted there.
type MountCall struct {
	What    string
	FD      FD // of MoveMount
	On      *Mount
	Options []MountOption // of mount and remount
	Busy    bool          // a process has a file of the mount open
	Lazy    bool          // umount with MNT_DETACH
}

// The calls of a MountCall.
const (
	Fspick     = "fspick"
	CloneMount = "clone_mount" // open_tree(2) with OPEN_TREE_CLONE
	Bind       = "bind"
	MoveMount  = "move_mount"
	Umount     = "umount"
	Share      = "share" // mount(2) with MS_SHARED
)

type mountCall = call[*MountCall]

var mountCallRules = map[string][]rule[*MountCall]{
	Fspick:     {mayMount[*MountCall](), nothingMounted("fspick")},
	CloneMount: {mayMount[*MountCall]()},
	Bind:       {mayMount[*MountCall]()},
	MoveMount: {
		mayMount[*MountCall](),
		{id: "bad-fd", fn: "move_mount", errno: eBADF, text: "the descriptor is not open",
			holds: func(c *mountCall) bool { return c.req.FD.Kind == Closed }},
		{id: "no-mount", fn: "do_move_mount", errno: eINVAL, text: "the descriptor is not the root of a mount",
			holds: func(c *mountCall) bool { return c.req.FD.Mount == nil || c.req.FD.Kind != Path }},
	},
	Umount: {
		mayMount[*MountCall](), nothingMounted("can_umount"),
		{id: "busy", fn: "do_umount", errno: eBUSY, text: "a process has a file of the mount open",
			holds: func(c *mountCall) bool { return c.req.Busy && !c.req.Lazy }},
	},
	Share: {mayMount[*MountCall](), nothingMounted("do_change_type")},
}

const nothingMountedText = "nothing is mounted there"

func nothingMounted(fn string) rule[*MountCall] {
	return rule[*MountCall]{id: "nothing-mounted", fn: fn, errno: eINVAL, text: nothingMountedText,
		holds: func(c *mountCall) bool { return c.req.On == nil }}
}

func (r *MountCall) decide(w *World, trace *[]Line) Verdict {
	return run(w, r.What, r, nil, mountCallRules[r.What], trace)
}

// Mounting is mount(2) of a new bpffs, Remounting of the bpffs at a place.
type (
	Mounting   struct{ Options []MountOption }
	Remounting struct {
		Options []MountOption
		On      *Mount
	}
)

// oneOption is a Mounting or a Remounting with the option that bpf_parse_param
// refuses first, if there is one: the rules look at that option alone.
type oneOption struct {
	set MountOption
	fs  *Userns
	on  *Mount // of a Remounting
}

func (r *oneOption) option() MountOption { return r.set }
func (r *oneOption) into() *Userns       { return r.fs }

// firstRefused returns the first option that bpf_parse_param refuses.
func firstRefused(w *World, fs *Userns, options []MountOption) MountOption {
	for _, o := range options {
		probe := &oneOption{set: o, fs: fs}
		if run(w, "option", probe, nil, optionRules, nil).Errno != 0 {
			return o
		}
	}
	return MountOption{}
}

// optionRules are bpf_parse_param alone.
var optionRules = []rule[*oneOption]{
	optionMalformed[*oneOption](),
	optionOutOfRange[*oneOption](),
	optionUnmappedID[*oneOption](),
	optionUnprivileged[*oneOption](),
}

var mountRules = []rule[*oneOption]{
	mayMount[*oneOption](),
	optionMalformed[*oneOption](),
	optionOutOfRange[*oneOption](),
	optionUnmappedID[*oneOption](),
	optionUnprivileged[*oneOption](),
	{id: "fill-super", fn: "bpf_fill_super", errno: ePERM, text: fillSuperText,
		holds: func(c *call[*oneOption]) bool { return c.Caller.Userns != Initial }},
}

func (r *Mounting) decide(w *World, trace *[]Line) Verdict {
	fs := w.Caller.Userns
	return run(w, "mount", &oneOption{set: firstRefused(w, fs, r.Options), fs: fs}, nil, mountRules, trace)
}

var remountRules = []rule[*oneOption]{
	mayMount[*oneOption](),
	{id: "nothing-mounted", fn: "do_remount", errno: eINVAL, text: nothingMountedText,
		holds: func(c *call[*oneOption]) bool { return c.req.on == nil }},
	optionMalformed[*oneOption](),
	optionOutOfRange[*oneOption](),
	optionUnmappedID[*oneOption](),
	optionUnprivileged[*oneOption](),
	{id: "no-cap", fn: "do_remount", errno: ePERM, text: noCapInFS,
		holds: func(c *call[*oneOption]) bool {
			return c.req.on != nil && !c.Caller.capable(c.req.on.FS.Userns, uapi.CAP_SYS_ADMIN)
		}},
}

func (r *Remounting) decide(w *World, trace *[]Line) Verdict {
	fs := r.On.userns()
	return run(w, "remount", &oneOption{firstRefused(w, fs, r.Options), fs, r.On}, nil, remountRules, trace)
}

// ShownOptions is what /proc/PID/mountinfo shows of a bpffs, bpf_show_options.
// It is false if the kernel may have a name for a bit that the tables do not have.
func (k *Kernel) ShownOptions(b *BPFFS) (string, bool) {
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
		text, known := k.shownMask(o.Enum, *b.Delegate.Of(o.Name), ends[i])
		if !known {
			return "", false
		}
		if text != "" {
			out = append(out, o.Name+"="+text)
		}
	}
	return strings.Join(out, ","), true
}

// shownMask mirrors seq_print_delegate_opts: the first name of each bit, then
// the bits without a name as a number. A kernel without BTF has no names.
func (k *Kernel) shownMask(e *uapi.Enum, mask uint64, end uint32) (text string, known bool) {
	all := uint64(1)<<end - 1
	if mask &= all; mask == all {
		return "any", true
	}
	var out []string
	if !k.NoBTF {
		for _, m := range e.Members {
			if bit := uint64(1) << (m.Value % 64); mask&bit != 0 && k.knows(e, m) {
				out, mask = append(out, m.Name), mask&^bit
			}
		}
		if mask != 0 && k.namesMore(e) {
			return "", false
		}
	}
	if mask != 0 {
		out = append(out, fmt.Sprintf("%#x", mask))
	}
	return strings.Join(out, ":"), true
}

// namesMore reports whether the kernel may have a name that the enumeration's table
// does not have.
func (k *Kernel) namesMore(e *uapi.Enum) bool {
	names := k.Enumerators[e.Tag]
	for _, name := range names {
		known := slices.ContainsFunc(e.Members, func(m uapi.Member) bool { return e.Symbol(m) == name })
		if !known && !strings.HasPrefix(name, "__MAX_") {
			return true
		}
	}
	return names == nil
}
