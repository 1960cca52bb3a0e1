package step

import (
	"slices"

	"tokentest/cases/uapi"
)

// CmdShape is a command that OpCall knows a smallest well-formed request for.
type CmdShape struct {
	Cmd uapi.Cmd
	// Token says that the attribute has, or since some release has, a place
	// for a token among what the command looks at.
	Token  bool
	Config string // the symbols that the request wants
}

// CmdShapes are the commands in the order of their numbers. Those that make a
// map, a program, a BTF or a token have operations of their own.
var CmdShapes = []CmdShape{
	{Cmd: uapi.BPF_MAP_LOOKUP_ELEM},
	{Cmd: uapi.BPF_MAP_UPDATE_ELEM},
	{Cmd: uapi.BPF_MAP_DELETE_ELEM},
	{Cmd: uapi.BPF_MAP_GET_NEXT_KEY},
	{Cmd: uapi.BPF_OBJ_PIN},
	{Cmd: uapi.BPF_OBJ_GET},
	{Cmd: uapi.BPF_PROG_ATTACH, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_PROG_DETACH, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_PROG_TEST_RUN, Config: "NET"},
	{Cmd: uapi.BPF_PROG_GET_NEXT_ID, Token: true},
	{Cmd: uapi.BPF_MAP_GET_NEXT_ID, Token: true},
	{Cmd: uapi.BPF_PROG_GET_FD_BY_ID, Token: true},
	{Cmd: uapi.BPF_MAP_GET_FD_BY_ID, Token: true},
	{Cmd: uapi.BPF_OBJ_GET_INFO_BY_FD},
	{Cmd: uapi.BPF_PROG_QUERY, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_RAW_TRACEPOINT_OPEN, Config: "BPF_EVENTS"},
	{Cmd: uapi.BPF_BTF_GET_FD_BY_ID, Token: true},
	{Cmd: uapi.BPF_TASK_FD_QUERY, Config: "BPF_EVENTS"},
	{Cmd: uapi.BPF_MAP_LOOKUP_AND_DELETE_ELEM},
	{Cmd: uapi.BPF_MAP_FREEZE},
	{Cmd: uapi.BPF_BTF_GET_NEXT_ID, Token: true},
	{Cmd: uapi.BPF_MAP_LOOKUP_BATCH},
	{Cmd: uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH},
	{Cmd: uapi.BPF_MAP_UPDATE_BATCH},
	{Cmd: uapi.BPF_MAP_DELETE_BATCH},
	{Cmd: uapi.BPF_LINK_CREATE, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_LINK_UPDATE, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_LINK_GET_FD_BY_ID, Token: true, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_LINK_GET_NEXT_ID, Token: true, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_ENABLE_STATS},
	{Cmd: uapi.BPF_ITER_CREATE, Config: "DEBUG_INFO_BTF"},
	{Cmd: uapi.BPF_LINK_DETACH, Config: "CGROUP_BPF"},
	{Cmd: uapi.BPF_PROG_BIND_MAP},
	{Cmd: uapi.BPF_PROG_STREAM_READ_BY_FD},
	{Cmd: uapi.BPF_PROG_ASSOC_STRUCT_OPS, Config: structOpsConfig},
}

// CmdShapeOf returns a command's shape, or nil.
func CmdShapeOf(cmd uapi.Cmd) *CmdShape {
	i := slices.IndexFunc(CmdShapes, func(s CmdShape) bool { return s.Cmd == cmd })
	if i < 0 {
		return nil
	}
	return &CmdShapes[i]
}
