package step

import (
	"slices"

	"tokentest/cases/uapi"
)

// TokenCmd is a command whose attribute has a place for a token: where the kernel, or a
// newer one, looks for its descriptor and for BPF_F_TOKEN_FD, and which members a step's
// arguments replace.
type TokenCmd struct {
	Cmd          uapi.Cmd
	Token, Flags uapi.Field
	Fields       [Keys]uapi.Field // of no size for an argument that is no member
}

// tokenCmds are the commands. Of those about ids only BPF_BTF_GET_FD_BY_ID looks at a
// token, since 6.15; the others refuse to be given one.
var tokenCmds = []TokenCmd{
	{Cmd: uapi.BPF_MAP_CREATE, Token: uapi.Attr_map_token_fd, Flags: uapi.Attr_map_flags, Fields: [Keys]uapi.Field{
		KeyKeySize: uapi.Attr_key_size, KeyValueSize: uapi.Attr_value_size, KeyMaxEntries: uapi.Attr_max_entries,
		KeyFlags: uapi.Attr_map_flags, KeyNUMA: uapi.Attr_numa_node, KeyIfindex: uapi.Attr_map_ifindex,
		KeyBTFKey: uapi.Attr_btf_key_type_id, KeyBTFValue: uapi.Attr_btf_value_type_id,
		KeyVmlinux: uapi.Attr_btf_vmlinux_value_type_id, KeyExtra: uapi.Attr_map_extra,
	}},
	{Cmd: uapi.BPF_PROG_LOAD, Token: uapi.Attr_prog_token_fd, Flags: uapi.Attr_prog_flags, Fields: [Keys]uapi.Field{
		KeyInsns: uapi.Attr_insn_cnt, KeyLog: uapi.Attr_log_level, KeyFlags: uapi.Attr_prog_flags,
		KeyIfindex: uapi.Attr_prog_ifindex, KeyAttachBTFID: uapi.Attr_attach_btf_id,
	}},
	{Cmd: uapi.BPF_BTF_LOAD, Token: uapi.Attr_btf_token_fd, Flags: uapi.Attr_btf_flags, Fields: [Keys]uapi.Field{
		KeyLog: uapi.Attr_btf_log_level, KeyFlags: uapi.Attr_btf_flags,
	}},
	byID(uapi.BPF_PROG_GET_NEXT_ID),
	byID(uapi.BPF_MAP_GET_NEXT_ID),
	byID(uapi.BPF_PROG_GET_FD_BY_ID),
	byID(uapi.BPF_MAP_GET_FD_BY_ID),
	byID(uapi.BPF_BTF_GET_FD_BY_ID),
	byID(uapi.BPF_BTF_GET_NEXT_ID),
	byID(uapi.BPF_LINK_GET_FD_BY_ID),
	byID(uapi.BPF_LINK_GET_NEXT_ID),
}

// byID is a command that finds an object by its id.
func byID(cmd uapi.Cmd) TokenCmd {
	return TokenCmd{Cmd: cmd, Token: uapi.Attr_fd_by_id_token_fd, Flags: uapi.Attr_open_flags}
}

// TokenCmdOf returns a command's row, or nil for one whose attribute has no place for a token.
func TokenCmdOf(cmd uapi.Cmd) *TokenCmd {
	for i := range tokenCmds {
		if tokenCmds[i].Cmd == cmd {
			return &tokenCmds[i]
		}
	}
	return nil
}

// CmdShape is a command that OpCall knows a smallest well-formed request for.
type CmdShape struct {
	Cmd    uapi.Cmd
	Config string // the symbols that the request needs
	Makes  bool   // a descriptor
}

// CmdShapes are the commands in the order of their numbers. Those that make a
// map, a program, a BTF or a token have operations of their own.
var CmdShapes = []CmdShape{
	{Cmd: uapi.BPF_MAP_LOOKUP_ELEM},
	{Cmd: uapi.BPF_MAP_UPDATE_ELEM},
	{Cmd: uapi.BPF_MAP_DELETE_ELEM},
	{Cmd: uapi.BPF_MAP_GET_NEXT_KEY},
	{Cmd: uapi.BPF_OBJ_PIN},
	{Cmd: uapi.BPF_OBJ_GET, Makes: true},
	{Cmd: uapi.BPF_PROG_ATTACH, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_PROG_DETACH, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_PROG_TEST_RUN, Config: "NET"},
	{Cmd: uapi.BPF_PROG_GET_NEXT_ID},
	{Cmd: uapi.BPF_MAP_GET_NEXT_ID},
	{Cmd: uapi.BPF_PROG_GET_FD_BY_ID, Makes: true},
	{Cmd: uapi.BPF_MAP_GET_FD_BY_ID, Makes: true},
	{Cmd: uapi.BPF_OBJ_GET_INFO_BY_FD},
	{Cmd: uapi.BPF_PROG_QUERY, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_RAW_TRACEPOINT_OPEN, Config: "BPF_EVENTS", Makes: true},
	{Cmd: uapi.BPF_BTF_GET_FD_BY_ID, Makes: true},
	{Cmd: uapi.BPF_TASK_FD_QUERY, Config: "BPF_EVENTS"},
	{Cmd: uapi.BPF_MAP_LOOKUP_AND_DELETE_ELEM},
	{Cmd: uapi.BPF_MAP_FREEZE},
	{Cmd: uapi.BPF_BTF_GET_NEXT_ID},
	{Cmd: uapi.BPF_MAP_LOOKUP_BATCH},
	{Cmd: uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH},
	{Cmd: uapi.BPF_MAP_UPDATE_BATCH},
	{Cmd: uapi.BPF_MAP_DELETE_BATCH},
	{Cmd: uapi.BPF_LINK_CREATE, Config: "CGROUP_BPF", Makes: true},
	{Cmd: uapi.BPF_LINK_UPDATE, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_LINK_GET_FD_BY_ID, Config: "CGROUP_BPF", Makes: true},
	{Cmd: uapi.BPF_LINK_GET_NEXT_ID, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_ENABLE_STATS, Makes: true},
	{Cmd: uapi.BPF_ITER_CREATE, Config: "BPF_EVENTS DEBUG_INFO_BTF", Makes: true},
	{Cmd: uapi.BPF_LINK_DETACH, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_PROG_BIND_MAP},
	{Cmd: uapi.BPF_PROG_STREAM_READ_BY_FD},
	{Cmd: uapi.BPF_PROG_ASSOC_STRUCT_OPS, Config: structOpsConfig + " DEBUG_INFO_BTF"},
}

// CmdShapeOf returns a command's shape, or nil.
func CmdShapeOf(cmd uapi.Cmd) *CmdShape {
	i := slices.IndexFunc(CmdShapes, func(s CmdShape) bool { return s.Cmd == cmd })
	if i < 0 {
		return nil
	}
	return &CmdShapes[i]
}
