package guest

import (
	"encoding/binary"
	"slices"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// policy is an SELinux policy in which each domain of step.DomainRows may do all but what its row denies. What it
// does not define is allowed.
type policy struct {
	tokenPerms bool // with the policy capability bpf_token_perms
}

// The binary form is what policydb_read of security/selinux/ss/policydb.c reads. Version 24 is the first that has
// bounds of types, without which a process with several threads cannot change the domain of one.
const (
	policyMagic   = 0xf97cff8c
	policyString  = "SE Linux"
	policyVersion = 24
	allowUnknown  = 4  // classes and permissions that are not in the policy
	symbolTables  = 8  // SYM_NUM
	contextTables = 7  // OCON_NUM of this version
	isPrimary     = 1  // TYPEDATUM_PROPERTY_PRIMARY
	avAllowed     = 1  // AVTAB_ALLOWED
	ownRole       = 2  // 1 is object_r, which every policy has
	initialSIDs   = 27 // SECINITSID_NUM; a kernel leaves out those that it does not use
	capTokenPerms = 14 // POLICYDB_CAP_BPF_TOKEN_PERMS
	mapUnit       = 64 // of an ebitmap

	policyUser = "u"
	policyRole = "r"
)

// policyClass is a class of the policy, with its permissions by their bit.
type policyClass struct {
	name  string
	perms []string
	bits  []uapi.Perms // the permissions as rows name them, 0 for one that no row denies
}

// policyClasses are process, which each policy must have, and the classes that rows deny permissions of.
func policyClasses() []policyClass {
	out := []policyClass{{"process", []string{"transition", "dyntransition"}, []uapi.Perms{0, 0}}}
	for i, p := range uapi.PermNames {
		at := slices.IndexFunc(out, func(c policyClass) bool { return c.name == p.Class })
		if at < 0 {
			at = len(out)
			out = append(out, policyClass{name: p.Class})
		}
		out[at].perms = append(out[at].perms, p.Name)
		out[at].bits = append(out[at].bits, 1<<i)
	}
	return out
}

// denied is what the policy denies a domain over what has a label.
func denied(source, target int) uapi.Perms {
	if source == target {
		return step.DomainRows[source].Self
	}
	return step.DomainRows[source].Over | step.DomainRows[target].By
}

// policyWriter writes the little-endian words of a policy.
type policyWriter struct{ b []byte }

func (w *policyWriter) u32(values ...uint32) {
	for _, v := range values {
		w.b = binary.LittleEndian.AppendUint32(w.b, v)
	}
}

func (w *policyWriter) u16(values ...int) {
	for _, v := range values {
		w.b = binary.LittleEndian.AppendUint16(w.b, uint16(v))
	}
}

func (w *policyWriter) text(s string) { w.b = append(w.b, s...) }

// bits writes an ebitmap of one unit.
func (w *policyWriter) bits(set uint64) {
	if set == 0 {
		w.u32(mapUnit, 0, 0)
		return
	}
	w.u32(mapUnit, mapUnit, 1, 0)
	w.b = binary.LittleEndian.AppendUint64(w.b, set)
}

// mlsRange and mlsLevel write those of MLS, which the policy does not have.
func (w *policyWriter) mlsRange() {
	w.u32(1)
	w.mlsLevel()
}

func (w *policyWriter) mlsLevel() {
	w.u32(0)
	w.bits(0)
}

// blob is the policy as the kernel loads it.
func (p policy) blob() []byte {
	w := &policyWriter{}
	w.u32(policyMagic, uint32(len(policyString)))
	w.text(policyString)
	w.u32(policyVersion, allowUnknown, symbolTables, contextTables)
	caps := uint64(0)
	if p.tokenPerms {
		caps = 1 << capTokenPerms
	}
	w.bits(caps)
	w.bits(0) // no type is permissive
	classes := policyClasses()
	w.symbols(classes)
	w.rules(classes)
	w.u32(0, 0, 0) // conditions, role transitions, allowed roles
	w.contexts()
	w.u32(0, 0) // paths of file systems, range transitions
	for range step.DomainRows {
		w.bits(0) // a type has no attributes
	}
	return w.b
}

// symbols writes the classes, roles, types and users; commons, booleans, sensitivities and categories are none.
func (w *policyWriter) symbols(classes []policyClass) {
	w.u32(0, 0)
	w.u32(uint32(len(classes)), uint32(len(classes)))
	for i, c := range classes {
		w.u32(uint32(len(c.name)), 0, uint32(i)+1, uint32(len(c.perms)), uint32(len(c.perms)), 0)
		w.text(c.name)
		for j, perm := range c.perms {
			w.u32(uint32(len(perm)), uint32(j)+1)
			w.text(perm)
		}
		w.u32(0) // rules about transitions
	}
	types := len(step.DomainRows)
	w.u32(ownRole, 1)
	w.u32(uint32(len(policyRole)), ownRole, 0)
	w.text(policyRole)
	w.bits(1 << (ownRole - 1))
	w.bits(1<<types - 1)
	w.u32(uint32(types), uint32(types))
	for i, d := range step.DomainRows {
		bounds := uint32(min(i, 1)) // the first type bounds the others
		w.u32(uint32(len(d.Name)), uint32(i)+1, isPrimary, bounds)
		w.text(d.Name)
	}
	w.u32(1, 1)
	w.u32(uint32(len(policyUser)), 1, 0)
	w.text(policyUser)
	w.bits(1 << (ownRole - 1))
	w.mlsRange()
	w.mlsLevel()
	w.u32(0, 0, 0, 0, 0, 0)
}

// rules writes what each type is allowed over each other type.
func (w *policyWriter) rules(classes []policyClass) {
	types := len(step.DomainRows)
	w.u32(uint32(types * types * len(classes)))
	for source := range types {
		for target := range types {
			no := denied(source, target)
			for i, c := range classes {
				allowed := uint32(0)
				for j, bit := range c.bits {
					if bit&no == 0 {
						allowed |= 1 << j
					}
				}
				w.u16(source+1, target+1, i+1, avAllowed)
				w.u32(allowed)
			}
		}
	}
}

// contexts writes that all that has no label of its own has that of every process.
func (w *policyWriter) contexts() {
	w.u32(initialSIDs)
	for sid := range uint32(initialSIDs) {
		w.u32(sid+1, 1, ownRole, 1)
		w.mlsRange()
	}
	for range contextTables - 1 {
		w.u32(0)
	}
}
