package oracle

import "tokentest/cases/uapi"

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
