/* A header as the kernel's is, newer. */

enum bpf_cmd {
	BPF_MAP_CREATE,
	BPF_PROG_LOAD,
	BPF_PROG_RUN = BPF_PROG_LOAD,
	/*
	 * Many lines,
	 * BPF_NOT_THIS,
	 */
	BPF_TOKEN_CREATE,
	BPF_LATER = 0x10,
	BPF_NEXT,
	BPF_COMMON_ATTRS = 1 << 16, /* a flag */
	__MAX_BPF_CMD,
};

enum bpf_map_type {
	BPF_MAP_TYPE_UNSPEC,
	BPF_MAP_TYPE_HASH,
	BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED,
	BPF_MAP_TYPE_CGROUP_STORAGE = BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED,
	BPF_MAP_TYPE_LAST
};

enum bpf_prog_type {
	BPF_PROG_TYPE_UNSPEC,
};

enum bpf_attach_type {
	BPF_XDP,
	__MAX_BPF_ATTACH_TYPE
};
