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
	Source bool   // the source is set
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
	Only  bool   // MNT_READONLY
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
	{id: "source", fn: "vfs_parse_fs_param_source", errno: eINVAL, text: "the source is no string, or is set already",
		holds: onContextOf(func(c *call[*Fsconfig], x *Context) bool {
			return c.req.Set.Name == sourceOption && (x.Source || c.req.Set.Flag)
		})},
}

// sourceOption is the option that every file system takes.
const sourceOption = "source"

func (r *Fsconfig) decide(w *World, trace *[]Line) Verdict {
	return run(w, "fsconfig", r, nil, fsconfigRules, trace)
}

// Fscreate is FSCONFIG_CMD_CREATE, or FSCONFIG_CMD_CREATE_EXCL. A bpffs is never shared, so that both decide the
// same; 6.6 has the second.
type Fscreate struct {
	FD   FD
	Excl bool
}

func (r *Fscreate) contextFD() FD { return r.FD }

var fscreateRules = []rule[*Fscreate]{
	{id: "excl", fn: "fsconfig", errno: eOPNOTSUPP, until: linux(6, 6), text: "the kernel does not know the command",
		holds: func(c *call[*Fscreate]) bool { return c.req.Excl }},
	contextBadFD[*Fscreate]("fsconfig"),
	notContext[*Fscreate]("fsconfig"),
	{id: "phase", fn: "vfs_cmd_create", errno: eBUSY, text: "the context already created its bpffs, or failed to",
		holds: onContextOf(func(_ *call[*Fscreate], x *Context) bool { return x.Phase != CreateParams })},
	{id: "mount-capable-initial", fn: "mount_capable", errno: ePERM, until: linux(6, 9), text: capableText,
		holds: onContextOf(func(c *call[*Fscreate], _ *Context) bool { return !c.initialCapable(uapi.CAP_SYS_ADMIN) })},
	{id: "mount-capable", fn: "mount_capable", errno: ePERM, since: linux(6, 9),
		text: "the caller lacks CAP_SYS_ADMIN in the opener's user namespace",
		holds: onContextOf(func(c *call[*Fscreate], x *Context) bool {
			return !c.Caller.capable(x.Userns, uapi.CAP_SYS_ADMIN)
		})},
	{id: "userns-mount", fn: "sget_fc", errno: ePERM, until: linux(6, 9), fix: &usernsFix, text: usernsText,
		holds: onContextOf(func(_ *call[*Fscreate], x *Context) bool { return x.Userns != Initial })},
	{id: "userns-not-modelled", blind: true, until: linux(6, 9), text: usernsUnknown,
		holds: onContextOf(func(c *call[*Fscreate], x *Context) bool {
			return x.Userns != Initial && !usernsFix.in(c.Kernel)
		})},
	{id: "fill-super", fn: "bpf_fill_super", errno: ePERM, since: linux(6, 9), text: fillSuperText,
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
	capableText   = "before 6.9 bpffs has no FS_USERNS_MOUNT: it needs CAP_SYS_ADMIN " + initialNS
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
	FD      FD   // of MoveMount, and of CloneMount and Bind with Of
	Of      bool // the file of FD is copied, not what is mounted at a place
	On      *Mount
	Options []MountOption // of mount and remount
	Here    bool          // the mount is in the caller's mount namespace
	Held    bool          // it is detached, and the descriptor that made it is open
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
	CloneMount: {mayMount[*MountCall](), copyBadFD, copyNotHere, copyPseudo},
	Bind: {mayMount[*MountCall](), copyNoName, copyNotHere, copyPseudo,
		{id: "no-directory", fn: "graft_tree", errno: eNOTDIR, text: "the file is no directory, and the place is one",
			holds: func(c *mountCall) bool { return c.req.Of && c.req.FD.Kind == TokenFD }}},
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

// The checks of a copy of a mount: open_tree(2) with OPEN_TREE_CLONE, or MS_BIND, of a descriptor's file.
var (
	copyBadFD = rule[*MountCall]{id: "bad-fd", fn: "path_init", errno: eBADF, text: "the descriptor is not open",
		holds: func(c *mountCall) bool { return c.req.Of && c.req.FD.Kind == Closed }}
	copyNoName = rule[*MountCall]{id: "no-name", fn: "do_loopback", errno: eNOENT, text: "the descriptor is not open",
		holds: func(c *mountCall) bool { return c.req.Of && c.req.FD.Kind == Closed }}
	// Since 6.15 a detached mount can be copied by the one whose mount namespace it comes from, until the descriptor that
	// made it is closed.
	copyNotHere = rule[*MountCall]{id: "not-here", fn: "__do_loopback", errno: eINVAL,
		text: "the file is on a mount of another mount namespace, on a dissolved one, or before 6.15 on a detached one",
		holds: func(c *mountCall) bool {
			m := c.req.FD.Mount
			return c.req.Of && m != nil && !c.req.Here && (m.At != 0 || !c.req.Held || !c.Kernel.has(linux(6, 15)))
		}}
	copyPseudo = rule[*MountCall]{id: "pseudo", fn: "__do_loopback", errno: eINVAL, fix: &pseudoFix,
		text:  "the file is a token, which has no name in a bpffs (DCACHE_NORCU)",
		holds: func(c *mountCall) bool { return c.req.Of && c.req.FD.Kind == TokenFD }}
)

// pseudoFix is the check of DCACHE_NORCU in __do_loopback: before it, open_tree(2) made a mount of a token's
// file. Seen: absent from 6.12.111, 6.16.12, 6.18.15, 6.19.14, 7.0.13 and 7.2.9; present in 6.12.113, 6.12.118, 7.2.11
// and 7.3.4.
var pseudoFix = fix{
	since:  linux(7, 3),
	stable: map[uapi.Release]int{linux(6, 12): 113, linux(7, 2): 11},
}

// MountAttr is mount_setattr(2) of a descriptor's mount.
type MountAttr struct {
	FD    FD
	IDMap *FD  // MOUNT_ATTR_IDMAP with this user namespace, or
	Only  bool // MOUNT_ATTR_RDONLY set or cleared
	Here  bool // the mount is in the caller's mount namespace
	There bool // it is in that of another actor
	Held  bool // it is detached, and the descriptor that made it is open
}

type attrCall = call[*MountAttr]

// idMap makes a rule of a check of the user namespace.
func idMap(f func(c *attrCall, fd *FD) bool) func(c *attrCall) bool {
	return func(c *attrCall) bool { return c.req.IDMap != nil && f(c, c.req.IDMap) }
}

// mountAttrRules are the checks of wants_mount_setattr, filename_lookup and do_mount_setattr of fs/namespace.c.
var mountAttrRules = []rule[*MountAttr]{
	mayMount[*MountAttr](),
	{id: "idmap-bad-fd", fn: "build_mount_idmapped", errno: eBADF, text: badFDText,
		holds: idMap(func(_ *attrCall, fd *FD) bool { return fd.notOpen() })},
	{id: "idmap-no-userns", fn: "build_mount_idmapped", errno: eINVAL, text: "the descriptor is not a user namespace",
		holds: idMap(func(_ *attrCall, fd *FD) bool { return fd.Kind != UsernsFD })},
	{id: "idmap-initial", fn: "build_mount_idmapped", errno: ePERM, text: "it is the initial user namespace",
		holds: idMap(func(_ *attrCall, fd *FD) bool { return fd.Userns == Initial })},
	{id: "idmap-no-cap", fn: "build_mount_idmapped", errno: ePERM, text: "the caller lacks CAP_SYS_ADMIN in it",
		holds: idMap(func(c *attrCall, fd *FD) bool {
			return fd.Userns != nil && !c.Caller.capable(fd.Userns, uapi.CAP_SYS_ADMIN)
		})},
	{id: "bad-fd", fn: "path_init", errno: eBADF, text: "the descriptor is not open",
		holds: func(c *attrCall) bool { return c.req.FD.Kind == Closed }},
	{id: "no-mount", fn: "do_mount_setattr", errno: eINVAL, text: "the file is not the root of a mount",
		holds: func(c *attrCall) bool {
			k := c.req.FD.Kind
			return k == TokenFD || k == Object || k == ContextFD || k == UsernsFD || k == Dir && c.req.FD.Node != nil
		}},
	{id: "not-modelled", blind: true, text: "the oracle covers only detached mounts and those of actors",
		holds: func(c *attrCall) bool { return !c.req.Here && !c.req.There && !c.req.Held }},
	{id: "not-here", fn: "do_mount_setattr", errno: eINVAL, text: "the mount is in another mount namespace",
		holds: func(c *attrCall) bool { return c.req.There }},
	{id: "idmap", fn: "can_idmap_mount", errno: eINVAL,
		text:  "a bpffs takes no id mapping (no FS_ALLOW_IDMAP), and none takes that of its own user namespace",
		holds: func(c *attrCall) bool { return c.req.IDMap != nil }},
}

func (r *MountAttr) decide(w *World, trace *[]Line) Verdict {
	return run(w, "mount_attr", r, nil, mountAttrRules, trace)
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
	{id: "landlock", fn: "hook_sb_mount", errno: ePERM, text: "the thread has a Landlock domain, and may not mount",
		holds: func(c *call[*oneOption]) bool { return c.Sandbox }},
	mayMount[*oneOption](),
	optionMalformed[*oneOption](),
	optionOutOfRange[*oneOption](),
	optionUnmappedID[*oneOption](),
	optionUnprivileged[*oneOption](),
	{id: "mount-capable-initial", fn: "mount_capable", errno: ePERM, until: linux(6, 9), text: capableText,
		holds: func(c *call[*oneOption]) bool { return !c.initialCapable(uapi.CAP_SYS_ADMIN) }},
	{id: "fill-super", fn: "bpf_fill_super", errno: ePERM, since: linux(6, 9), text: fillSuperText,
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
