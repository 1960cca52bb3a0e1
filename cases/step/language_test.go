package step

import (
	"strings"
	"testing"

	"tokentest/cases/uapi"
)

// described is an operation as case files and the guest know it: who does it, what it
// shows, and its arguments. A positional one is in upper case; ! is required, | one of several.
func described(r *Operation) string {
	who := [...]string{ByWorker: "worker", ByLeader: "leader", ByBroker: "broker", ByBoth: "both"}[r.Who]
	shows := [...]string{ShowsNothing: "nothing", ShowsObject: "object", ShowsMasks: "masks", ShowsText: "text",
		ShowsCount: "count", ShowsErrnos: "errnos"}[r.Shows]
	words := []string{who, shows}
	for _, flag := range []struct {
		name string
		is   bool
	}{{"makes", r.Makes}, {"timed", r.Timed}, {"caps", r.Caps}} {
		if flag.is {
			words = append(words, flag.name)
		}
	}
	words = append(words, ":")
	for _, p := range r.Params {
		if p.At {
			words = append(words, p.Name+"@")
			continue
		}
		switch p.Use {
		case Positional:
			words = append(words, strings.ToUpper(p.Name))
		case Required:
			words = append(words, p.Name+"=!")
		case OneOf:
			words = append(words, p.Name+"=|")
		default:
			words = append(words, p.Name+"=")
		}
	}
	return strings.Join(words, " ")
}

// Case files of users spell the operations and their arguments: a name that changes or a
// new required argument breaks them.
func TestLanguageOfSteps(t *testing.T) {
	want := []struct{ name, row string }{
		{"bpffs", "broker object makes : cmds= maps= progs= attachs= uid= gid= mode= unknown= at="},
		{"token_create", "worker masks makes timed caps : bpffs= flags= attr= common= inside= then= no_fd= umask= uid= " +
			"compat= landlock= selinux="},
		{"map_create", "worker object makes timed caps : type= token= token_fd= attr= common= flags= name= ifindex= " +
			"inside= then= key= value= max= extra= numa= inner= btf= btf_key= btf_value= vmlinux= excl= excl_signed= " +
			"no_fd= memlock= kernel= uid= compat= selinux="},
		{"prog_load", "worker object makes timed caps : type= attach= token= token_fd= attr= common= flags= name= ifindex= " +
			"log= inside= then= insns= attach_btf_id= attach_fd= prog= helper= map= sign= keyring= signed= fd_array= lines= " +
			"no_fd= uid= compat= selinux="},
		{"btf_load", "worker object makes timed caps : token= token_fd= attr= common= flags= log= inside= then= " +
			"junk= lock= loop= field= no_fd= uid= compat= selinux="},
		{"send", "broker nothing : HANDLE TO"},
		{"close", "worker nothing : HANDLE"},
		{"sysctl", "broker nothing : unprivileged_bpf_disabled="},
		{"sysrq", "broker nothing : KEY"},
		{"call", "worker object makes timed caps : cmd=! token= token_at= flag_at= attr= on= prog= id= common= kernel= " +
			"uid= compat= selinux="},
		{"fsopen", "worker nothing makes caps :"},
		{"fsconfig", "worker nothing caps : CONTEXT flag= as= source= cmds= maps= progs= attachs= uid= gid= mode= unknown="},
		{"fscreate", "worker nothing caps : CONTEXT excl="},
		{"fsreconfigure", "worker nothing caps : CONTEXT"},
		{"fspick", "worker nothing makes caps : at=!"},
		{"fsmount", "worker nothing makes caps : CONTEXT readonly="},
		{"move_mount", "worker nothing caps : MOUNT at=!"},
		{"mount", "worker nothing caps : at=! landlock= cmds= maps= progs= attachs= uid= gid= mode= unknown="},
		{"remount", "worker nothing caps : at=! cmds= maps= progs= attachs= uid= gid= mode= unknown="},
		{"bind", "worker nothing caps : from=| of=| at=! ro="},
		{"clone_mount", "worker nothing makes caps : at=| of=|"},
		{"share", "worker nothing caps : at=!"},
		{"umount", "both nothing caps : at=! lazy="},
		{"open", "worker nothing makes caps : of=| at=| path= how= uid= landlock="},
		{"mkdir", "worker nothing caps : in=! name=! uid= landlock="},
		{"chmod", "worker nothing caps : HANDLE mode=! name= uid="},
		{"stat", "leader text : HANDLE"},
		{"mountinfo", "leader text : at=! by="},
		{"fdinfo", "leader masks : HANDLE"},
		{"token_info", "worker masks caps : HANDLE len="},
		{"pin", "worker nothing caps : HANDLE in=! name=! uid= landlock="},
		{"link", "worker nothing caps : HANDLE in=! name=!"},
		{"dup", "worker nothing makes : HANDLE"},
		{"cloexec", "worker nothing : HANDLE ON"},
		{"exec", "broker nothing :"},
		{"fork", "broker nothing : CHILD"},
		{"exit", "broker nothing :"},
		{"userns", "worker nothing makes :"},
		{"netns", "worker nothing makes :"},
		{"setns", "worker nothing caps : USERNS"},
		{"pidfd_getfd", "both nothing makes caps : HANDLE from=! selinux="},
		{"proc_open", "both nothing makes caps : HANDLE from=!"},
		{"churn", "both count caps : bpffs=! times=! slack=! no_fd="},
		{"namespaces", "broker nothing : times=! slack=!"},
		{"race", "both errnos caps : WHAT times=! bpffs= token= at="},
		{"lsm", "broker object makes : hook=! of=! errno=! cmd= cap= mask= name= token= kernel= cmds= maps= progs= attachs="},
		{"lsm_off", "broker nothing : PROGRAM"},
		{"lsm_ran", "broker nothing : PROGRAM times="},
		{"memory", "broker nothing : ACTOR max=!"},
		{"kallsyms", "broker nothing : name=!"},
		{"library", "worker object caps : make=! env="},
		{"element", "worker object caps : HANDLE DO"},
		{"get_pinned", "worker object makes caps : in=! name=! flags= uid= landlock= selinux="},
		{"consume", "worker object caps : BUFFER"},
		{"barriers", "worker text caps : HANDLE"},
		{"reopen", "worker nothing makes : HANDLE"},
		{"attach_link", "worker object makes caps : PROGRAM to=! flags= attr="},
		{"attach_prog", "both nothing caps : PROGRAM to=! flags= relative= id= old= attr="},
		{"detach_prog", "worker nothing caps : to=! prog= flags= relative= id= attr="},
		{"update_link", "worker nothing caps : HANDLE PROG old="},
		{"detach_link", "worker nothing caps : HANDLE"},
		{"iterate", "worker object caps : HANDLE"},
		{"attached", "broker text : to=!"},
		{"mount_attr", "worker nothing caps : MOUNT readonly=| idmap=|"},
		{"file", "worker nothing caps : HANDLE DO"},
		{"proc_fdinfo", "both masks caps : HANDLE from=!"},
		{"raw", "worker nothing makes caps : cmd=! u32@ u64@ fd@ ptr@ size= uid= compat="},
		{"run", "both nothing caps : code= out= fd= way= file_caps= no_new_privs= securebits= uid= PROGRAM"},
		{"kernel_btf", "worker object makes caps :"},
		{"freeze", "worker nothing caps : HANDLE"},
		{"mmap", "worker object : HANDLE write="},
		{"batch", "worker nothing caps : HANDLE DO"},
		{"prog_info", "worker text caps : HANDLE"},
		{"write_sysctl", "both nothing caps : unprivileged_bpf_disabled=| bpf_stats_enabled=| kptr_restrict=| " +
			"bpf_jit_enable=| " +
			"bpf_jit_harden=| bpf_jit_limit=|"},
		{"translated", "worker text caps : HANDLE"},
		{"run_prog", "worker object caps : HANDLE"},
		{"symlink", "worker nothing caps : in=! name=! uid= landlock="},
		{"xattr", "worker nothing caps : HANDLE DO NAME"},
		{"file_max", "broker nothing : value=!"},
		{"link_info", "worker text caps : HANDLE"},
		{"query_event", "worker nothing caps :"},
		{"selinux", "broker nothing : MODE token_perms="},
	}
	if len(want) != int(Ops)-1 {
		t.Errorf("the table has %d operations, this test %d", Ops-1, len(want))
	}
	for _, tt := range want {
		o := OpNamed(tt.name)
		if o == 0 {
			t.Errorf("the table has no %s", tt.name)
			continue
		}
		if got := described(o.Row()); got != tt.row {
			t.Errorf("%s: %s\nwant %s", tt.name, got, tt.row)
		}
	}
}

// described has a place for everything that it compares.
func TestDescribedSeesChanges(t *testing.T) {
	before := described(OpMapCreate.Row())
	for name, change := range map[string]func(r *Operation){
		"who": func(r *Operation) { r.Who = ByBroker }, "shows": func(r *Operation) { r.Shows = ShowsText },
		"makes": func(r *Operation) { r.Makes = false }, "timed": func(r *Operation) { r.Timed = false },
		"caps": func(r *Operation) { r.Caps = false }, "params": func(r *Operation) { r.Params = r.Params[1:] },
		"required":   func(r *Operation) { r.Params = append([]Param{r.Params[0].as(Required)}, r.Params[1:]...) },
		"positional": func(r *Operation) { r.Params = append([]Param{r.Params[0].as(Positional)}, r.Params[1:]...) },
		"one of":     func(r *Operation) { r.Params = append([]Param{r.Params[0].as(OneOf)}, r.Params[1:]...) },
	} {
		r := *OpMapCreate.Row()
		change(&r)
		if described(&r) == before {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
}

// The smallest attributes that each map type's map_alloc_check takes, and what they need.
func TestMapShapes(t *testing.T) {
	for _, tt := range []struct {
		t                      uapi.MapType
		key, value, max, flags uint32
		needs                  string
	}{
		{uapi.BPF_MAP_TYPE_HASH, 4, 4, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_PERCPU_HASH, 4, 4, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_PERCPU_ARRAY, 4, 4, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_STACK_TRACE, 4, 8, 1, 0, "PERF_EVENTS"},
		{uapi.BPF_MAP_TYPE_CGROUP_ARRAY, 4, 4, 1, 0, "CGROUPS"},
		{uapi.BPF_MAP_TYPE_LRU_HASH, 4, 4, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 4, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_LPM_TRIE, 8, 4, 1, 1, ""},
		{uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1, 0, "inner"},
		{uapi.BPF_MAP_TYPE_HASH_OF_MAPS, 4, 4, 1, 0, "inner"},
		{uapi.BPF_MAP_TYPE_DEVMAP, 4, 4, 1, 0, "NET"},
		{uapi.BPF_MAP_TYPE_SOCKMAP, 4, 4, 1, 0, "INET"},
		{uapi.BPF_MAP_TYPE_CPUMAP, 4, 4, 1, 0, "NET"},
		{uapi.BPF_MAP_TYPE_XSKMAP, 4, 4, 1, 0, "XDP_SOCKETS"},
		{uapi.BPF_MAP_TYPE_SOCKHASH, 4, 4, 1, 0, "INET"},
		{uapi.BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED, 16, 4, 0, 0, "CGROUP_BPF"},
		{uapi.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 4, 1, 0, "INET"},
		{uapi.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED, 16, 4, 0, 0, "CGROUP_BPF"},
		{uapi.BPF_MAP_TYPE_QUEUE, 0, 4, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_STACK, 0, 4, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_SK_STORAGE, 4, 4, 0, 1, "btf, NET"},
		{uapi.BPF_MAP_TYPE_DEVMAP_HASH, 4, 4, 1, 0, "NET"},
		{uapi.BPF_MAP_TYPE_STRUCT_OPS, 4, 0, 1, 0, "bpf_struct_ops_tcp_congestion_ops, BPF_JIT INET KALLSYMS MODULES"},
		{uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, 64 << 10, 0, ""},
		{uapi.BPF_MAP_TYPE_INODE_STORAGE, 4, 4, 0, 1, "btf, lsm bpf, BPF_LSM"},
		{uapi.BPF_MAP_TYPE_TASK_STORAGE, 4, 4, 0, 1, "btf"},
		{uapi.BPF_MAP_TYPE_BLOOM_FILTER, 0, 4, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_USER_RINGBUF, 0, 0, 64 << 10, 0, ""},
		{uapi.BPF_MAP_TYPE_CGRP_STORAGE, 4, 4, 0, 1, "btf, CGROUPS"},
		{uapi.BPF_MAP_TYPE_ARENA, 0, 0, 1, 1024, "MMU BPF_JIT arena"},
		{uapi.BPF_MAP_TYPE_INSN_ARRAY, 4, 16, 1, 0, ""},
		{uapi.BPF_MAP_TYPE_RHASH, 4, 4, 1, 1, ""},
	} {
		s := MapShapeOf(tt.t)
		var needs []string
		for _, n := range []struct {
			text string
			is   bool
		}{{"inner", s.Inner}, {"btf", s.BTF}, {s.Struct, s.Struct != ""}, {"lsm " + s.LSM, s.LSM != ""}, {s.Config,
			s.Config != ""}} {
			if n.is {
				needs = append(needs, n.text)
			}
		}
		if s.Type != tt.t || s.Key != tt.key || s.Value != tt.value || s.Max != tt.max || s.Flags != tt.flags {
			t.Errorf("%s: %+v, want %+v", tt.t, s, tt)
		}
		if got := strings.Join(needs, ", "); got != tt.needs {
			t.Errorf("%s needs %q, want %q", tt.t, got, tt.needs)
		}
	}
	unknown := MapShapeOf(200)
	hash := MapShapeOf(uapi.BPF_MAP_TYPE_HASH)
	if unknown.Type != 200 || unknown.Key != hash.Key || unknown.Max != hash.Max {
		t.Errorf("a type that no kernel has: %+v, want the attributes of a hash", unknown)
	}
}

// The programs that each pair of types loads: what they return, the attach type that a mask
// must cover, the kernel type that they name, and the options.
func TestProgShapes(t *testing.T) {
	want := []struct {
		name               string
		returns            int32
		needs, btf, config string
	}{
		{"socket_filter", 0, "cgroup_inet_ingress", "", "NET"},
		{"kprobe", 0, "cgroup_inet_ingress", "", "BPF_EVENTS"},
		{"kprobe.trace_kprobe_multi", 0, "trace_kprobe_multi", "", "BPF_EVENTS"},
		{"kprobe.trace_uprobe_multi", 0, "trace_uprobe_multi", "", "BPF_EVENTS"},
		{"kprobe.trace_kprobe_session", 0, "trace_kprobe_session", "", "BPF_EVENTS"},
		{"kprobe.trace_uprobe_session", 0, "trace_uprobe_session", "", "BPF_EVENTS"},
		{"sched_cls", 0, "cgroup_inet_ingress", "", "NET"},
		{"sched_cls.tcx_ingress", 0, "tcx_ingress", "", "NET"},
		{"sched_act", 0, "cgroup_inet_ingress", "", "NET"},
		{"tracepoint", 0, "cgroup_inet_ingress", "", "BPF_EVENTS"},
		{"xdp", 2, "cgroup_inet_ingress", "", "NET"},
		{"xdp.xdp", 2, "xdp", "", "NET"},
		{"xdp.xdp_devmap", 2, "xdp_devmap", "", "NET"},
		{"xdp.xdp_cpumap", 2, "xdp_cpumap", "", "NET"},
		{"perf_event", 0, "cgroup_inet_ingress", "", "BPF_EVENTS"},
		{"cgroup_skb", 1, "cgroup_inet_ingress", "", "CGROUP_BPF"},
		{"cgroup_skb.cgroup_inet_egress", 1, "cgroup_inet_egress", "", "CGROUP_BPF"},
		{"cgroup_skb.cgroup_inet_sock_create", 1, "cgroup_inet_sock_create", "", "CGROUP_BPF"},
		{"cgroup_sock", 1, "cgroup_inet_sock_create", "", "CGROUP_BPF"},
		{"cgroup_sock.cgroup_inet_sock_create", 1, "cgroup_inet_sock_create", "", "CGROUP_BPF"},
		{"cgroup_sock.cgroup_inet4_post_bind", 1, "cgroup_inet4_post_bind", "", "CGROUP_BPF"},
		{"cgroup_sock.cgroup_inet_sock_release", 1, "cgroup_inet_sock_release", "", "CGROUP_BPF"},
		{"lwt_in", 0, "cgroup_inet_ingress", "", "NET"},
		{"lwt_out", 0, "cgroup_inet_ingress", "", "NET"},
		{"lwt_xmit", 0, "cgroup_inet_ingress", "", "NET"},
		{"sock_ops", 1, "cgroup_inet_ingress", "", "NET"},
		{"sk_skb", 1, "cgroup_inet_ingress", "", "NET"},
		{"cgroup_device", 1, "cgroup_inet_ingress", "", "CGROUP_BPF"},
		{"cgroup_device.cgroup_device", 1, "cgroup_device", "", "CGROUP_BPF"},
		{"sk_msg", 1, "cgroup_inet_ingress", "", "NET"},
		{"raw_tracepoint", 0, "cgroup_inet_ingress", "", "BPF_EVENTS"},
		{"cgroup_sock_addr", 1, "cgroup_inet_ingress", "", "CGROUP_BPF"},
		{"cgroup_sock_addr.cgroup_inet4_bind", 1, "cgroup_inet4_bind", "", "CGROUP_BPF"},
		{"cgroup_sock_addr.cgroup_unix_getsockname", 1, "cgroup_unix_getsockname", "", "CGROUP_BPF"},
		{"lwt_seg6local", 0, "cgroup_inet_ingress", "", "NET"},
		{"lirc_mode2", 0, "cgroup_inet_ingress", "", "BPF_LIRC_MODE2"},
		{"sk_reuseport", 1, "sk_reuseport_select", "", "INET"},
		{"sk_reuseport.sk_reuseport_select", 1, "sk_reuseport_select", "", "INET"},
		{"sk_reuseport.sk_reuseport_select_or_migrate", 1, "sk_reuseport_select_or_migrate", "", "INET"},
		{"flow_dissector", 0, "cgroup_inet_ingress", "", "NET"},
		{"cgroup_sysctl", 1, "cgroup_inet_ingress", "", "CGROUP_BPF"},
		{"raw_tracepoint_writable", 0, "cgroup_inet_ingress", "", "BPF_EVENTS"},
		{"cgroup_sockopt", 1, "cgroup_inet_ingress", "", "CGROUP_BPF"},
		{"cgroup_sockopt.cgroup_getsockopt", 1, "cgroup_getsockopt", "", "CGROUP_BPF"},
		{"cgroup_sockopt.cgroup_setsockopt", 1, "cgroup_setsockopt", "", "CGROUP_BPF"},
		{"tracing.trace_fentry", 0, "trace_fentry", "bpf_fentry_test1", "BPF_EVENTS BPF_JIT KALLSYMS NET"},
		{"tracing.trace_fexit", 0, "trace_fexit", "bpf_fentry_test1", "BPF_EVENTS BPF_JIT KALLSYMS NET"},
		{"tracing.modify_return", 0, "modify_return", "bpf_modify_return_test", "BPF_EVENTS BPF_JIT KALLSYMS NET"},
		{"tracing.trace_raw_tp", 0, "trace_raw_tp", "btf_trace_sched_switch", "BPF_EVENTS"},
		{"tracing.trace_iter", 0, "trace_iter", "bpf_iter_task", "BPF_EVENTS"},
		{"tracing.trace_fsession", 0, "trace_fsession", "bpf_fentry_test1", "BPF_EVENTS BPF_JIT KALLSYMS NET"},
		{"struct_ops", 2, "cgroup_inet_ingress", "tcp_congestion_ops", "BPF_JIT INET KALLSYMS MODULES"},
		{"ext", 2, "cgroup_inet_ingress", "", "BPF_JIT DEBUG_INFO_BTF"},
		{"lsm.lsm_mac", 0, "lsm_mac", "bpf_lsm_file_open", "BPF_LSM KALLSYMS"},
		{"lsm.lsm_cgroup", 1, "lsm_cgroup", "bpf_lsm_file_open", "BPF_LSM KALLSYMS"},
		{"sk_lookup", 1, "cgroup_inet_ingress", "", "INET"},
		{"sk_lookup.sk_lookup", 1, "sk_lookup", "", "INET"},
		{"syscall", 0, "cgroup_inet_ingress", "", ""},
		{"netfilter", 1, "cgroup_inet_ingress", "", "NETFILTER_BPF_LINK"},
		{"netfilter.netfilter", 1, "netfilter", "", "NETFILTER_BPF_LINK"},
	}
	if len(want) != len(ProgShapes) {
		t.Errorf("the table has %d programs, this test %d", len(ProgShapes), len(want))
	}
	for i, tt := range want {
		s := &ProgShapes[i]
		if s.Name() != tt.name || s.Return != tt.returns || s.Needs.String() != tt.needs || s.BTFName != tt.btf ||
			s.Config != tt.config {
			t.Errorf("%s: %+v, want %+v", s.Name(), s, tt)
		}
		if (s.BTFName != "") != (s.BTFKind != "") {
			t.Errorf("%s: a kernel type of kind %q and name %q", s.Name(), s.BTFKind, s.BTFName)
		}
		if got := ProgShapeOf(s.Type, s.Attach); got.Name() != s.Name() || got.Return != s.Return {
			t.Errorf("%s: another row is found: %+v", s.Name(), got)
		}
	}
}

// A pair of types without a row is like the first row of its program type.
func TestProgShapeOfOtherPairs(t *testing.T) {
	got := ProgShapeOf(uapi.BPF_PROG_TYPE_XDP, uapi.BPF_CGROUP_DEVICE)
	if got.Attach != uapi.BPF_CGROUP_DEVICE || got.Return != 2 || got.Config != "NET" {
		t.Errorf("an xdp program with another attach type: %+v", got)
	}
	if row := ProgShapeOf(uapi.BPF_PROG_TYPE_XDP, 0); row.Attach != 0 {
		t.Error("the table was changed")
	}
	unknown := ProgShapeOf(200, uapi.BPF_XDP)
	if unknown.Type != 200 || unknown.Attach != uapi.BPF_XDP || unknown.Return != 0 || unknown.Config != "" {
		t.Errorf("a type that no kernel has: %+v", unknown)
	}
}

// The vmlinux types that the guest looks up are those of the shapes, the token and the hooks.
func TestBTFNames(t *testing.T) {
	names := map[string]int{}
	for _, n := range BTFNames() {
		names[TypeName(n[0], n[1])]++
	}
	for _, want := range []string{
		"struct bpf_token", "struct bpf_struct_ops_tcp_congestion_ops", "func bpf_lsm_bpf", "func bpf_lsm_bpf_prog_load",
		"func bpf_fentry_test1", "typedef btf_trace_sched_switch", "func bpf_iter_task",
	} {
		if names[want] == 0 {
			t.Errorf("the guest does not look %s up", want)
		}
	}
	if names["func bpf_lsm_"] != 0 {
		t.Error("a hook has no name")
	}
}

// The arguments of each hook are where include/linux/lsm_hook_defs.h has them.
func TestArgsOf(t *testing.T) {
	for h, want := range map[uapi.Hook]HookArgs{
		uapi.HookBPF:             {Cmd: 0, Cap: -1, Token: -1, Kernel: 3, Mask: -1, Named: -1},
		uapi.HookTokenCreate:     {Cmd: -1, Cap: -1, Token: 0, Kernel: -1, Mask: -1, Named: -1},
		uapi.HookTokenCmd:        {Cmd: 1, Cap: -1, Token: 0, Kernel: -1, Mask: -1, Named: -1},
		uapi.HookTokenCapable:    {Cmd: -1, Cap: 1, Token: 0, Kernel: -1, Mask: -1, Named: -1},
		uapi.HookMapCreate:       {Cmd: -1, Cap: -1, Token: 2, Kernel: 3, Mask: -1, Named: -1},
		uapi.HookProgLoad:        {Cmd: -1, Cap: -1, Token: 2, Kernel: 3, Mask: -1, Named: -1},
		0:                        {Cmd: -1, Cap: -1, Token: -1, Kernel: -1, Mask: -1, Named: -1},
		uapi.HookMap:             {Cmd: -1, Cap: -1, Token: -1, Kernel: -1, Mask: 1, Named: -1},
		uapi.HookInodePermission: {Cmd: -1, Cap: -1, Token: -1, Kernel: -1, Mask: 1, Named: -1},
		uapi.HookCapable:         {Cmd: -1, Cap: 2, Token: -1, Kernel: -1, Mask: -1, Named: -1},
		uapi.HookLockedDown:      {Cmd: -1, Cap: -1, Token: -1, Kernel: -1, Mask: -1, Named: -1},
		uapi.HookTokenFree:       {Cmd: -1, Cap: -1, Token: 0, Kernel: -1, Mask: -1, Named: -1},
		uapi.HookProgFree:        {Cmd: -1, Cap: -1, Token: -1, Kernel: -1, Mask: -1, Named: 0},
	} {
		if got := ArgsOf(h); got != want {
			t.Errorf("hook %d: %+v, want %+v", h, got, want)
		}
	}
	if got := HookFunc(uapi.HookTokenCmd); got != "bpf_lsm_bpf_token_cmd" {
		t.Errorf("the function of a hook is %s", got)
	}
}

// Words of case files keep their spelling and their numbers.
func TestWords(t *testing.T) {
	for k, want := range map[Kind]string{
		KindFault: "tail beyond huge unreadable insns", KindOn: "cgroup_skb tcx private", KindHow: "dir path",
		KindBody: "jiffies64 get_current_task probe_write_user return_ctx read_skb_data uninit_stack var_stack " +
			"subprog spill probe_read_kernel loop kfunc kfunc_perfmon kfunc_destructive read_btf read_map " +
			"use_map subtract compare partial_spill write_tstamp far_stack sys_bpf dead_code branches " +
			"add_to_pointer mixed_read subtract_half blank_key pointer_key blank_slot var_write stale_packet linked " +
			"masked_add tail_call not_taken probe_read probe_read_str trace_printk find_symbol negate extend_half " +
			"copy_half store_value store_record store_packet store_keys stale_record stale_slice " +
			"store_ctx pass_pointer compare_number compare_const atomic_pointer spill_number helper_spill " +
			"zero_size before_ctx",
		KindHook: "bpf bpf_token_create bpf_token_cmd bpf_token_capable bpf_map_create bpf_prog_load bpf_map bpf_prog " +
			"inode_permission locked_down capable bpf_token_free bpf_map_free bpf_prog_free " +
			"path_mknod inode_init_security",
		KindPlace: "/mnt/a /mnt/b /mnt/c /mnt/d /tmp", KindRace: "create_umount use_close delegate_exit",
		KindMake: "queue btf prog freplace", KindDo: "update lookup delete", KindBuffer: "ring perf",
		KindSpot: "xdp tcx netkit netfilter sk_lookup flow_dissector cgroup_skb cgroup_device cgroup_sock " +
			"cgroup_sock_addr cgroup_sysctl cgroup_sockopt sock_ops lsm_cgroup sk_msg fentry lsm tp_btf raw_tp iter " +
			"kprobe_multi uprobe_multi perf_event kprobe fentry_multi",
		KindBatch: "update lookup delete take", KindField: "timer workqueue task_work kptr refcount res_lock " +
			"list_head rb_root uptr",
	} {
		if got := strings.Join(k.Words()[1:], " "); got != want {
			t.Errorf("kind %d: %q, want %q", k, got, want)
		}
		for i, w := range strings.Fields(want) {
			if n, err := k.Word(w); err != nil || n != uint64(i+1) {
				t.Errorf("kind %d: %s is %d, %v", k, w, n, err)
			}
		}
		if n, err := k.Word("nonsense"); err == nil || n != 0 || !strings.HasPrefix(err.Error(),
			`unknown word "nonsense": want one of`) {
			t.Errorf("kind %d: %d, %v", k, n, err)
		}
	}
	if KindNum.Words() != nil {
		t.Error("a number is one of a few words")
	}
}

// A helper and an application need the options that compile them in.
func TestConfigOfBodies(t *testing.T) {
	for b, want := range map[Body]string{
		BodyJiffies64: "", BodyCurrentTask: bpfEvents, BodyProbeWriteUser: bpfEvents, BodyProbeReadKernel: bpfEvents,
		BodyKfuncDestructive: "CRASH_DUMP", Body(len(Bodies)): "",
	} {
		if got := b.Config(); got != want {
			t.Errorf("body %d needs %q, want %q", b, got, want)
		}
	}
	if h := uapi.HelperNamed("probe_read_kernel"); HelperConfig(uint64(h.ID)) != bpfEvents || HelperConfig(0) != "" {
		t.Errorf("probe_read_kernel needs %q", HelperConfig(uint64(h.ID)))
	}
	if MakeNeeds[MakeProg] != "BPF_EVENTS" || MakeNeeds[MakeFreplace] != extConfig || len(MakeNeeds) != 2 {
		t.Errorf("applications need %v", MakeNeeds)
	}
}

// Every option that a shape, an operation or a command needs can be looked for in a kernel
// whose configuration is unknown.
func TestOptionsCoverNeeds(t *testing.T) {
	needed := map[string]string{}
	note := func(who, config string) {
		for _, c := range strings.Fields(config) {
			needed[c] = who
		}
	}
	for i := range mapShapes {
		note(mapShapes[i].Type.String(), mapShapes[i].Config)
	}
	for i := range ProgShapes {
		note(ProgShapes[i].Name(), ProgShapes[i].Config)
	}
	for i := range CmdShapes {
		note(CmdShapes[i].Cmd.String(), CmdShapes[i].Config)
	}
	for o := Op(1); o < Ops; o++ {
		note(o.String(), o.Row().Config)
	}
	for i := range spotShapes {
		note(spotShapes[i].Name, spotShapes[i].Config)
	}
	for c, who := range needed {
		if OptionOf(c) == nil && c != NeedsArena {
			t.Errorf("%s needs CONFIG_%s, which the guest does not look for", who, c)
		}
	}
	for _, o := range Options {
		if (o.Func == "") == (o.File == "") {
			t.Errorf("CONFIG_%s: a function %q and a file %q", o.Config, o.Func, o.File)
		}
	}
	if OptionOf("NONSENSE") != nil {
		t.Error("an option that does not exist has a row")
	}
}
