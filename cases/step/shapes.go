package step

import (
	"fmt"

	"tokentest/cases/uapi"
)

// MapShape holds smallest well-formed attributes for a map type. The kernel's
// own checks are the alloc_check of the type's map operations.
type MapShape struct {
	Type                   uapi.MapType
	Key, Value, Max, Flags uint32
	Inner                  bool   // needs the fd of an inner array map
	BTF                    bool   // needs key and value type ids of a BTF
	Struct                 string // the vmlinux struct that is the value
	LSM                    string // the security module that must be active: bpf_lsm_initialized
	Config                 string // the symbols that compile it in, include/linux/bpf_types.h
}

const (
	noPrealloc = 1         // BPF_F_NO_PREALLOC
	mmapable   = 1 << 10   // BPF_F_MMAPABLE
	sleepable  = 1 << 4    // BPF_F_SLEEPABLE
	ringbufMax = 64 << 10  // a power of two of whole pages, whatever a page is
	cgroupKey  = 8 + 4 + 4 // sizeof(struct bpf_cgroup_storage_key)
)

var mapShapes = []MapShape{
	{Type: uapi.BPF_MAP_TYPE_HASH, Key: 4, Value: 4, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_ARRAY, Key: 4, Value: 4, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_PROG_ARRAY, Key: 4, Value: 4, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY, Key: 4, Value: 4, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_PERCPU_HASH, Key: 4, Value: 4, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_PERCPU_ARRAY, Key: 4, Value: 4, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_STACK_TRACE, Key: 4, Value: 8, Max: 1, Config: "PERF_EVENTS"},
	{Type: uapi.BPF_MAP_TYPE_CGROUP_ARRAY, Key: 4, Value: 4, Max: 1, Config: "CGROUPS"},
	{Type: uapi.BPF_MAP_TYPE_LRU_HASH, Key: 4, Value: 4, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH, Key: 4, Value: 4, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_LPM_TRIE, Key: 8, Value: 4, Max: 1, Flags: noPrealloc},
	{Type: uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS, Key: 4, Value: 4, Max: 1, Inner: true},
	{Type: uapi.BPF_MAP_TYPE_HASH_OF_MAPS, Key: 4, Value: 4, Max: 1, Inner: true},
	{Type: uapi.BPF_MAP_TYPE_DEVMAP, Key: 4, Value: 4, Max: 1, Config: "NET"},
	{Type: uapi.BPF_MAP_TYPE_SOCKMAP, Key: 4, Value: 4, Max: 1, Config: "INET"},
	{Type: uapi.BPF_MAP_TYPE_CPUMAP, Key: 4, Value: 4, Max: 1, Config: "NET"},
	{Type: uapi.BPF_MAP_TYPE_XSKMAP, Key: 4, Value: 4, Max: 1, Config: "XDP_SOCKETS"},
	{Type: uapi.BPF_MAP_TYPE_SOCKHASH, Key: 4, Value: 4, Max: 1, Config: "INET"},
	{Type: uapi.BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED, Key: cgroupKey, Value: 4, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, Key: 4, Value: 4, Max: 1, Config: "INET"},
	{Type: uapi.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED, Key: cgroupKey, Value: 4, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_MAP_TYPE_QUEUE, Value: 4, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_STACK, Value: 4, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_SK_STORAGE, Key: 4, Value: 4, Flags: noPrealloc, BTF: true, Config: "NET"},
	{Type: uapi.BPF_MAP_TYPE_DEVMAP_HASH, Key: 4, Value: 4, Max: 1, Config: "NET"},
	{Type: uapi.BPF_MAP_TYPE_STRUCT_OPS, Key: 4, Max: 1, Struct: "bpf_struct_ops_tcp_congestion_ops",
		Config: structOpsConfig},
	{Type: uapi.BPF_MAP_TYPE_RINGBUF, Max: ringbufMax},
	{Type: uapi.BPF_MAP_TYPE_INODE_STORAGE, Key: 4, Value: 4, Flags: noPrealloc, BTF: true, Config: "BPF_LSM", LSM: "bpf"},
	{Type: uapi.BPF_MAP_TYPE_TASK_STORAGE, Key: 4, Value: 4, Flags: noPrealloc, BTF: true},
	{Type: uapi.BPF_MAP_TYPE_BLOOM_FILTER, Value: 4, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_USER_RINGBUF, Max: ringbufMax},
	{Type: uapi.BPF_MAP_TYPE_CGRP_STORAGE, Key: 4, Value: 4, Flags: noPrealloc, BTF: true, Config: "CGROUPS"},
	{Type: uapi.BPF_MAP_TYPE_ARENA, Max: 1, Flags: mmapable, Config: "MMU BPF_JIT " + NeedsArena},
	{Type: uapi.BPF_MAP_TYPE_INSN_ARRAY, Key: 4, Value: 16, Max: 1},
	{Type: uapi.BPF_MAP_TYPE_RHASH, Key: 4, Value: 4, Max: 1, Flags: noPrealloc},
}

// MapShapeOf returns the attributes for a map type; a type without a row gets
// those of a hash.
func MapShapeOf(t uapi.MapType) MapShape {
	for i := range mapShapes {
		if s := &mapShapes[i]; s.Type == t {
			return *s
		}
	}
	s := mapShapes[0]
	s.Type = t
	return s
}

// ProgShape holds a smallest program that loads: r0 = Return; exit.
type ProgShape struct {
	Type   uapi.ProgType
	Attach uapi.AttachType
	Return int32
	Flags  uint32
	// Needs is the attach type whose bit a token must hold: the expected
	// attach type after the kernel's fix-up.
	Needs uapi.AttachType
	// BTFKind and BTFName are the vmlinux type that attach_btf_id names.
	BTFKind, BTFName string
	// Member is the member of the struct whose index is expected_attach_type.
	Member string
	Ext    bool   // replaces a function of an XDP program
	Config string // the symbols that compile it in, include/linux/bpf_types.h
}

// The BTF kinds that attach_btf_id may name.
const (
	KindFunc    = "func"
	KindTypedef = "typedef"
	KindStruct  = "struct"
)

// NeedsArena stands in a list of configuration symbols for what an arena needs of the CPU.
const NeedsArena = "arena"

// structOpsConfig is what the struct_ops of TCP needs: it names the module that it
// belongs to, and bpf_struct_ops_desc_init needs that type. prepare_arg_info looks the names of
// its functions up with kallsyms_lookup, which finds none without CONFIG_KALLSYMS.
const structOpsConfig = "BPF_JIT INET KALLSYMS MODULES"

// lsmHook is the hook of LSM programs: one that no option but CONFIG_SECURITY compiles in
// (include/linux/lsm_hook_defs.h). A program for cgroups may be loaded for any hook.
const lsmHook = "bpf_lsm_file_open"

// extConfig is what a program needs that replaces a function: find_kern_ctx_type_id looks the context of the
// replaced function up in the kernel's BTF.
const extConfig = "BPF_JIT DEBUG_INFO_BTF"

// trampolineConfig is what a program needs that is attached to a function. Without CONFIG_BPF_JIT,
// bpf_trampoline_get of include/linux/bpf.h returns NULL, and check_attach_btf_id answers ENOMEM.
const trampolineConfig = "BPF_EVENTS BPF_JIT KALLSYMS NET"

// StructOps and StructOpsMember are the struct_ops that the program loads for.
const (
	StructOps       = "tcp_congestion_ops"
	StructOpsMember = "ssthresh"
)

// What bpf_check_attach_target attaches to is looked up by name in kallsyms; the functions that are there to be
// attached to are in net/bpf/test_run.c.

// ProgShapes are smallest programs of every type, with the expected attach types
// that differ in what they need or answer.
var ProgShapes = []ProgShape{
	{Type: uapi.BPF_PROG_TYPE_SOCKET_FILTER, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_KPROBE, Config: "BPF_EVENTS"},
	{Type: uapi.BPF_PROG_TYPE_KPROBE, Attach: uapi.BPF_TRACE_KPROBE_MULTI, Needs: uapi.BPF_TRACE_KPROBE_MULTI,
		Config: "BPF_EVENTS"},
	{Type: uapi.BPF_PROG_TYPE_KPROBE, Attach: uapi.BPF_TRACE_UPROBE_MULTI, Needs: uapi.BPF_TRACE_UPROBE_MULTI,
		Config: "BPF_EVENTS"},
	{Type: uapi.BPF_PROG_TYPE_KPROBE, Attach: uapi.BPF_TRACE_KPROBE_SESSION, Needs: uapi.BPF_TRACE_KPROBE_SESSION,
		Config: "BPF_EVENTS"},
	{Type: uapi.BPF_PROG_TYPE_KPROBE, Attach: uapi.BPF_TRACE_UPROBE_SESSION, Needs: uapi.BPF_TRACE_UPROBE_SESSION,
		Config: "BPF_EVENTS"},
	{Type: uapi.BPF_PROG_TYPE_SCHED_CLS, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_SCHED_CLS, Attach: uapi.BPF_TCX_INGRESS, Needs: uapi.BPF_TCX_INGRESS, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_SCHED_ACT, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_TRACEPOINT, Config: "BPF_EVENTS"},
	{Type: uapi.BPF_PROG_TYPE_XDP, Return: 2, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_XDP, Attach: uapi.BPF_XDP, Return: 2, Needs: uapi.BPF_XDP, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_XDP, Attach: uapi.BPF_XDP_DEVMAP, Return: 2, Needs: uapi.BPF_XDP_DEVMAP, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_XDP, Attach: uapi.BPF_XDP_CPUMAP, Return: 2, Needs: uapi.BPF_XDP_CPUMAP, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_PERF_EVENT, Config: "BPF_EVENTS"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SKB, Return: 1, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SKB, Attach: uapi.BPF_CGROUP_INET_EGRESS, Return: 1,
		Needs: uapi.BPF_CGROUP_INET_EGRESS, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SKB, Attach: uapi.BPF_CGROUP_INET_SOCK_CREATE, Return: 1,
		Needs: uapi.BPF_CGROUP_INET_SOCK_CREATE, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SOCK, Return: 1, Needs: uapi.BPF_CGROUP_INET_SOCK_CREATE, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SOCK, Attach: uapi.BPF_CGROUP_INET_SOCK_CREATE, Return: 1,
		Needs: uapi.BPF_CGROUP_INET_SOCK_CREATE, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SOCK, Attach: uapi.BPF_CGROUP_INET4_POST_BIND, Return: 1,
		Needs: uapi.BPF_CGROUP_INET4_POST_BIND, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SOCK, Attach: uapi.BPF_CGROUP_INET_SOCK_RELEASE, Return: 1,
		Needs: uapi.BPF_CGROUP_INET_SOCK_RELEASE, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_LWT_IN, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_LWT_OUT, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_LWT_XMIT, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_SOCK_OPS, Return: 1, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_SK_SKB, Return: 1, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_DEVICE, Return: 1, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_DEVICE, Attach: uapi.BPF_CGROUP_DEVICE, Return: 1, Needs: uapi.BPF_CGROUP_DEVICE,
		Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_SK_MSG, Return: 1, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_RAW_TRACEPOINT, Config: "BPF_EVENTS"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, Return: 1, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, Attach: uapi.BPF_CGROUP_INET4_BIND, Return: 1,
		Needs: uapi.BPF_CGROUP_INET4_BIND, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, Attach: uapi.BPF_CGROUP_UNIX_GETSOCKNAME, Return: 1,
		Needs: uapi.BPF_CGROUP_UNIX_GETSOCKNAME, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_LWT_SEG6LOCAL, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_LIRC_MODE2, Config: "BPF_LIRC_MODE2"},
	{Type: uapi.BPF_PROG_TYPE_SK_REUSEPORT, Return: 1, Needs: uapi.BPF_SK_REUSEPORT_SELECT, Config: "INET"},
	{Type: uapi.BPF_PROG_TYPE_SK_REUSEPORT, Attach: uapi.BPF_SK_REUSEPORT_SELECT, Return: 1,
		Needs: uapi.BPF_SK_REUSEPORT_SELECT, Config: "INET"},
	{Type: uapi.BPF_PROG_TYPE_SK_REUSEPORT, Attach: uapi.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE, Return: 1,
		Needs: uapi.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE, Config: "INET"},
	{Type: uapi.BPF_PROG_TYPE_FLOW_DISSECTOR, Config: "NET"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SYSCTL, Return: 1, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, Config: "BPF_EVENTS"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT, Return: 1, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT, Attach: uapi.BPF_CGROUP_GETSOCKOPT, Return: 1,
		Needs: uapi.BPF_CGROUP_GETSOCKOPT, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT, Attach: uapi.BPF_CGROUP_SETSOCKOPT, Return: 1,
		Needs: uapi.BPF_CGROUP_SETSOCKOPT, Config: "CGROUP_BPF"},
	{Type: uapi.BPF_PROG_TYPE_TRACING, Attach: uapi.BPF_TRACE_FENTRY, Needs: uapi.BPF_TRACE_FENTRY, BTFKind: KindFunc,
		BTFName: "bpf_fentry_test1", Config: trampolineConfig},
	{Type: uapi.BPF_PROG_TYPE_TRACING, Attach: uapi.BPF_TRACE_FEXIT, Needs: uapi.BPF_TRACE_FEXIT, BTFKind: KindFunc,
		BTFName: "bpf_fentry_test1", Config: trampolineConfig},
	{Type: uapi.BPF_PROG_TYPE_TRACING, Attach: uapi.BPF_MODIFY_RETURN, Needs: uapi.BPF_MODIFY_RETURN, BTFKind: KindFunc,
		BTFName: "bpf_modify_return_test", Config: trampolineConfig},
	{Type: uapi.BPF_PROG_TYPE_TRACING, Attach: uapi.BPF_TRACE_RAW_TP, Needs: uapi.BPF_TRACE_RAW_TP, BTFKind: KindTypedef,
		BTFName: "btf_trace_sched_switch", Config: "BPF_EVENTS"},
	{Type: uapi.BPF_PROG_TYPE_TRACING, Attach: uapi.BPF_TRACE_ITER, Needs: uapi.BPF_TRACE_ITER, BTFKind: KindFunc,
		BTFName: "bpf_iter_task", Config: "BPF_EVENTS"},
	{Type: uapi.BPF_PROG_TYPE_TRACING, Attach: uapi.BPF_TRACE_FSESSION, Needs: uapi.BPF_TRACE_FSESSION, BTFKind: KindFunc,
		BTFName: "bpf_fentry_test1", Config: trampolineConfig},
	{Type: uapi.BPF_PROG_TYPE_STRUCT_OPS, Return: 2, BTFKind: KindStruct, BTFName: StructOps, Member: StructOpsMember,
		Config: structOpsConfig},
	{Type: uapi.BPF_PROG_TYPE_EXT, Return: 2, Ext: true, Config: extConfig},
	{Type: uapi.BPF_PROG_TYPE_LSM, Attach: uapi.BPF_LSM_MAC, Needs: uapi.BPF_LSM_MAC, BTFKind: KindFunc, BTFName: lsmHook,
		Config: "BPF_LSM KALLSYMS"},
	{Type: uapi.BPF_PROG_TYPE_LSM, Attach: uapi.BPF_LSM_CGROUP, Return: 1, Needs: uapi.BPF_LSM_CGROUP, BTFKind: KindFunc,
		BTFName: lsmHook, Config: "BPF_LSM KALLSYMS"},
	{Type: uapi.BPF_PROG_TYPE_SK_LOOKUP, Return: 1, Config: "INET"},
	{Type: uapi.BPF_PROG_TYPE_SK_LOOKUP, Attach: uapi.BPF_SK_LOOKUP, Return: 1, Needs: uapi.BPF_SK_LOOKUP, Config: "INET"},
	{Type: uapi.BPF_PROG_TYPE_SYSCALL, Flags: sleepable},
	{Type: uapi.BPF_PROG_TYPE_NETFILTER, Return: 1, Config: "NETFILTER_BPF_LINK"},
	{Type: uapi.BPF_PROG_TYPE_NETFILTER, Attach: uapi.BPF_NETFILTER, Return: 1, Needs: uapi.BPF_NETFILTER,
		Config: "NETFILTER_BPF_LINK"},
}

// ProgShapeOf returns the program for a type and an expected attach type; a
// pair without a row gets the type's first program.
func ProgShapeOf(t uapi.ProgType, a uapi.AttachType) ProgShape {
	found := &ProgShape{Type: t}
	for i := range ProgShapes {
		s := &ProgShapes[i]
		switch {
		case s.Type == t && s.Attach == a:
			return *s
		case s.Type == t && found.Config == "":
			found = s
		}
	}
	out := *found
	out.Attach = a
	return out
}

// Name is the shape's value on an axis: the type, and the attach type where
// it is not 0.
func (s *ProgShape) Name() string {
	if s.Attach == 0 {
		return s.Type.String()
	}
	return fmt.Sprintf("%s.%s", s.Type, s.Attach)
}

// TypeName is how a type of BTFNames is spelled in Facts.TypesOff.
func TypeName(kind, name string) string { return kind + " " + name }

// BTFNames lists the kinds and names of the vmlinux types that the shapes
// refer to.
func BTFNames() [][2]string {
	var out [][2]string
	for i := range mapShapes {
		if s := &mapShapes[i]; s.Struct != "" {
			out = append(out, [2]string{KindStruct, s.Struct})
		}
	}
	for _, name := range []string{TokenStruct, MapStruct, ProgStruct, ProgAuxStruct} {
		out = append(out, [2]string{KindStruct, name})
	}
	for h := range uapi.Hooks {
		if h > 0 {
			out = append(out, [2]string{KindFunc, HookFunc(uapi.Hook(h))})
		}
	}
	for i := range ProgShapes {
		if s := &ProgShapes[i]; s.BTFName != "" {
			out = append(out, [2]string{s.BTFKind, s.BTFName})
		}
	}
	return append(out, bodyNames()...)
}
