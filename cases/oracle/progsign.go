package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// knownKeyrings are the ids up to which a number names one of the kernel's keyrings: VERIFY_USE_PLATFORM_KEYRING.
const knownKeyrings = 2

// hasSignature reports whether a program has a signature, of whatever kind.
func (a *ProgAttr) hasSignature() bool { return a.Sign != nil || a.Signed }

// isSigned reports whether the program is the one that the signature is of: r0 = 2; exit.
func (r *ProgLoad) isSigned() bool {
	two := r.Type == uapi.BPF_PROG_TYPE_XDP || r.Type == uapi.BPF_PROG_TYPE_STRUCT_OPS || r.Type == uapi.BPF_PROG_TYPE_EXT
	a := r.Attr
	return two && a.Body == 0 && a.Helper == nil && a.Uses == nil && a.Insns == 2
}

// The results of bpf_prog_verify_signature, which 7.3 moved from bpf_prog_load to bpf_check.
var (
	signatureKey = rule[*ProgLoad]{id: "signature-key", fn: "bpf_prog_verify_signature", errno: eINVAL,
		text: "no key has the id keyring_id, or, since 7.3, the signature is empty",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return a.hasSignature() && (a.Ring > knownKeyrings || a.Sign != nil && *a.Sign == 0 && c.Kernel.has(linux(7, 3)))
		})}
	signature = rule[*ProgLoad]{id: "signature", fn: "bpf_prog_verify_signature", errno: eBADMSG,
		text:  "the signature is none",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return a.Sign != nil })}
	signatureNoKey = rule[*ProgLoad]{id: "signature-no-key", fn: "pkcs7_validate_trust", errno: eNOKEY,
		text:  "the kernel's keyring has no key of the signature",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return a.Signed && a.Ring >= 0 })}
	signatureOther = rule[*ProgLoad]{id: "signature-other", fn: "pkcs7_validate_trust", errno: eKEYREJECTED,
		text: "the signature is one of another program, or, with fd_array, of a program and a map",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			content := a.Binds != nil && (!c.Kernel.has(linux(7, 3)) || a.Binds.Content == nil || a.Binds.Content.Stored)
			return a.Signed && (content || !c.req.isSigned())
		})}
	signatureRules = []rule[*ProgLoad]{signatureKey, signature, signatureNoKey, signatureOther}
)

// signatureEarly are those of bpf_prog_load, before 7.3.
func signatureEarly() []rule[*ProgLoad] {
	var out []rule[*ProgLoad]
	for _, r := range signatureRules {
		out = append(out, r.as(r.id+"-early").from(6, 18).before(7, 3))
	}
	return out
}

// signedRules are those of bpf_check, which look at the maps in fd_array that the signature covers.
func signedRules() []rule[*ProgLoad] {
	of := func(id, text string, errno uapi.Errno, holds func(fd *FD) bool) rule[*ProgLoad] {
		return rule[*ProgLoad]{id: id, fn: "bpf_prog_verify_signature", errno: errno, text: text, since: linux(7, 3),
			holds: progAttr(func(_ *progCall, a *ProgAttr) bool {
				return a.hasSignature() && a.Binds != nil && a.Binds.Map != uapi.BPF_MAP_TYPE_UNSPEC && holds(a.Binds)
			})}
	}
	out := []rule[*ProgLoad]{
		{id: "signed-btf", fn: "__add_used_btf", errno: eACCES, text: "a signed program has no BTF in fd_array",
			since: linux(7, 3),
			holds: progAttr(func(_ *progCall, a *ProgAttr) bool {
				return a.hasSignature() && a.Binds != nil && a.Binds.BTF
			})},
		signatureKey.from(7, 3),
		of("signed-type", "a map of a signed program is an array", eINVAL, func(fd *FD) bool {
			return fd.Map != uapi.BPF_MAP_TYPE_ARRAY
		}),
		of("signed-thawed", "a map of a signed program is frozen", ePERM, func(fd *FD) bool {
			return fd.Content != nil && !fd.Content.Frozen
		}),
		of("signed-shared", "a map of a signed program is for it alone", ePERM, func(fd *FD) bool { return !fd.exclusive() }),
		{id: "signed-not-modelled", blind: true, since: linux(7, 3),
			text: "the oracle covers a map of one value of four bytes",
			holds: progAttr(func(_ *progCall, a *ProgAttr) bool {
				return a.hasSignature() && a.Binds != nil && a.Binds.Content != nil && !a.Binds.Content.Short
			})},
	}
	for _, r := range signatureRules[1:] {
		out = append(out, r.from(7, 3))
	}
	return out
}

// bound are the map types that any program may have in fd_array.
var bound = []uapi.MapType{
	uapi.BPF_MAP_TYPE_HASH, uapi.BPF_MAP_TYPE_ARRAY, uapi.BPF_MAP_TYPE_PERCPU_HASH, uapi.BPF_MAP_TYPE_PERCPU_ARRAY,
	uapi.BPF_MAP_TYPE_LRU_HASH, uapi.BPF_MAP_TYPE_QUEUE, uapi.BPF_MAP_TYPE_STACK, uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS,
}

// bindRules are the checks of process_fd_array, which 6.14 added.
func bindRules() []rule[*ProgLoad] {
	of := func(id, fn, text string, errno uapi.Errno, holds func(c *progCall, fd *FD) bool) rule[*ProgLoad] {
		return rule[*ProgLoad]{id: id, fn: fn, errno: errno, text: text,
			holds: progAttr(func(c *progCall, a *ProgAttr) bool { return a.Binds != nil && holds(c, a.Binds) })}
	}
	storage := func(fd *FD) bool { return isMap(fd.Map, isCgroupData) }
	isMap := func(fd *FD) bool { return fd.Map != uapi.BPF_MAP_TYPE_UNSPEC }
	return []rule[*ProgLoad]{
		opening(of("bind-bad-fd", "add_fd_from_fd_array", "the descriptor in fd_array is not open", eBADF,
			func(_ *progCall, fd *FD) bool { return fd.notOpen() })),
		of("bind-none", "add_fd_from_fd_array", "the descriptor in fd_array is neither a map nor a BTF", eINVAL,
			func(_ *progCall, fd *FD) bool { return !isMap(fd) && !fd.BTF }),
		of("bind-exclusive", "check_map_prog_compatibility", "the map in fd_array is for a program of another hash", eACCES,
			func(c *progCall, fd *FD) bool { return fd.exclusive() && !matchesHash(c, fd) }),
		{id: "bind-not-modelled", blind: true, text: "the oracle does not cover such a map in fd_array",
			holds: progAttr(func(_ *progCall, a *ProgAttr) bool {
				fd := a.Binds
				return fd != nil && isMap(fd) && (!slices.Contains(bound, fd.Map) && (!storage(fd) || a.sleepable()) ||
					fd.Content == nil || fd.Content.Special)
			})},
	}
}

// matchesHash reports whether the program has the hash that a map is for. The maps in fd_array are looked at before
// bpf_prog_calc_tag makes the hash, which is zero until then; since 7.3 that of a program with a signature is made.
func matchesHash(c *progCall, fd *FD) bool {
	if c.Kernel.has(linux(7, 3)) && c.req.Attr.hasSignature() {
		return fd.Content.Own && c.req.isSigned()
	}
	return !fd.Content.Own
}
