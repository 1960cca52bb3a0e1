package oracle

import "tokentest/cases/uapi"

// Permission bits of a mode.
const (
	mayRead  = 4
	mayWrite = 2
	mayExec  = 1
)

// Xattr is fsetxattr(2) or fgetxattr(2) of an extended attribute.
type Xattr struct {
	FD   FD
	Get  bool
	Name XattrName
	// More is how many further attributes of the namespace are set instead, each of More's Size, until one is refused.
	More, Size int
}

// XattrName is an extended attribute.
type XattrName uint8

// The attributes.
const (
	XattrSecurity   XattrName = iota + 1 // security.bpf.label
	XattrTrusted                         // trusted.label
	XattrUser                            // user.label
	XattrCapability                      // security.capability, with a value that is none
)

type xattrCall = call[*Xattr]

// Labels are the extended attributes that a file of a bpffs has.
type Labels struct {
	Has         [XattrCapability + 1]bool
	Count, Size int // of those in the namespace security, also further ones
}

// The limits of simple_xattr_limits_inc.
const (
	maxXattrs    = 128
	maxXattrSize = 128 << 10
	labelSize    = 7 // of a value that a case sets
)

// fits is how many of the attributes can be set.
func (r *Xattr) fits(l Labels) int {
	if r.More == 0 {
		if l.Count+1 > maxXattrs || l.Size+labelSize > maxXattrSize {
			return 0
		}
		return 1
	}
	return min(maxXattrs-l.Count, (maxXattrSize-l.Size)/r.Size, r.More)
}

// xattrRules are the checks of xattr_permission, cap_inode_setxattr and the handlers of bpffs, which 7.2 added.
var xattrRules = []rule[*Xattr]{
	{id: "bad-fd", fn: "fdget", errno: eBADF, text: badFDText,
		holds: func(c *xattrCall) bool { return c.req.FD.notOpen() }},
	{id: "not-modelled", blind: true, text: "the oracle covers only directories of a bpffs, and tokens",
		holds: func(c *xattrCall) bool { return c.req.FD.inode() == nil || c.req.FD.BPFFS == nil }},
	{id: "read-only", fn: "mnt_want_write_file", errno: eROFS, text: "the file is on a mount that is read-only",
		holds: func(c *xattrCall) bool { return !c.req.Get && c.req.FD.Mount != nil && c.req.FD.Mount.Only }},
	{id: "capability", fn: "cap_convert_nscap", errno: eINVAL, text: "the value is no set of capabilities",
		holds: func(c *xattrCall) bool { return c.req.Name == XattrCapability && !c.req.Get && c.req.More == 0 }},
	{id: "trusted-set", fn: "xattr_permission", errno: ePERM, text: "trusted.* needs CAP_SYS_ADMIN " + initialNS,
		holds: func(c *xattrCall) bool {
			return c.req.Name == XattrTrusted && !c.req.Get && !c.initialCapable(uapi.CAP_SYS_ADMIN)
		}},
	{id: "trusted-get", fn: "xattr_permission", errno: eNODATA, text: "trusted.* needs CAP_SYS_ADMIN " + initialNS,
		holds: func(c *xattrCall) bool {
			return c.req.Name == XattrTrusted && c.req.Get && !c.initialCapable(uapi.CAP_SYS_ADMIN)
		}},
	{id: "user-sticky", fn: "xattr_permission", errno: ePERM,
		text: "user.* of a sticky directory needs its owner, or CAP_FOWNER in a user namespace that maps its owner " +
			"and group",
		holds: func(c *xattrCall) bool {
			n := c.req.FD.dir()
			return c.req.Name == XattrUser && !c.req.Get && n != nil && n.Mode&sticky != 0 && n.notOwner(c.Caller)
		}},
	{id: "user-mode", fn: "inode_permission", errno: eACCES,
		text: "the mode of the file does not let the caller read or write user.*",
		holds: func(c *xattrCall) bool {
			i, want := c.req.FD.inode(), uint32(mayWrite)
			if c.req.Get {
				want = mayRead
			}
			return c.req.Name == XattrUser && i != nil && !i.permits(c.Caller, want)
		}},
	{id: "user", fn: "xattr_resolve_name", errno: eOPNOTSUPP, text: "a bpffs has no attributes user.*",
		holds: func(c *xattrCall) bool { return c.req.Name == XattrUser }},
	{id: "security", fn: "cap_inode_setxattr", errno: ePERM,
		text: "security.* needs CAP_SYS_ADMIN in the bpffs's user namespace",
		holds: func(c *xattrCall) bool {
			fs := c.req.FD.BPFFS
			return c.req.limited() && !c.req.Get && fs != nil && !c.Caller.capable(fs.Userns, uapi.CAP_SYS_ADMIN)
		}},
	{id: "none", fn: "__vfs_setxattr_noperm", errno: eOPNOTSUPP, until: linux(7, 2),
		text:  "a bpffs has no extended attributes before 7.2",
		holds: func(*xattrCall) bool { return true }},
	{id: "full", fn: "simple_xattr_limits_inc", errno: eNOSPC, since: linux(7, 2),
		text: "the file has 128 attributes security.* or 131072 bytes of them",
		holds: func(c *xattrCall) bool {
			i := c.req.FD.inode()
			return c.req.limited() && !c.req.Get && i != nil && c.req.fits(i.Labels) < max(c.req.More, 1)
		}},
	{id: "no-value", fn: "simple_xattr_get", errno: eNODATA, text: "the file does not have the attribute",
		holds: func(c *xattrCall) bool {
			i := c.req.FD.inode()
			return c.req.Get && i != nil && !i.Labels.Has[c.req.Name]
		}},
}

// limited reports whether the attribute is one of security.*.
func (r *Xattr) limited() bool { return r.Name == XattrSecurity || r.Name == XattrCapability }

// Apply notes what a set left. One that is refused for want of room has set others before.
func (r *Xattr) Apply(v *Verdict) {
	if r.Get || v.Errno != 0 && v.ID != "xattr/full" {
		return
	}
	l := &r.FD.inode().Labels
	switch {
	case r.More > 0 && r.limited():
		n := r.fits(*l)
		l.Count, l.Size = l.Count+n, l.Size+n*r.Size
	case r.More > 0 || v.Errno != 0:
	case r.limited() && !l.Has[r.Name]:
		l.Count, l.Size = l.Count+1, l.Size+labelSize
		fallthrough
	default:
		l.Has[r.Name] = true
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
