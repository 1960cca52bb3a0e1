/* A header as the kernel's is, older. */
enum other {
	OTHER_ONE,
};

enum bpf_cmd {
	BPF_MAP_CREATE,
	BPF_PROG_LOAD, /* a comment, with a comma */
	BPF_PROG_RUN = BPF_PROG_LOAD,
	__MAX_BPF_CMD,
};
enum bpf_map_type {
	BPF_MAP_TYPE_UNSPEC = 0,
	BPF_MAP_TYPE_HASH,
};
enum bpf_prog_type {
	BPF_PROG_TYPE_UNSPEC,
};

enum bpf_attach_type {
	BPF_XDP,
	__MAX_BPF_ATTACH_TYPE
};
