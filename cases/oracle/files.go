package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// May be read, written or searched, as permission bits have it.
const (
	mayRead  = 4
	mayWrite = 2
	mayExec  = 1
)

// permits mirrors inode_permission: the bits that count for the caller, or
// else a capability in its own namespace, which must know the file's owner and
// group, capable_wrt_inode_uidgid.
func (i Inode) permits(c Cred, want uint32) bool {
	shift := 0
	switch {
	case c.Euid == i.UID:
		shift = 6
	case c.Euid == i.GID: // actors are of the group that is numbered as they are
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

// Open is openat(2): of the directory behind a descriptor or at a place, or of
// a name below it.
type Open struct {
	FD    FD
	Place bool // not by a descriptor
	Name  string
	Path  bool // O_PATH
}

func (r *Open) root() *BPFFS { return r.FD.BPFFS }

var openRules = []rule[*Open]{
	{id: "bad-fd", text: "the descriptor is not open", fn: "openat", errno: eBADF,
		holds: func(c *call[*Open]) bool { return c.req.FD.Kind == Closed }},
	{id: "no-directory", text: "the descriptor is no directory", fn: "path_init", errno: eNOTDIR,
		holds: func(c *call[*Open]) bool {
			return c.req.FD.Kind != BPFFSRoot && c.req.FD.Kind != Dir && c.req.FD.Kind != Path && c.req.FD.Kind != Closed
		}},
	{id: "search", text: "the permission bits of the directory do not let the caller search it", fn: "inode_permission", errno: eACCES,
		holds: func(c *call[*Open]) bool {
			fs := c.req.root()
			return fs != nil && (!c.req.Place || c.req.Name != "") && !fs.Root.permits(c.Caller, mayExec)
		}},
	{id: "no-name", text: "there is no such name", fn: "path_openat", errno: eNOENT,
		holds: func(c *call[*Open]) bool {
			fs := c.req.root()
			return c.req.Name != "" && (fs == nil || !slices.Contains(fs.Names, c.req.Name))
		}},
	{id: "read", text: "the permission bits of the directory do not let the caller read it", fn: "may_open", errno: eACCES,
		holds: func(c *call[*Open]) bool {
			fs := c.req.root()
			return fs != nil && !c.req.Path && c.req.Name == "" && !fs.Root.permits(c.Caller, mayRead)
		}},
}

func (r *Open) decide(w *World, trace *[]Line) Verdict {
	return run(w, "open", r, nil, openRules, trace)
}

// Chmod is fchmod(2) of a bpffs's root.
type Chmod struct{ FD FD }

var chmodRules = []rule[*Chmod]{
	{id: "bad-fd", text: badFDText, fn: "fchmod", errno: eBADF, holds: func(c *call[*Chmod]) bool { return notOpen(c.req.FD) }},
	{id: "not-owner", text: "the caller neither owns the directory nor has CAP_FOWNER in a user namespace that knows its owner and group", fn: "setattr_prepare", errno: ePERM,
		holds: func(c *call[*Chmod]) bool {
			fs := c.req.FD.BPFFS
			if fs == nil || fs.Root.UID == c.Caller.Euid {
				return false
			}
			return !c.Caller.Caps.Has(uapi.CAP_FOWNER) || !c.Caller.Userns.maps(fs.Root.UID) || !c.Caller.Userns.maps(fs.Root.GID)
		}},
}

func (r *Chmod) decide(w *World, trace *[]Line) Verdict {
	return run(w, "chmod", r, nil, chmodRules, trace)
}

// MakeName is BPF_OBJ_PIN, mkdirat(2) or linkat(2): a new name in the root of
// a bpffs. What is its name.
type MakeName struct {
	What string
	FD   FD // what gets the name; none of mkdir
	In   FD
	Name string
}

// The calls of a MakeName.
const (
	Pin   = "pin"
	Mkdir = "mkdir"
	Link  = "link"
)

// pinHook is the LSM hook bpf, which sees BPF_OBJ_PIN alone of the three calls.
var pinHook = func() rule[*MakeName] {
	r := bpfHook(constant[*MakeName](uapi.BPF_OBJ_PIN))
	asked := r.holds
	r.holds = func(c *call[*MakeName]) bool { return c.req.What == Pin && asked(c) }
	return r
}()

var nameRules = []rule[*MakeName]{
	pinHook,
	{id: "no-object", text: "the descriptor is no map, program or link: a token cannot be pinned", fn: "bpf_fd_probe_obj", errno: eINVAL,
		holds: func(c *call[*MakeName]) bool { return c.req.What == Pin && !c.req.FD.Pinned }},
	{id: "search", text: "the permission bits of the directory do not let the caller search it", fn: "inode_permission", errno: eACCES,
		holds: func(c *call[*MakeName]) bool { return !c.req.permits(c.Caller, mayExec) }},
	{id: "taken", text: "the name is there already", fn: "filename_create", errno: eEXIST, holds: func(c *call[*MakeName]) bool { return c.req.taken() }},
	{id: "other-mount", text: "the file lies on another mount", fn: "do_linkat", errno: eXDEV,
		holds: func(c *call[*MakeName]) bool { return c.req.What == Link && c.req.FD.Mount != c.req.In.Mount }},
	{id: "unmapped", text: "the bpffs's user namespace does not know the caller's uid", fn: "may_create_dentry", errno: eOVERFLOW,
		holds: func(c *call[*MakeName]) bool {
			return c.req.In.BPFFS != nil && !c.req.In.BPFFS.Userns.maps(c.Caller.Euid)
		}},
	{id: "write", text: "the permission bits of the directory do not let the caller write to it", fn: "may_create_dentry", errno: eACCES,
		holds: func(c *call[*MakeName]) bool { return !c.req.permits(c.Caller, mayWrite|mayExec) }},
	{id: "no-link", text: "the file was never linked: a token has no name that another could be made from", fn: "vfs_link", errno: eNOENT,
		holds: func(c *call[*MakeName]) bool { return c.req.What == Link && c.req.FD.Kind == TokenFD }},
}

func (r *MakeName) permits(c Cred, want uint32) bool {
	return r.In.BPFFS == nil || r.In.BPFFS.Root.permits(c, want)
}

func (r *MakeName) taken() bool {
	return r.In.BPFFS != nil && slices.Contains(r.In.BPFFS.Names, r.Name)
}

func (r *MakeName) decide(w *World, trace *[]Line) Verdict {
	if r.In.Kind != BPFFSRoot || r.What == Link && r.FD.Kind != TokenFD {
		return Verdict{Rule: "the rules follow names in the root of a bpffs alone, and links of tokens", ID: r.What + "/not-modelled"}
	}
	return run(w, r.What, r, nil, nameRules, trace)
}

// TokenInfo is BPF_OBJ_GET_INFO_BY_FD of a token.
type TokenInfo struct{ FD FD }

// infoSince is the release with struct bpf_token_info.
var infoSince = uapi.Release{Major: 6, Minor: 17}

var tokenInfoRules = []rule[*TokenInfo]{
	bpfHook(constant[*TokenInfo](uapi.BPF_OBJ_GET_INFO_BY_FD)),
	{id: "bad-fd", text: badFDText, fn: "bpf_obj_get_info_by_fd", errno: eBADFD, holds: func(c *call[*TokenInfo]) bool { return notOpen(c.req.FD) }},
	{id: "no-info", text: "the kernel says nothing of a token", fn: "bpf_obj_get_info_by_fd", errno: eINVAL, until: infoSince,
		holds: func(c *call[*TokenInfo]) bool { return c.req.FD.Kind == TokenFD }},
	{id: "no-object", text: "the descriptor is no object of bpf(2)", fn: "bpf_obj_get_info_by_fd", errno: eINVAL,
		holds: func(c *call[*TokenInfo]) bool { return c.req.FD.Kind != TokenFD && !c.req.FD.Pinned && !c.req.FD.BTF }},
}

func (r *TokenInfo) decide(w *World, trace *[]Line) Verdict {
	return run(w, "token_info", r, nil, tokenInfoRules, trace)
}

// Take is pidfd_getfd(2), or the opening of a descriptor through /proc, of
// another process: Victim is the credentials of that process's first thread.
type Take struct {
	What   string
	FD     FD
	Victim Cred
	Own    bool // it is the caller's own process
}

// The calls of a Take.
const (
	PidfdGetfd = "pidfd_getfd"
	ProcOpen   = "proc_open"
)

// searches reports whether the caller may look for a name in /proc/PID/fd: a
// directory of mode 0500 that is the process's, proc_fd_permission.
func (r *Take) searches(c Cred) bool {
	return r.Own || Inode{UID: r.Victim.Euid, GID: r.Victim.Euid, Mode: 0o500}.permits(c, mayExec)
}

// mayTrace mirrors __ptrace_may_access and cap_ptrace_access_check.
func (r *Take) mayTrace(c Cred) bool {
	if r.Own {
		return true
	}
	traces := c.capable(r.Victim.Userns, uapi.CAP_SYS_PTRACE)
	if c.Euid != r.Victim.Euid && !traces {
		return false
	}
	return traces || c.Userns == r.Victim.Userns && r.Victim.Caps&^c.Caps == 0
}

var takeRules = map[string][]rule[*Take]{
	PidfdGetfd: {
		{id: "ptrace", text: "the caller may not trace the process", fn: "__ptrace_may_access", errno: ePERM, holds: func(c *call[*Take]) bool { return !c.req.mayTrace(c.Caller) }},
		{id: "bad-fd", text: "the process has no such descriptor", fn: "__pidfd_fget", errno: eBADF, holds: func(c *call[*Take]) bool { return c.req.FD.Kind == Closed }},
	},
	ProcOpen: {
		{id: "search", text: "the directory /proc/PID/fd does not let the caller in", fn: "proc_fd_permission", errno: eACCES, holds: func(c *call[*Take]) bool { return !c.req.searches(c.Caller) }},
		{id: "bad-fd", text: "the process has no such descriptor", fn: "proc_lookupfd_common", errno: eNOENT, holds: func(c *call[*Take]) bool { return c.req.FD.Kind == Closed }},
		{id: "ptrace", text: "the caller may not trace the process", fn: "proc_fd_access_allowed", errno: eACCES, holds: func(c *call[*Take]) bool { return !c.req.mayTrace(c.Caller) }},
	},
}

func (r *Take) decide(w *World, trace *[]Line) Verdict {
	return run(w, r.What, r, nil, takeRules[r.What], trace)
}

// Dup is dup(2) of a descriptor, or another fcntl(2) of one; an O_PATH
// descriptor does as well.
type Dup struct{ FD FD }

var dupRules = []rule[*Dup]{
	{id: "bad-fd", text: "the descriptor is not open", fn: "fcntl", errno: eBADF, holds: func(c *call[*Dup]) bool { return c.req.FD.Kind == Closed }},
}

func (r *Dup) decide(w *World, trace *[]Line) Verdict { return run(w, "dup", r, nil, dupRules, trace) }

// Setns is setns(2) with CLONE_NEWUSER of a process with one thread.
type Setns struct{ FD FD }

var setnsRules = []rule[*Setns]{
	{id: "bad-fd", text: badFDText, fn: "setns", errno: eBADF, holds: func(c *call[*Setns]) bool { return notOpen(c.req.FD) }},
	{id: "no-namespace", text: "the descriptor is no namespace", fn: "setns", errno: eINVAL, holds: func(c *call[*Setns]) bool { return c.req.FD.Kind != UsernsFD }},
	{id: "same", text: "the caller is in that user namespace", fn: "userns_install", errno: eINVAL, holds: func(c *call[*Setns]) bool { return c.req.FD.Userns == c.Caller.Userns }},
	{id: "no-cap", text: "the caller lacks CAP_SYS_ADMIN in the user namespace that it would enter", fn: "userns_install", errno: ePERM,
		holds: func(c *call[*Setns]) bool {
			return c.req.FD.Userns != nil && !c.Caller.capable(c.req.FD.Userns, uapi.CAP_SYS_ADMIN)
		}},
}

func (r *Setns) decide(w *World, trace *[]Line) Verdict {
	return run(w, "setns", r, nil, setnsRules, trace)
}

// FileRules lists the stable names of the rules that are not about bpf(2) but
// about the file systems, descriptors and processes around it.
func FileRules() []string {
	var out []string
	addMount(func(cmd string, ids []string) {
		for _, id := range ids {
			out = append(out, cmd+"/"+id)
		}
	})
	return out
}

// addMount lists the rules of the calls around a bpffs and a descriptor.
func addMount(add func(cmd string, ids []string)) {
	add("fsopen", ids(fsopenRules))
	add("fsconfig", ids(fsconfigRules))
	add("fscreate", ids(fscreateRules))
	add("fsreconfigure", ids(fsreconfigureRules))
	add("fsmount", ids(fsmountRules))
	for _, what := range []string{Fspick, CloneMount, Bind, MoveMount, Umount, Share} {
		add(what, ids(mountCallRules(what)))
	}
	add("mount", ids(mountRules))
	add("remount", ids(remountRules))
	add("open", ids(openRules))
	add("chmod", ids(chmodRules))
	add("token_info", ids(tokenInfoRules))
	for _, what := range []string{PidfdGetfd, ProcOpen} {
		add(what, ids(takeRules[what]))
	}
	add("setns", ids(setnsRules))
	add("dup", ids(dupRules))
	add("element", ids(elementRules[1:])) // behind the hook bpf, which every command has
	add("get_pinned", ids(objGetRules[1:]))
	for _, what := range []string{Pin, Mkdir, Link} {
		add(what, ids(rulesOfName(what)))
	}
}

// rulesOfName are the name rules that can hold for a call.
func rulesOfName(what string) []rule[*MakeName] {
	return slices.DeleteFunc(slices.Clone(nameRules), func(r rule[*MakeName]) bool {
		return (r.id == "no-object" || r.id == pinHook.id) && what != Pin || (r.id == "no-link" || r.id == "other-mount") && what != Link
	})
}
