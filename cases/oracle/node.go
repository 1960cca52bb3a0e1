package oracle

import (
	"slices"
	"strings"

	"tokentest/cases/uapi"
)

// Inode is what permission checks read of a file: the kuids of its owner and
// its group, and its mode.
type Inode struct {
	UID, GID, Mode uint32
	Labels         Labels
}

// Node is a file in a bpffs: a directory or a pinned object.
type Node struct {
	Inode
	Names  map[string]*Node // of a directory
	Parent *Node            // nil for the root of the bpffs
	Object *FD              // what is pinned; nil for a directory
	Astray bool             // a symbolic link to a name that is not there
}

const (
	// pinMode is the mode of a pinned object, bpf_mkobj_ops. The guest's umask is 0.
	pinMode = 0o600
	// mkdirMode is the mode with which the guest calls mkdirat(2).
	mkdirMode   = 0o755
	symlinkMode = 0o777
	setgid      = 0o2000
	sticky      = 0o1000
	allBits     = 0o7777 // S_IALLUGO
)

// Pin notes that a thread with this kuid pinned an object in the directory.
func (n *Node) Pin(name string, fd FD, kuid uint32) {
	n.add(name, &Node{Inode: Inode{UID: kuid, GID: kuid, Mode: pinMode}, Object: &fd})
}

// Mkdir notes that a thread with this kuid made a directory in the directory.
func (n *Node) Mkdir(name string, kuid uint32) {
	d := &Node{Inode: Inode{UID: kuid, GID: kuid, Mode: mkdirMode}}
	if n.Mode&setgid != 0 {
		d.Mode |= setgid
	}
	n.add(name, d)
}

// Symlink notes that a thread with this kuid made a symbolic link to a name that is not there.
func (n *Node) Symlink(name string, kuid uint32) {
	n.add(name, &Node{Inode: Inode{UID: kuid, GID: kuid, Mode: symlinkMode}, Astray: true})
}

// follow is the file that a lookup leads to, for a call that follows a symbolic link.
func follow(n *Node, end fate) (*Node, fate) {
	if end == found && n != nil && n.Astray {
		return nil, missing
	}
	return n, end
}

// add mirrors inode_init_owner: in a directory with S_ISGID a file has the directory's group.
func (n *Node) add(name string, file *Node) {
	if n.Names == nil {
		n.Names = map[string]*Node{}
	}
	if n.Mode&setgid != 0 {
		file.GID = n.GID
	}
	file.Parent, n.Names[name] = n, file
}

// dir returns the directory of a bpffs that a descriptor refers to, or nil.
func (f FD) dir() *Node {
	switch kind := f.refersTo(); {
	case kind == BPFFSRoot && f.BPFFS != nil:
		return &f.BPFFS.Root
	case kind == Dir:
		return f.Node
	}
	return nil
}

// refersTo is the kind of file behind a descriptor, with or without O_PATH.
func (f FD) refersTo() FDKind {
	if f.Kind == Path {
		return f.Was
	}
	return f.Kind
}

// isDir reports whether the descriptor refers to a directory of any file system.
func (f FD) isDir() bool { return f.refersTo() == BPFFSRoot || f.refersTo() == Dir }

// fate is how the lookup of a path ends.
type fate uint8

const (
	found     fate = iota
	noSearch       // a directory must not be searched
	dotted         // bpf_lookup: the name has a dot
	tooLong        // the name is longer than NAME_MAX
	missing        // the last name does not exist
	noParent       // a name before the last one does not exist
	noDir          // a name before the last one is not a directory
	untracked      // the path leaves the bpffs, or starts outside of one
)

const nameMax = 255 // NAME_MAX

// lookup walks a path in a bpffs, as link_path_walk does. It returns the last file, and for
// a path of which only the last name is missing the directory of that name.
func (n *Node) lookup(c Cred, path string) (last, in *Node, end fate) {
	if n == nil || strings.HasPrefix(path, "/") {
		return nil, nil, untracked
	}
	names := strings.Split(path, "/")
	for i, name := range names {
		if n.Object != nil {
			return nil, nil, noDir
		}
		if n.Astray {
			return nil, nil, noParent
		}
		if !n.permits(c, mayExec) {
			return nil, nil, noSearch
		}
		next, end := n.child(name)
		if end == missing && i < len(names)-1 {
			end = noParent
		}
		if end == missing {
			return nil, n, missing
		}
		if end != found {
			return nil, nil, end
		}
		n = next
	}
	return n, n.Parent, found
}

// child mirrors lookup_fast and bpf_lookup: only a name that is not there is looked up.
func (n *Node) child(name string) (*Node, fate) {
	switch {
	case name == "" || name == ".":
		return n, found
	case name == ".." && n.Parent == nil:
		return nil, untracked
	case name == "..":
		return n.Parent, found
	case n.Names[name] != nil:
		return n.Names[name], found
	case n.Mode&allBits != 0 && strings.Contains(name, "."):
		return nil, dotted
	case len(name) > nameMax:
		return nil, tooLong
	}
	return nil, missing
}

// walker is a request that looks a path up.
type walker interface {
	walk(c Cred) fate
}

const (
	searchText = "the mode of the directory does not let the caller search it"
	dottedText = "names with a dot are reserved in a bpffs"
)

// pathRules are the checks of a lookup. At most one of them holds.
func pathRules[R walker]() []rule[R] {
	ends := func(f fate) func(c *call[R]) bool {
		return func(c *call[R]) bool { return c.req.walk(c.Caller) == f }
	}
	return []rule[R]{
		{id: "search", fn: "inode_permission", errno: eACCES, text: searchText, holds: ends(noSearch)},
		{id: "dots", fn: "bpf_lookup", errno: ePERM, text: dottedText, holds: ends(dotted)},
		{id: "long-name", fn: "simple_lookup", errno: eNAMETOOLONG, text: "the name is longer than 255 bytes",
			holds: ends(tooLong)},
		{id: "no-dir", fn: "link_path_walk", errno: eNOTDIR, text: "a name before the last one is not a directory",
			holds: ends(noDir)},
		{id: "no-parent", fn: "link_path_walk", errno: eNOENT, text: "a name before the last one does not exist",
			holds: ends(noParent)},
		{id: "path-not-modelled", blind: true, text: "the oracle covers only paths that stay in a bpffs",
			holds: ends(untracked)},
	}
}

// rulesOf joins checks in their order.
func rulesOf[R any](parts ...[]rule[R]) []rule[R] { return slices.Concat(parts...) }

// Open is openat(2) of a directory, or of a name in it.
type Open struct {
	FD    FD
	Place bool // the directory is named by a path, not by a descriptor
	Name  string
	Path  bool // with O_PATH
}

type openCall = call[*Open]

// to looks the file up. A path that is opened by a descriptor starts with ".".
func (r *Open) to(c Cred) (*Node, fate) {
	dir := r.FD.dir()
	switch {
	case dir == nil && r.Name != "":
		return nil, untracked
	case dir == nil || r.Place && r.Name == "":
		return dir, found
	}
	n, _, end := dir.lookup(c, r.Name)
	return follow(n, end)
}

func (r *Open) walk(c Cred) fate {
	_, end := r.to(c)
	return end
}

var openRules = rulesOf(
	[]rule[*Open]{
		{id: "bad-fd", fn: "openat", errno: eBADF, text: "the descriptor is not open",
			holds: func(c *openCall) bool { return c.req.FD.Kind == Closed }},
		{id: "no-directory", fn: "path_init", errno: eNOTDIR, text: "the descriptor is not a directory",
			holds: func(c *openCall) bool { return c.req.FD.Kind != Closed && !c.req.FD.isDir() }},
	},
	pathRules[*Open](),
	[]rule[*Open]{
		{id: "no-name", fn: "path_openat", errno: eNOENT, text: "the name does not exist",
			holds: func(c *openCall) bool { return c.req.walk(c.Caller) == missing }},
		{id: "object", fn: "do_open", errno: eNOTDIR, text: "the name is a pinned object, not a directory",
			holds: func(c *openCall) bool {
				n, _ := c.req.to(c.Caller)
				return n != nil && n.Object != nil && !c.req.Path
			}},
		{id: "read", fn: "may_open", errno: eACCES, text: "the mode of the directory does not let the caller read it",
			holds: func(c *openCall) bool {
				n, _ := c.req.to(c.Caller)
				return n != nil && !c.req.Path && !n.permits(c.Caller, mayRead)
			}},
		sandboxedOpen,
	},
)

// sandboxedOpen is LANDLOCK_ACCESS_FS_READ_DIR; an open with O_PATH asks for nothing.
var sandboxedOpen = func() rule[*Open] {
	r := landlock[*Open]("hook_file_open", "to read a directory")
	r.holds = func(c *openCall) bool { return c.Sandbox && !c.req.Path }
	return r
}()

func (r *Open) decide(w *World, trace *[]Line) Verdict {
	return run(w, "open", r, nil, openRules, trace)
}

// Opens returns what an Open that is allowed makes.
func (r *Open) Opens(c Cred) FD {
	out := FD{Kind: Dir, Mount: r.FD.Mount}
	n, _ := r.to(c)
	switch {
	case n == nil:
	case n.Object != nil:
		out = FD{Kind: Object, Mount: r.FD.Mount}
	case n.Parent == nil:
		out.Kind, out.BPFFS = BPFFSRoot, r.FD.BPFFS
	default:
		out.Node, out.BPFFS = n, r.FD.BPFFS
	}
	if r.Path {
		out.Was, out.Kind = out.Kind, Path
	}
	return out
}

// inode is that of a directory of a bpffs, or of a token; nil for another file.
func (f FD) inode() *Inode {
	if n := f.dir(); n != nil {
		return &n.Inode
	}
	return f.Inode
}

// Chmod is fchmod(2) of a directory of a bpffs, or of a token, or fchmodat(2) of a name in a directory.
type Chmod struct {
	FD   FD
	Name string // "" for the directory itself
	Mode uint32
}

// inode is the one whose mode changes; nil if there is none.
func (r *Chmod) inode() *Inode {
	if r.Name == "" {
		return r.FD.inode()
	}
	if n := r.FD.dir(); n != nil && n.Names[r.Name] != nil && !n.Names[r.Name].Astray {
		return &n.Names[r.Name].Inode
	}
	return nil
}

type chmodCall = call[*Chmod]

var chmodRules = []rule[*Chmod]{
	{id: "bad-fd", fn: "fchmod", errno: eBADF, text: badFDText + "; with a name, is not open",
		holds: func(c *chmodCall) bool { return c.req.FD.Kind == Closed || c.req.Name == "" && c.req.FD.notOpen() }},
	{id: "not-modelled", blind: true, text: "the oracle covers only directories of a bpffs, and tokens",
		holds: func(c *chmodCall) bool { return c.req.inode() == nil }},
	{id: "read-only", fn: "chmod_common", errno: eROFS, text: "the file is on a mount that is read-only",
		holds: func(c *chmodCall) bool { return c.req.FD.Mount != nil && c.req.FD.Mount.Only }},
	{id: "search", fn: "may_lookup", errno: eACCES, text: "the mode of the directory does not let the caller search it",
		holds: func(c *chmodCall) bool {
			return c.req.Name != "" && c.req.FD.dir() != nil && !c.req.FD.dir().permits(c.Caller, mayExec)
		}},
	{id: "not-owner", fn: "setattr_prepare", errno: ePERM,
		text: "the caller is not the owner of the directory, " +
			"and has no CAP_FOWNER in a user namespace that maps its owner and group",
		holds: notOwner},
	{id: "group-not-modelled", blind: true, text: "the oracle does not cover S_ISGID for another group's directory",
		holds: func(c *chmodCall) bool {
			n := c.req.inode()
			return n != nil && c.req.Mode&setgid != 0 && c.Caller.Euid != n.GID
		}},
}

// notOwner mirrors inode_owner_or_capable.
func notOwner(c *chmodCall) bool {
	n := c.req.inode()
	return n != nil && n.notOwner(c.Caller)
}

func (i *Inode) notOwner(c Cred) bool {
	return i.UID != c.Euid && (!c.Caps.Has(uapi.CAP_FOWNER) || !c.Userns.maps(i.UID) || !c.Userns.maps(i.GID))
}

// Apply notes the new mode.
func (r *Chmod) Apply() { r.inode().Mode = r.Mode & allBits }

func (r *Chmod) decide(w *World, trace *[]Line) Verdict {
	return run(w, "chmod", r, nil, chmodRules, trace)
}

// Stat asks for the inode of a descriptor's file, with fstat(2).
func (f FD) Stat() (Inode, bool) {
	if n := f.inode(); n != nil {
		return *n, true
	}
	return Inode{}, false
}

// FileCall is a system call on a token as a file. Its file operations have neither read nor write.
type FileCall struct {
	FD FD
	Do FileDo
}

// FileDo is the call.
type FileDo uint8

// The calls.
const (
	Truncate FileDo = iota + 1
	Watch
	Read
	Write
)

type fileCall = call[*FileCall]

var fileRules = []rule[*FileCall]{
	{id: "not-modelled", blind: true, text: "the oracle covers only tokens",
		holds: func(c *fileCall) bool { return c.req.FD.Kind != TokenFD || c.req.FD.Inode == nil }},
	{id: "no-read", fn: "vfs_read", errno: eINVAL, text: "a token cannot be read",
		holds: func(c *fileCall) bool { return c.req.Do == Read }},
	{id: "no-write", fn: "vfs_write", errno: eINVAL, text: "a token cannot be written to",
		holds: func(c *fileCall) bool { return c.req.Do == Write }},
	{id: "unreadable", fn: "inotify_find_inode", errno: eACCES,
		text:  "the mode of the token does not let the caller read it",
		holds: func(c *fileCall) bool { return c.req.Do == Watch && !c.req.FD.Inode.permits(c.Caller, mayRead) }},
}

func (r *FileCall) decide(w *World, trace *[]Line) Verdict {
	return run(w, "file", r, nil, fileRules, trace)
}

// Refers reports whether an object that is pinned in the directory, or below it, is one.
func (n *Node) Refers(is func(fd *FD) bool) bool {
	if n.Object != nil && is(n.Object) {
		return true
	}
	for _, child := range n.Names {
		if child.Refers(is) {
			return true
		}
	}
	return false
}
