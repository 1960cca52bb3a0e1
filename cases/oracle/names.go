package oracle

import (
	"strings"

	"tokentest/cases/uapi"
)

// MakeName is BPF_OBJ_PIN, mkdirat(2), symlinkat(2) or linkat(2): a new name in a directory.
type MakeName struct {
	What string // Pin, Mkdir, Symlink or Link
	FD   FD     // the object or file that gets the name; unused by Mkdir and Symlink
	In   FD
	Name string
}

// The calls of a MakeName.
const (
	Pin   = "pin"
	Mkdir = "mkdir"
	Link  = "link"
	// Symlink is symlinkat(2), to a name that is not there.
	Symlink = "symlink"
)

type nameCall = call[*MakeName]

func (r *MakeName) command() uapi.Cmd { return uapi.BPF_OBJ_PIN } // lsmBPF is in Pin's list alone

// Target is the directory that gets the name, and the last name of the path; nil for none.
func (r *MakeName) Target(c Cred) (*Node, string) {
	_, in, end := r.In.dir().lookup(c, r.Name)
	if end != missing {
		return nil, ""
	}
	return in, r.Name[strings.LastIndexByte(r.Name, '/')+1:]
}

// lastNorm reports whether the last name of the path is neither empty, "." nor "..": LAST_NORM.
func (r *MakeName) lastNorm() bool {
	last := r.Name[strings.LastIndexByte(r.Name, '/')+1:]
	return last != "" && last != "." && last != ".."
}

// walk mirrors filename_create, which looks up only a last name that is a name.
func (r *MakeName) walk(c Cred) fate {
	if r.lastNorm() || r.In.dir() == nil || strings.Contains(r.Name, "/") || r.Name == "" {
		_, _, end := r.In.dir().lookup(c, r.Name)
		if r.What == Pin && r.In.isDir() && r.In.dir() == nil && r.lastNorm() && !strings.Contains(r.Name, "/") {
			return missing // noBPFFS decides
		}
		return end
	}
	_, _, end := r.In.dir().lookup(c, ".")
	return end
}

// namePath are the checks of filename_create.
var namePath = rulesOf(
	[]rule[*MakeName]{
		{id: "bad-dir-fd", fn: "path_init", errno: eBADF, text: "the directory's descriptor is not open",
			holds: func(c *nameCall) bool { return c.req.In.Kind == Closed }},
		{id: "no-directory", fn: "path_init", errno: eNOTDIR, text: "the directory's descriptor is not a directory",
			holds: func(c *nameCall) bool { return c.req.In.Kind != Closed && !c.req.In.isDir() }},
		{id: "slash-not-modelled", blind: true, text: "the oracle does not cover paths that end with a slash",
			holds: func(c *nameCall) bool { return c.req.Name == "" || strings.HasSuffix(c.req.Name, "/") }},
	},
	pathRules[*MakeName](),
	[]rule[*MakeName]{
		{id: "taken", fn: "filename_create", errno: eEXIST, text: "the name already exists",
			holds: func(c *nameCall) bool { return c.req.walk(c.Caller) == found }},
		{id: "read-only", fn: "filename_create", errno: eROFS, text: "the directory is on a mount that is read-only",
			holds: func(c *nameCall) bool { return c.req.In.Mount != nil && c.req.In.Mount.Only }},
	},
)

var (
	noBPFFS = rule[*MakeName]{id: "no-bpffs", fn: "bpf_obj_do_pin", errno: ePERM,
		text:  "the directory is not in a bpffs",
		holds: func(c *nameCall) bool { return c.req.In.dir() == nil }}
	unmappedCaller = rule[*MakeName]{id: "unmapped", fn: "may_create_dentry", errno: eOVERFLOW,
		text: "the bpffs's user namespace does not map the caller's uid",
		holds: func(c *nameCall) bool {
			fs := c.req.In.BPFFS
			return fs != nil && !fs.Userns.maps(c.Caller.Euid)
		}}
	writeDir = rule[*MakeName]{id: "write", fn: "may_create_dentry", errno: eACCES,
		text: "the mode of the directory does not let the caller write to it",
		holds: func(c *nameCall) bool {
			in, _ := c.req.Target(c.Caller)
			return in != nil && !in.permits(c.Caller, mayWrite|mayExec)
		}}
)

// lsmMknod is the hook of a file that a bpffs gets.
func lsmMknod[R any]() rule[R] {
	return lsmRule("lsm-mknod", "bpf_obj_do_pin", "the LSM hook path_mknod refuses the name", uapi.HookPathMknod,
		func(*call[R]) hookArgs { return hookArgs{} })
}

// lsmNew are the hooks of the directory that a name is made in, and of the new file's label, which 7.2 added.
func lsmNew[R any]() []rule[R] {
	return []rule[R]{
		lsmRule("lsm-inode", "may_create_dentry", "the LSM hook inode_permission refuses the directory",
			uapi.HookInodePermission, func(*call[R]) hookArgs { return hookArgs{mask: mayWrite | mayExec} }),
		labels(lsmRule("lsm-init", "security_inode_init_security", "the LSM hook inode_init_security refuses the file",
			uapi.HookInodeInit, func(*call[R]) hookArgs { return hookArgs{} })).from(7, 2),
	}
}

// labels returns the rule for kernels on which a security module labels new files.
func labels[R any](r rule[R]) rule[R] {
	holds := r.holds
	r.holds = func(c *call[R]) bool { return !c.Kernel.NoLabels && holds(c) }
	return r
}

// nameRules have for each call its checks in the kernel's order: the lookup of filename_create,
// then may_create_dentry.
var nameRules = map[string][]rule[*MakeName]{
	Pin: rulesOf(
		[]rule[*MakeName]{
			lsmBPF[*MakeName](),
			{id: "no-object", fn: "bpf_fd_probe_obj", errno: eINVAL,
				text:  "the descriptor is not a map, a program or a link (a token cannot be pinned)",
				holds: func(c *nameCall) bool { return !c.req.FD.Pinned || c.req.FD.notOpen() }},
		},
		namePath,
		[]rule[*MakeName]{noBPFFS, landlock[*MakeName]("hook_path_mknod", "to make a file"), lsmMknod[*MakeName](),
			unmappedCaller, writeDir},
		lsmNew[*MakeName](),
	),
	Mkdir: rulesOf(namePath, []rule[*MakeName]{landlock[*MakeName]("hook_path_mkdir", "to make a directory"),
		unmappedCaller, writeDir}, lsmNew[*MakeName]()),
	Symlink: rulesOf(namePath, []rule[*MakeName]{landlock[*MakeName]("hook_path_symlink", "to make a symbolic link"),
		unmappedCaller, writeDir}, lsmNew[*MakeName]()),
	Link: rulesOf(
		[]rule[*MakeName]{
			{id: "not-modelled", blind: true, text: "the oracle covers only links of tokens",
				holds: func(c *nameCall) bool { return c.req.FD.Kind != TokenFD }},
		},
		namePath,
		[]rule[*MakeName]{
			{id: "other-mount", fn: "do_linkat", errno: eXDEV, text: "the file is on another mount",
				holds: func(c *nameCall) bool { return c.req.FD.Mount != c.req.In.Mount }},
			unmappedCaller, writeDir, lsmNew[*MakeName]()[0],
			{id: "no-link", fn: "vfs_link", errno: eNOENT, text: "the file has no link (a token has no name)",
				holds: func(c *nameCall) bool { return c.req.FD.Kind == TokenFD }},
		},
	),
}

func (r *MakeName) decide(w *World, trace *[]Line) Verdict {
	return run(w, r.What, r, nil, nameRules[r.What], trace)
}

// ObjGet is BPF_OBJ_GET of a path in a bpffs.
type ObjGet struct {
	In    FD
	Name  string
	Flags uint32
}

type getCall = call[*ObjGet]

func (r *ObjGet) command() uapi.Cmd { return uapi.BPF_OBJ_GET }

// Node is the file that the path leads to, or nil.
func (r *ObjGet) Node(c Cred) *Node {
	n, _, end := r.In.dir().lookup(c, r.Name)
	n, _ = follow(n, end)
	return n
}

// access is what bpf_obj_do_get asks of the file's mode, ACC_MODE of the flags.
func (r *ObjGet) access() uint32 {
	switch DirectionOf(r.Flags) {
	case ReadOnly:
		return mayRead
	case WriteOnly:
		return mayWrite
	}
	return mayRead | mayWrite
}

func (r *ObjGet) walk(c Cred) fate {
	n, _, end := r.In.dir().lookup(c, r.Name)
	_, end = follow(n, end)
	return end
}

// objGetRules are the checks of bpf_obj_get_user and bpf_obj_do_get of kernel/bpf/inode.c.
var objGetRules = rulesOf(
	[]rule[*ObjGet]{
		lsmBPF[*ObjGet](),
		{id: "flags", fn: "bpf_obj_get", errno: eINVAL, text: "the flags are not BPF_F_RDONLY or BPF_F_WRONLY",
			holds: func(c *getCall) bool { return c.req.Flags&^fFile != 0 || c.req.Flags&fFile == fFile }},
		{id: "bad-dir-fd", fn: "path_init", errno: eBADF, text: "the directory's descriptor is not open",
			holds: func(c *getCall) bool { return c.req.In.Kind == Closed }},
		{id: "no-directory", fn: "path_init", errno: eNOTDIR, text: "the directory's descriptor is not a directory",
			holds: func(c *getCall) bool { return c.req.In.Kind != Closed && !c.req.In.isDir() }},
		{id: "slash-not-modelled", blind: true, text: "the oracle does not cover paths that end with a slash",
			holds: func(c *getCall) bool { return c.req.Name == "" || strings.HasSuffix(c.req.Name, "/") }},
	},
	pathRules[*ObjGet](),
	[]rule[*ObjGet]{
		{id: "no-name", fn: "bpf_obj_do_get", errno: eNOENT, text: "the name does not exist",
			holds: func(c *getCall) bool { return c.req.walk(c.Caller) == missing }},
		{id: "file", fn: "bpf_obj_do_get", errno: eACCES,
			text: "the mode of the pinned file does not let the caller open it for what the flags say",
			holds: func(c *getCall) bool {
				n := c.req.Node(c.Caller)
				return n != nil && !n.permits(c.Caller, c.req.access())
			}},
		lsmRule("lsm-inode", "path_permission", "the LSM hook inode_permission refuses the file", uapi.HookInodePermission,
			func(*getCall) hookArgs { return hookArgs{mask: mayReadWrite} }),
		{id: "no-object", fn: "bpf_inode_type", errno: eACCES, text: "the name is a directory, not a pinned object",
			holds: func(c *getCall) bool {
				n := c.req.Node(c.Caller)
				return n != nil && n.Object == nil
			}},
		selinuxObject("selinux_bpf_map, selinux_bpf_prog", func(c *getCall) *FD {
			n := c.req.Node(c.Caller)
			if n == nil || n.Object == nil {
				return nil
			}
			fd := *n.Object
			fd.Only = DirectionOf(c.req.Flags)
			return &fd
		}),
		{id: "lsm-map", fn: "bpf_map_new_fd", text: "the LSM hook bpf_map refuses the descriptor",
			holds:  objHook(uapi.HookMap, func(n *Node) bool { return n.Object.Map != uapi.BPF_MAP_TYPE_UNSPEC }),
			answer: func(c *getCall) uapi.Errno { return c.refused }},
		{id: "lsm-prog", fn: "bpf_prog_new_fd", text: "the LSM hook bpf_prog refuses the descriptor",
			holds:  objHook(uapi.HookProg, func(n *Node) bool { return n.Object.Loaded != nil }),
			answer: func(c *getCall) uapi.Errno { return c.refused }},
		{id: "link-flags", fn: "bpf_obj_get_user", errno: eINVAL, text: "a link is opened for both directions only",
			holds: func(c *getCall) bool {
				n := c.req.Node(c.Caller)
				return n != nil && n.Object != nil && n.Object.Link != nil && c.req.Flags != 0
			}},
	},
)

// objHook asks a hook for the descriptor of a pinned object of a kind.
func objHook(h uapi.Hook, of func(n *Node) bool) func(c *getCall) bool {
	return func(c *getCall) bool {
		c.refused = 0
		if n := c.req.Node(c.Caller); n != nil && n.Object != nil && of(n) {
			c.refused = c.hook(h, hookArgs{mask: fmode(0)})
		}
		return c.refused != 0
	}
}

func (r *ObjGet) decide(w *World, trace *[]Line) Verdict {
	return run(w, "get_pinned", r, nil, objGetRules, trace)
}
