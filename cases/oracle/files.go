package oracle

import "tokentest/cases/uapi"

// Permission bits of a mode.
const (
	mayRead  = 4
	mayWrite = 2
	mayExec  = 1
)

// Xattr is fsetxattr(2) or fgetxattr(2) of an extended attribute in the namespace security or trusted.
type Xattr struct {
	FD      FD
	Get     bool
	Trusted bool
}

type xattrCall = call[*Xattr]

// Labels are the extended attributes that a file of a bpffs has, one bit each.
type Labels uint8

// bit is the attribute's.
func (r *Xattr) bit() Labels {
	if r.Trusted {
		return 2
	}
	return 1
}

// xattrRules are the checks of xattr_permission, cap_inode_setxattr and the handlers of bpffs, which 7.3 added.
var xattrRules = []rule[*Xattr]{
	{id: "bad-fd", fn: "fdget", errno: eBADF, text: badFDText,
		holds: func(c *xattrCall) bool { return c.req.FD.notOpen() }},
	{id: "not-modelled", blind: true, text: "the oracle covers only directories of a bpffs, and tokens",
		holds: func(c *xattrCall) bool { return c.req.FD.inode() == nil || c.req.FD.BPFFS == nil }},
	{id: "read-only", fn: "mnt_want_write_file", errno: eROFS, text: "the file is on a mount that is read-only",
		holds: func(c *xattrCall) bool { return !c.req.Get && c.req.FD.Mount != nil && c.req.FD.Mount.Only }},
	{id: "trusted-set", fn: "xattr_permission", errno: ePERM, text: "trusted.* needs CAP_SYS_ADMIN " + initialNS,
		holds: func(c *xattrCall) bool {
			return c.req.Trusted && !c.req.Get && !c.initialCapable(uapi.CAP_SYS_ADMIN)
		}},
	{id: "trusted-get", fn: "xattr_permission", errno: eNODATA, text: "trusted.* needs CAP_SYS_ADMIN " + initialNS,
		holds: func(c *xattrCall) bool {
			return c.req.Trusted && c.req.Get && !c.initialCapable(uapi.CAP_SYS_ADMIN)
		}},
	{id: "security", fn: "cap_inode_setxattr", errno: ePERM,
		text: "security.* needs CAP_SYS_ADMIN in the bpffs's user namespace",
		holds: func(c *xattrCall) bool {
			fs := c.req.FD.BPFFS
			return !c.req.Trusted && !c.req.Get && fs != nil && !c.Caller.capable(fs.Userns, uapi.CAP_SYS_ADMIN)
		}},
	{id: "none", fn: "__vfs_setxattr_noperm", errno: eOPNOTSUPP, until: linux(7, 2),
		text:  "a bpffs has no extended attributes before 7.2",
		holds: func(*xattrCall) bool { return true }},
	{id: "no-value", fn: "simple_xattr_get", errno: eNODATA, text: "the file does not have the attribute",
		holds: func(c *xattrCall) bool {
			i := c.req.FD.inode()
			return c.req.Get && i != nil && i.Labels&c.req.bit() == 0
		}},
}

// Apply notes what a set left.
func (r *Xattr) Apply() {
	if !r.Get {
		r.FD.inode().Labels |= r.bit()
	}
}

func (r *Xattr) decide(w *World, trace *[]Line) Verdict {
	return run(w, "xattr", r, nil, xattrRules, trace)
}

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
