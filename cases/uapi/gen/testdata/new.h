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

union bpf_attr {
	struct { /* of a command */
		__u32	map_type;	/* one of; enum { bpf_map_type } */
		char	map_name[BPF_OBJ_NAME_LEN];
		__u64	map_extra;
		__s32	map_token_fd;
	};
	struct {
		__u32	count;
		union {
			__aligned_u64	keys;
			__u32		key;
		};
	} batch;
} __attribute__((aligned(8)));

struct bpf_map_info {
	__u32 type;
	__u8  tag[3];
	__u8  alone;
	__u32 one:1;
	__u32 :31;
	__u16 last;
};

struct bpf_prog_info {
	__u32 type;
};
struct bpf_btf_info {
	__u32 id;
};
struct bpf_link_info {
	__u32 type;
};
struct bpf_token_info {
	__u64 allowed_cmds;
};

struct __sk_buff {
	__bpf_md_ptr(struct bpf_sock *, sk);
	__u8	tstamp_type;
	__u32	:24;		/* Padding. */
	__u64	hwtstamp;
};
