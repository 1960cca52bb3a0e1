package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// Permission bits of a mode.
const (
	mayRead  = 4
	mayWrite = 2
	mayExec  = 1
)

// permits mirrors inode_permission: the mode's bits for the caller, or else a
// capability in the caller's user namespace, which must map the file's owner
// and group (capable_wrt_inode_uidgid).
func (i Inode) permits(c Cred, want uint32) bool {
	shift := 0
	switch {
	case c.Euid == i.UID:
		shift = 6
	case c.Euid == i.GID: // an actor's group has the number of its user
		shift = 3
	}
	if i.Mode>>shift&want == want {
		return true
	}
	if !c.Userns.maps(i.UID) || !c.Userns.maps(i.GID) {
		return false
	}
	return c.Caps.Has(uapi.CAP_DAC_OVERRIDE) || want&mayWrite == 0 && c.Caps.Has(uapi.CAP_DAC_READ_SEARCH)
}

const searchText = "the mode of the directory does not let the caller search it"

// Open is openat(2) of a directory, or of a name in it.
type Open struct {
	FD    FD
	Place bool // the directory is named by a path, not by a descriptor
	Name  string
	Path  bool // with O_PATH
}

type openCall = call[*Open]

var openRules = []rule[*Open]{
	{id: "bad-fd", fn: "openat", errno: eBADF, text: "the descriptor is not open",
		holds: func(c *openCall) bool { return c.req.FD.Kind == Closed }},
	{id: "no-directory", fn: "path_init", errno: eNOTDIR, text: "the descriptor is not a directory",
		holds: func(c *openCall) bool {
			return !slices.Contains([]FDKind{BPFFSRoot, Dir, Path, Closed}, c.req.FD.Kind)
		}},
	{id: "search", fn: "inode_permission", errno: eACCES, text: searchText,
		holds: func(c *openCall) bool {
			fs := c.req.FD.BPFFS
			return fs != nil && (!c.req.Place || c.req.Name != "") && !fs.Root.permits(c.Caller, mayExec)
		}},
	{id: "no-name", fn: "path_openat", errno: eNOENT, text: "the name does not exist",
		holds: func(c *openCall) bool {
			fs := c.req.FD.BPFFS
			return c.req.Name != "" && (fs == nil || !slices.Contains(fs.Names, c.req.Name))
		}},
	{id: "read", fn: "may_open", errno: eACCES, text: "the mode of the directory does not let the caller read it",
		holds: func(c *openCall) bool {
			fs := c.req.FD.BPFFS
			return fs != nil && !c.req.Path && c.req.Name == "" && !fs.Root.permits(c.Caller, mayRead)
		}},
}

func (r *Open) decide(w *World, trace *[]Line) Verdict {
	return run(w, "open", r, nil, openRules, trace)
}

// Chmod is fchmod(2) of a bpffs's root.
type Chmod struct{ FD FD }

type chmodCall = call[*Chmod]

var chmodRules = []rule[*Chmod]{
	{id: "bad-fd", fn: "fchmod", errno: eBADF, text: badFDText,
		holds: func(c *chmodCall) bool { return c.req.FD.notOpen() }},
	{id: "not-owner", fn: "setattr_prepare", errno: ePERM,
		text: "the caller is not the owner of the directory, " +
			"and has no CAP_FOWNER in a user namespace that maps its owner and group",
		holds: notOwner},
}

// notOwner mirrors inode_owner_or_capable.
func notOwner(c *chmodCall) bool {
	fs := c.req.FD.BPFFS
	if fs == nil || fs.Root.UID == c.Caller.Euid {
		return false
	}
	ns := c.Caller.Userns
	return !c.Caller.Caps.Has(uapi.CAP_FOWNER) || !ns.maps(fs.Root.UID) || !ns.maps(fs.Root.GID)
}

func (r *Chmod) decide(w *World, trace *[]Line) Verdict {
	return run(w, "chmod", r, nil, chmodRules, trace)
}

// MakeName is BPF_OBJ_PIN, mkdirat(2) or linkat(2): a new name in the root of
// a bpffs.
type MakeName struct {
	What string // Pin, Mkdir or Link
	FD   FD     // the object or file that gets the name; unused by Mkdir
	In   FD
	Name string
}

// The calls of a MakeName.
const (
	Pin   = "pin"
	Mkdir = "mkdir"
	Link  = "link"
)

func (r *MakeName) command() uapi.Cmd { return uapi.BPF_OBJ_PIN } // lsmBPF is in Pin's list alone

// nameRules have for each call its checks in the kernel's order: user_path_create
// or filename_create, then may_create_dentry.
var nameRules = map[string][]rule[*MakeName]{
	Pin: {
		lsmBPF[*MakeName](),
		{id: "no-object", fn: "bpf_fd_probe_obj", errno: eINVAL,
			text:  "the descriptor is not a map, a program or a link (a token cannot be pinned)",
			holds: func(c *nameCall) bool { return !c.req.FD.Pinned }},
		searchDir, nameTaken, unmappedCaller, writeDir,
	},
	Mkdir: {searchDir, nameTaken, unmappedCaller, writeDir},
	Link: {
		searchDir, nameTaken,
		{id: "other-mount", fn: "do_linkat", errno: eXDEV, text: "the file is on another mount",
			holds: func(c *nameCall) bool { return c.req.FD.Mount != c.req.In.Mount }},
		unmappedCaller, writeDir,
		{id: "no-link", fn: "vfs_link", errno: eNOENT, text: "the file has no link (a token has no name)",
			holds: func(c *nameCall) bool { return c.req.FD.Kind == TokenFD }},
	},
}

type nameCall = call[*MakeName]

var (
	searchDir = rule[*MakeName]{id: "search", fn: "inode_permission", errno: eACCES, text: searchText,
		holds: func(c *nameCall) bool { return !c.req.permits(c.Caller, mayExec) }}
	nameTaken = rule[*MakeName]{id: "taken", fn: "filename_create", errno: eEXIST, text: "the name already exists",
		holds: func(c *nameCall) bool {
			fs := c.req.In.BPFFS
			return fs != nil && slices.Contains(fs.Names, c.req.Name)
		}}
	unmappedCaller = rule[*MakeName]{id: "unmapped", fn: "may_create_dentry", errno: eOVERFLOW,
		text: "the bpffs's user namespace does not map the caller's uid",
		holds: func(c *nameCall) bool {
			fs := c.req.In.BPFFS
			return fs != nil && !fs.Userns.maps(c.Caller.Euid)
		}}
	writeDir = rule[*MakeName]{id: "write", fn: "may_create_dentry", errno: eACCES,
		text:  "the mode of the directory does not let the caller write to it",
		holds: func(c *nameCall) bool { return !c.req.permits(c.Caller, mayWrite|mayExec) }}
)

func (r *MakeName) permits(c Cred, want uint32) bool {
	return r.In.BPFFS == nil || r.In.BPFFS.Root.permits(c, want)
}

func (r *MakeName) decide(w *World, trace *[]Line) Verdict {
	if r.In.Kind != BPFFSRoot || r.What == Link && r.FD.Kind != TokenFD {
		return Verdict{
			Rule: "the oracle covers only names in the root of a bpffs, and links of tokens",
			ID:   r.What + "/not-modelled",
		}
	}
	return run(w, r.What, r, nil, nameRules[r.What], trace)
}
