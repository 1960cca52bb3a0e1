package step

// Option is a configuration symbol with a function that it alone compiles in:
// the kernel's BTF tells whether it is on where nobody has the configuration.
type Option struct{ Config, Func string }

// Options are those that types of maps and programs are compiled in by. Each
// function is global and has been there for as long as the option; its name begins as
// the guest wants it, with three letters and a line.
var Options = []Option{
	{"BPF_EVENTS", "bpf_get_trace_printk_proto"}, // kernel/trace/bpf_trace.c
	{"BPF_LIRC_MODE2", "bpf_rc_keydown"},         // drivers/media/rc/bpf-lirc.c
	{"BPF_LSM", "bpf_lsm_file_open"},             // kernel/bpf/bpf_lsm.c
	{"CGROUP_BPF", "bpf_sysctl_get_name"},        // kernel/bpf/cgroup.c
	{"NETFILTER_BPF_LINK", "bpf_nf_link_attach"}, // net/netfilter/nf_bpf_link.c
	{"XDP_SOCKETS", "xsk_map_try_sock_delete"},   // net/xdp/xskmap.c
}
