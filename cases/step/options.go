package step

// Option is a configuration symbol with what the running kernel has by it alone: a
// function, or a file. The guest looks for it, so that the host knows what is off
// where it has no configuration.
type Option struct {
	Config string
	Func   string // a global function, in the kernel's BTF or in /proc/kallsyms
	File   string // a path, where there is no such function
}

// Options has a row for every symbol that a case can need. Each function has been there for as long
// as tokens have, or for as long as what needs it.
var Options = []Option{
	{Config: "ARCH_HAS_NON_OVERLAPPING_ADDRESS_SPACE", Func: "bpf_probe_read_compat"}, // kernel/trace/bpf_trace.c

	{Config: "BPF_EVENTS", Func: "bpf_get_raw_tracepoint"},                       // kernel/trace/bpf_trace.c
	{Config: "BPF_JIT", Func: "bpf_jit_binary_pack_alloc"},                       // kernel/bpf/core.c
	{Config: "BPF_LIRC_MODE2", Func: "bpf_rc_keydown"},                           // drivers/media/rc/bpf-lirc.c
	{Config: "BPF_LSM", Func: lsmHook},                                           // kernel/bpf/bpf_lsm.c
	{Config: "BPF_SYSCALL", File: "/proc/sys/kernel/unprivileged_bpf_disabled"},  // kernel/bpf/syscall.c
	{Config: "CGROUPS", Func: "cgroup_attach_task"},                              // kernel/cgroup/cgroup.c
	{Config: "CGROUP_NET_CLASSID", Func: "bpf_get_cgroup_classid_curr"},          // net/core/filter.c
	{Config: "CRASH_DUMP", Func: "crash_kexec"},                                  // kernel/crash_core.c
	{Config: "CGROUP_BPF", Func: "bpf_sysctl_get_name"},                          // kernel/bpf/cgroup.c
	{Config: "CPU_MITIGATIONS", Func: "cpu_mitigations_off"},                     // kernel/cpu.c
	{Config: "CRYPTO_RSA", Func: "rsa_parse_pub_key"},                            // crypto/rsa_helper.c
	{Config: "DEBUG_INFO_BTF", File: "/sys/kernel/btf/vmlinux"},                  // kernel/bpf/sysfs_btf.c
	{Config: "DYNAMIC_FTRACE_WITH_DIRECT_CALLS", Func: "register_ftrace_direct"}, // kernel/trace/ftrace.c
	{Config: "FPROBE", Func: "register_fprobe_syms"},                             // kernel/trace/fprobe.c
	{Config: "HAVE_SINGLE_FTRACE_DIRECT_OPS", Func: "bpf_tracing_multi_link_release"},

	{Config: "IA32_EMULATION", File: "/proc/sys/abi/vsyscall32"},                 // arch/x86/entry/vdso/vdso32-setup.c
	{Config: "INET", Func: "tcp_v4_connect"},                                     // net/ipv4/tcp_ipv4.c
	{Config: "INOTIFY_USER", File: "/proc/sys/fs/inotify"},                       // fs/notify/inotify/inotify_user.c
	{Config: "KALLSYMS", File: "/proc/kallsyms"},                                 // kernel/kallsyms.c
	{Config: "KPROBE_EVENTS", File: "/sys/bus/event_source/devices/kprobe/type"}, // kernel/events/core.c
	{Config: "MEMCG", Func: "mem_cgroup_from_task"},                              // mm/memcontrol.c
	{Config: "MMU", Func: "mmap_region"},                                         // mm/mmap.c
	{Config: "MODULES", File: "/proc/modules"},                                   // kernel/module/procfs.c
	{Config: "NET", Func: "dev_get_by_name"},                                     // net/core/dev.c
	{Config: "NETFILTER_BPF_LINK", Func: "bpf_nf_link_attach"},                   // net/netfilter/nf_bpf_link.c
	{Config: "NETKIT", Func: "netkit_link_attach"},                               // drivers/net/netkit.c
	{Config: "NET_NS", File: "/proc/self/ns/net"},                                // fs/proc/namespaces.c
	{Config: "NET_XGRESS", Func: "tcx_prog_attach"},                              // kernel/bpf/tcx.c
	{Config: "PERF_EVENTS", Func: "get_callchain_buffers"},                       // kernel/events/callchain.c
	{Config: "PID_NS", File: "/proc/self/ns/pid"},                                // fs/proc/namespaces.c
	{Config: "SECURITY_LANDLOCK", Func: "landlock_put_ruleset"},                  // security/landlock/ruleset.c
	{Config: "SECURITY_PATH", Func: "security_path_mknod"},                       // security/security.c
	{Config: "SECURITY_SELINUX", Func: "selinux_bpf_map"},                        // security/selinux/hooks.c
	{Config: "SECURITY_SELINUX_DEVELOP", Func: "sel_write_enforce"},              // security/selinux/selinuxfs.c
	{Config: "SYSTEM_DATA_VERIFICATION", Func: "verify_pkcs7_signature"},         // certs/system_keyring.c
	{Config: "UNIX", File: "/proc/net/unix"},                                     // net/unix/af_unix.c
	{Config: "UPROBES", Func: "uprobe_register"},                                 // kernel/events/uprobes.c
	{Config: "USER_NS", File: "/proc/self/ns/user"},                              // fs/proc/namespaces.c
	{Config: "XDP_SOCKETS", Func: "xsk_map_try_sock_delete"},                     // net/xdp/xskmap.c
}

// Opposites has a row for every symbol that leaves a function out.
var Opposites = []Option{
	{Config: "BPF_JIT_ALWAYS_ON", Func: "bpf_patch_call_args"}, // kernel/bpf/core.c
}

// Where the guest looked for the functions of Options.
const (
	FromBTF      = "BTF"
	FromKallsyms = "kallsyms"
)

// OptionOf returns the row of a symbol, or nil.
func OptionOf(symbol string) *Option {
	for i := range Options {
		if Options[i].Config == symbol {
			return &Options[i]
		}
	}
	return nil
}
