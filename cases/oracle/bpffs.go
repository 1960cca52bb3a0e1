package oracle

import "tokentest/cases/uapi"

// Delegate is the creation of a delegated bpffs: Opener calls fsopen(2),
// Setter sets the options in order and creates the superblock.
type Delegate struct {
	Options        []Option
	Opener, Setter Cred
}

// Decide returns the kernel's answer, and the masks that the superblock then has:
// bpf_parse_param for each option, then mount_capable and bpf_fill_super.
func (d *Delegate) Decide(k *Kernel) (Verdict, Masks) {
	var m Masks
	for _, o := range d.Options {
		if v := d.assign(k, o, m.Of(o.Name)); v.Errno != 0 {
			return v, m
		}
	}
	switch {
	case !k.Token && !d.Setter.capable(Initial, uapi.CAP_SYS_ADMIN):
		return bpffsVerdict(ePERM, "mount-capable-initial", "mount_capable", capableText), m
	case !d.Setter.capable(d.Opener.Userns, uapi.CAP_SYS_ADMIN):
		return bpffsVerdict(ePERM, "mount-capable", "mount_capable",
			"the creator lacks CAP_SYS_ADMIN in the opener's user namespace"), m
	case !k.Token && d.Opener.Userns != Initial && usernsFix.in(k):
		return bpffsVerdict(ePERM, "userns-mount", "sget_fc", usernsText), m
	case !k.Token && d.Opener.Userns != Initial:
		return Verdict{Rule: usernsUnknown, ID: "bpffs/userns-not-modelled"}, m
	case k.Token && d.Opener.Userns != Initial && !d.Setter.capable(Initial, uapi.CAP_SYS_ADMIN):
		return bpffsVerdict(ePERM, "fill-super", "bpf_fill_super", "the creator lacks CAP_SYS_ADMIN "+initialNS), m
	case !k.Token:
		return bpffsVerdict(0, "unknown-option", "bpf_parse_param",
			"bpffs ignores mount options that it does not know"), Masks{}
	}
	return bpffsVerdict(0, "allowed", "bpf_fill_super", "no check refuses the call"), m
}

func (d *Delegate) assign(k *Kernel, o Option, mask *uint64) Verdict {
	const fn = "bpf_parse_param"
	v, errno := parseOption(k, MountOption{Option: o})
	switch {
	case errno != 0:
		return bpffsVerdict(errno, "malformed", fn, o.Name+" is malformed")
	case (o.Name == "uid" || o.Name == "gid") && k.knowsOption(o.Name) && !idFits(d.Setter, d.Opener.Userns, v):
		return bpffsVerdict(eINVAL, "unmapped-id", fn, "the bpffs's user namespace does not map this "+o.Name)
	case !isDelegate(o.Name):
		return Verdict{}
	case v != 0 && !d.Setter.capable(Initial, uapi.CAP_SYS_ADMIN):
		return bpffsVerdict(ePERM, "set-unprivileged", fn, o.Name+" needs CAP_SYS_ADMIN "+initialNS)
	}
	*mask |= v
	return Verdict{}
}

func bpffsVerdict(errno uapi.Errno, id, fn, text string) Verdict {
	return Verdict{Known: true, Errno: errno, Rule: text, Func: fn, ID: "bpffs/" + id}
}

// Shown returns the masks as a token's fdinfo shows them: a mask with every bit
// of its enumeration is "any", here all ones. bpf_token_show_fdinfo.
func (k *Kernel) Shown(m Masks) []uint64 {
	out := []uint64{m.Cmds, m.Maps, m.Progs, m.Attachs}
	for i, end := range []uint32{k.MaxCmd, k.MaxMap, k.MaxProg, k.MaxAttach} {
		if known := uint64(1)<<end - 1; out[i]&known == known {
			out[i] = ^uint64(0)
		}
	}
	return out
}
