package oracle

import "tokentest/cases/uapi"

// Domain is an SELinux domain, and what the policy denies in its relations.
type Domain struct {
	Self uapi.Perms // to the domain, over what has its own label
	Over uapi.Perms // to the domain, over what has another label
	By   uapi.Perms // to other domains, over what has its label
}

// SELinux is the state of its policy.
type SELinux struct {
	Enforces   bool
	TokenPerms bool // the policy has the capability bpf_token_perms
}

// The kernel since which SELinux looks at tokens: "selinux: add support for BPF token access control".
var selinuxTokens = linux(7, 0)

func enforcing(s *Settings) bool { return s.SELinux.Enforces }

// denies mirrors avc_has_perm.
func (w *World) denies(source, target *Domain, want uapi.Perms) bool {
	if !w.Kernel.Settings.SELinux.Enforces {
		return false
	}
	var no uapi.Perms
	if source != nil {
		no = source.Over
		if source == target {
			no = source.Self
		}
	}
	if target != nil && source != target {
		no |= target.By
	}
	return no&want != 0
}

// deniesToken mirrors selinux_bpf_token_capable. A token's grantor is the broker, in the domain of every process.
func (w *World) deniesToken(c uapi.Cap) bool {
	return w.Kernel.has(selinuxTokens) && w.denies(w.Domain, nil, uapi.PermOf(c))
}

// fdPerms mirrors bpf_map_fmode_to_av.
func (d Direction) fdPerms() uapi.Perms {
	switch d {
	case ReadOnly:
		return uapi.PermMapRead
	case WriteOnly:
		return uapi.PermMapWrite
	}
	return uapi.PermMapRead | uapi.PermMapWrite
}

// grantor is whose domain must have the permission to create an object: the token's grantor's, or the thread's own.
func (c *call[R]) grantor() *Domain {
	if c.tok != nil {
		return nil
	}
	return c.Domain
}

// cmd is the command of a request.
func (c *call[R]) cmd() uapi.Cmd {
	if r, ok := any(c.req).(command); ok {
		return shown(c, r.command())
	}
	return 0
}

// selinuxBPF is selinux_bpf, which the kernel calls before the BPF-LSM programs of the hook bpf.
func selinuxBPF[R any](cmd func(c *call[R]) uapi.Cmd) rule[R] {
	return rule[R]{id: "selinux-bpf", fn: "selinux_bpf", errno: eACCES, when: enforcing,
		text: "the SELinux policy denies the thread's domain map_create or prog_load (since 7.0 a policy with " +
			"bpf_token_perms leaves that to later checks)",
		holds: func(c *call[R]) bool {
			if c.Kernel.Settings.SELinux.TokenPerms && c.Kernel.has(selinuxTokens) {
				return false
			}
			switch cmd(c) {
			case uapi.BPF_MAP_CREATE:
				return c.denies(c.Domain, c.Domain, uapi.PermMapCreate)
			case uapi.BPF_PROG_LOAD:
				return c.denies(c.Domain, c.Domain, uapi.PermProgLoad)
			}
			return false
		}}
}

// selinuxCreate is selinux_bpf_map_create and selinux_bpf_prog_load: the token's grantor must have the permission over
// the thread's domain.
func selinuxCreate[R any](fn string, want uapi.Perms) rule[R] {
	return rule[R]{id: "selinux-create", fn: fn, errno: eACCES, since: selinuxTokens, when: enforcing,
		text: "the SELinux policy denies the token's grantor (without a token: the thread's domain) to create the object " +
			"for the thread's domain",
		holds: func(c *call[R]) bool { return c.denies(c.grantor(), c.Domain, want) }}
}

// selinuxObject is selinux_bpf_map, selinux_bpf_prog, or both as bpf_fd_pass asks them: the thread's domain must
// have the permission over the object.
func selinuxObject[R any](fn string, object func(c *call[R]) *FD) rule[R] {
	return rule[R]{id: "selinux-object", fn: fn, errno: eACCES, when: enforcing,
		text: "the SELinux policy denies the thread's domain to read or write the map, or to run the program",
		holds: func(c *call[R]) bool {
			fd := object(c)
			switch {
			case fd == nil:
				return false
			case fd.Map != uapi.BPF_MAP_TYPE_UNSPEC:
				return c.denies(c.Domain, fd.Label, fd.Only.fdPerms())
			case fd.Loaded != nil:
				return c.denies(c.Domain, fd.Label, uapi.PermProgRun)
			}
			return false
		}}
}

// selinuxToken is selinux_bpf_token_create for one command.
func selinuxToken(id string, cmd uapi.Cmd, want uapi.Perms) rule[*TokenCreate] {
	return rule[*TokenCreate]{id: id, fn: "selinux_bpf_token_create", errno: eACCES, since: selinuxTokens, when: enforcing,
		text: "the masks have " + cmd.String() + ", and the SELinux policy denies the thread's domain to create on behalf " +
			"of the domain that created the bpffs",
		holds: func(c *tokenCall) bool {
			b := c.req.BPFFS.BPFFS
			return b != nil && bit(b.Delegate.Cmds, uint32(cmd), c.Kernel.MaxCmd) && c.denies(c.Domain, nil, want)
		}}
}
