package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// Common is the struct bpf_common_attr of a call with BPF_COMMON_ATTRS, which 7.2 knows. 0 is a call without.
type Common uint8

// What the attributes ask for, or how they are wrong.
const (
	CommonEmpty      Common = iota + 1 // they have no length
	CommonLog                          // a log, with room for all that is written
	CommonLength                       // a log without a buffer: its length alone
	CommonPart                         // a log, and they end before log_true_size
	CommonSame                         // a log, which the command's own attributes name, too
	CommonOther                        // a log, and the command's own attributes name another
	CommonShort                        // a log with room for one byte
	CommonBadBuffer                    // a log at an invalid address
	CommonReadOnly                     // a log, and they are in memory that cannot be written
	CommonNoLevel                      // a buffer without log_level
	CommonNoSize                       // a buffer without log_size
	CommonBadLevel                     // a log_level that the kernel does not know
	CommonBigSize                      // a log_size of more than UINT_MAX / 4
	CommonTail                         // a byte after the last field is not 0
	CommonHuge                         // they are longer than a page
	CommonUnreadable                   // they are at an invalid address
)

// invalid mirrors !bpf_verifier_log_attr_valid.
func (m Common) invalid() bool { return m >= CommonNoLevel && m <= CommonBigSize }

// refused reports whether bpf_log_attr_init refuses the attributes of a command that has a log of its own.
func (m Common) refused() bool { return m.invalid() || m == CommonOther }

// opening returns the rule as the first one that is looked at when the command has a log.
func opening[R any](r rule[R]) rule[R] {
	r.opens = true
	return r
}

// uses reports whether the kernel writes the command's log where the common attributes say: bpf_log_attr_init takes
// them for a command without a log of its own.
func (m Common) uses() bool {
	return slices.Contains([]Common{CommonLog, CommonPart, CommonShort, CommonBadBuffer, CommonReadOnly}, m)
}

// Writes says what a call that is allowed leaves in its common attributes: log_true_size and the log.
func (m Common) Writes(cmd uapi.Cmd) (size, log string) {
	size, log = "kept", "empty"
	switch {
	case cmd == uapi.BPF_MAP_CREATE && m != CommonPart:
		size = "0" // nothing is written into the log of a map that is made
	case cmd != uapi.BPF_PROG_LOAD && cmd != uapi.BPF_BTF_LOAD:
	case m == CommonLog:
		size, log = "set", "written"
	case m == CommonPart, m == CommonSame:
		log = "written"
	}
	return size, log
}

// commonRules are the checks of __sys_bpf before the hook.
func commonRules[R attrRequest]() []rule[R] {
	is := func(of ...Common) func(c *call[R]) bool {
		return func(c *call[R]) bool { return slices.Contains(of, c.req.fault().Common) }
	}
	return []rule[R]{
		{id: "common-too-long", fn: "bpf_check_uarg_tail_zero", errno: e2BIG, since: linux(7, 2),
			text:  "the common attributes have non-zero bytes after log_true_size, or are longer than a page",
			holds: is(CommonTail, CommonHuge)},
		{id: "common-unreadable", fn: "__sys_bpf", errno: eFAULT, since: linux(7, 2),
			text: "the common attributes cannot be read", holds: is(CommonUnreadable)},
	}
}

// commonUnknown is what earlier kernels answer, for which BPF_COMMON_ATTRS is a part of the command's number.
func commonUnknown[R attrRequest]() rule[R] {
	return rule[R]{id: "common", fn: "__sys_bpf", errno: eINVAL, until: linux(7, 2),
		text:  "the kernel does not know BPF_COMMON_ATTRS",
		holds: func(c *call[R]) bool { return c.req.fault().Common != 0 }}
}

// shown is a command as LSM hooks get it.
func shown[R any](c *call[R], cmd uapi.Cmd) uapi.Cmd {
	if r, ok := any(c.req).(attrRequest); ok && r.fault().Common != 0 && !c.Kernel.has(linux(7, 2)) {
		return cmd | uapi.BPF_COMMON_ATTRS
	}
	return cmd
}

// logRules are the checks of bpf_log_attr_finalize, once the command's function has answered: their errno takes the
// place of its own. silent reports whether nothing is in the log then, used whether the common attributes name it.
func logRules[R attrRequest](silent func(c *call[R]) bool, used func(m Common) bool) []rule[R] {
	of := func(id, fn, text string, errno uapi.Errno, is Common, also func(c *call[R]) bool) rule[R] {
		return rule[R]{id: id, fn: fn, errno: errno, text: text, since: linux(7, 2), replaces: true,
			holds: func(c *call[R]) bool { return c.logs && c.req.fault().Common == is && used(is) && also(c) }}
	}
	written := func(c *call[R]) bool { return !silent(c) }
	return []rule[R]{
		of("log-unwritable", "bpf_vlog_finalize",
			"the log has a line, and its buffer cannot be written: whatever the command answers", eFAULT,
			CommonBadBuffer, written),
		of("log-full", "bpf_vlog_finalize", "the log is longer than its buffer: whatever the command answers",
			eNOSPC, CommonShort, written),
		of("log-size", "bpf_log_attr_finalize", "log_true_size of the common attributes cannot be written: whatever the "+
			"command answers", eFAULT, CommonReadOnly, func(*call[R]) bool { return true }),
	}
}

// mapLogged are the refusals of map_create_alloc that write a line into the log.
var mapLogged = []string{
	"attr-tail", "btf-ids", "map-extra", "numa-node", "bad-type", "token-bad-fd", "token-not-a-token", "bad-name",
	"btf-closed", "btf-none", "exclusive",
}

func mapSilent(c *mapCall) bool {
	unspec := c.by == "bad-type" && c.req.Type == uapi.BPF_MAP_TYPE_UNSPEC // no type's operations
	return unspec || !slices.Contains(mapLogged, c.by)
}

// progSilent are the refusals of bpf_check that write no line.
var progSilent = []string{"signature", "signature-no-key", "signature-other", "selinux-create", "lsm"}

func progIsSilent(c *progCall) bool {
	a := c.req.Attr
	empty := c.by == "signature-key" && a != nil && a.Sign != nil && *a.Sign == 0
	return empty || slices.Contains(progSilent, c.by)
}
