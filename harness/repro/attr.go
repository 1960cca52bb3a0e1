package repro

import (
	"fmt"
	"strings"

	"tokentest/cases/uapi"
)

// member is a member of the part of union bpf_attr that a command reads.
type member struct {
	ctype, name string
	size        int // in bytes, of the whole member
	array       int // of so many chars, if it is not 0
}

// layout is what a command reads of union bpf_attr: the names and the order are the kernel's
// (include/uapi/linux/bpf.h), so that a program does not depend on the age of the header that it is
// compiled with.
type layout struct {
	name    string
	members []member
}

// u32s, and so on, make members of the names in a text.
func u32s(names string) []member { return members("__u32", 4, names) }
func s32s(names string) []member { return members("__s32", 4, names) }
func u64s(names string) []member { return members("__aligned_u64", 8, names) }

func members(ctype string, size int, names string) []member {
	var out []member
	for _, n := range strings.Fields(names) {
		out = append(out, member{ctype: ctype, name: n, size: size})
	}
	return out
}

func text(name string) []member {
	const length = 16 // BPF_OBJ_NAME_LEN
	return []member{{ctype: "char", name: name, size: length, array: length}}
}

func join(parts ...[]member) []member {
	var out []member
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// The layouts.
var (
	mapCreateAttr = &layout{"map_create", join(
		u32s("map_type key_size value_size max_entries map_flags inner_map_fd numa_node"), text("map_name"),
		u32s("map_ifindex btf_fd btf_key_type_id btf_value_type_id btf_vmlinux_value_type_id"), u64s("map_extra"),
		s32s("value_type_btf_obj_fd map_token_fd"), u64s("excl_prog_hash"), u32s("excl_prog_hash_size"))}
	progLoadAttr = &layout{"prog_load", join(
		u32s("prog_type insn_cnt"), u64s("insns license"), u32s("log_level log_size"), u64s("log_buf"),
		u32s("kern_version prog_flags"), text("prog_name"),
		u32s("prog_ifindex expected_attach_type prog_btf_fd func_info_rec_size"), u64s("func_info"),
		u32s("func_info_cnt line_info_rec_size"), u64s("line_info"),
		u32s("line_info_cnt attach_btf_id attach_prog_fd core_relo_cnt"), u64s("fd_array core_relos"),
		u32s("core_relo_rec_size log_true_size"), s32s("prog_token_fd"), u32s("fd_array_cnt"), u64s("signature"),
		u32s("signature_size"), s32s("keyring_id"))}
	btfLoadAttr = &layout{"btf_load", join(
		u64s("btf btf_log_buf"), u32s("btf_size btf_log_size btf_log_level btf_log_true_size btf_flags"),
		s32s("btf_token_fd"))}
	tokenCreateAttr = &layout{"token_create", u32s("flags bpffs_fd")}
)

// layouts are all of them, in the order in which programs have them.
var layouts = append([]*layout{mapCreateAttr, progLoadAttr, btfLoadAttr, tokenCreateAttr}, callLayouts...)

// offset returns where a member stands, and the one's index; -1 for a name that is no member.
func (l *layout) offset(name string) (off, index int) {
	for i, m := range l.members {
		if m.name == name {
			return off, i
		}
		off += m.size
	}
	return -1, -1
}

// define writes the struct up to the member last, padded to the size that a compiler gives it: the kernel
// must not find chance bytes.
func (l *layout) define(last int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "struct %s_attr {\n", l.name)
	size, wide, line := 0, false, ""
	for i, m := range l.members[:last+1] {
		name := m.name
		if m.array != 0 {
			name = fmt.Sprintf("%s[%d]", m.name, m.array)
		}
		const width = columns - 8 // a tab is 8 columns
		if i > 0 && m.ctype == l.members[i-1].ctype && len(line)+2+len(name) < width {
			line += ", " + name
		} else {
			if i > 0 {
				b.WriteString(line + ";\n")
			}
			line = "\t" + m.ctype + " " + name
		}
		size, wide = size+m.size, wide || m.size == 8
	}
	b.WriteString(line + ";\n")
	if wide && size%8 != 0 {
		b.WriteString("\t__u32 pad;\n")
	}
	b.WriteString("};\n")
	return b.String()
}

// value is what a request has in a member, as C.
type value struct {
	name, c string
	shape   bool // all requests for the type have it
	own     bool // but not this one
}

// request is a call of bpf(2).
type request struct {
	*layout
	cmd    uapi.Cmd
	values []value
	shape  string // what the macro for requests of the type is called
}

// isShape says that what is set by now is what all requests for a type have.
func (r *request) isShape(name string) {
	r.shape = name
	for i := range r.values {
		r.values[i].shape = !r.values[i].own
	}
}

// set sets a member, in place of what it was.
func (r *request) set(name, format string, args ...any) {
	c := fmt.Sprintf(format, args...)
	for i := range r.values {
		if r.values[i].name == name {
			if r.values[i].c != c {
				r.shape = "" // C does not take a member twice
			}
			r.values[i].c = c
			return
		}
	}
	r.values = append(r.values, value{name: name, c: c})
}

// get returns what a member is set to.
func (r *request) get(name string) string {
	for _, v := range r.values {
		if v.name == name {
			return v.c
		}
	}
	return ""
}
