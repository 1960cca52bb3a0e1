package repro

// objectBlocks make what steps need.
var objectBlocks = []block{
	{name: "struct int_btf", text: `/* The BTF of int; Documentation/bpf/btf.rst */
static const struct btf_blob {
	__u16 magic;
	__u8 version, flags;
	__u32 hdr_len, type_off, type_len, str_off, str_len;
	__u32 types[4];
	char strs[5];
} int_btf = {
	0xeb9f, 1, 0, 24, 0, 16, 16, 5,
	{ 1 /* name */, 1 << 24 /* int */, 4, 1 << 24 | 32 }, "\0int"
};
#define BTF_SIZE	(offsetof(struct btf_blob, strs) + 5)
`},
	{name: "btf_type",
		text: `/* Find a type of the kernel; Documentation/bpf/btf.rst */
static const char *names;

static const __u32 *btf_type(__u32 kind, const char *name, int *id)
{
	static const __u8 once[32] = { [1] = 4, [3] = 12, [14] = 4, [17] = 4 };
	static const __u8 each[32] = {
		[4] = 12, [5] = 12, [6] = 8, [13] = 8, [15] = 12, [19] = 12
	};
	static __u32 *btf;	/* magic, hdr_len, type_off, type_len, str_off */
	const int room = 1 << 25;
	const __u32 *t, *end;
	int fd, got, len = 0;
	__u32 k;

	if (!names) {
		btf = malloc(room);
		fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			err(4, "no /sys/kernel/btf/vmlinux");
		while ((got = read(fd, (char *)btf + len, room - len)) > 0)
			len += got;
		if (!len)
			err(4, "read /sys/kernel/btf/vmlinux");
		close(fd);
		names = (char *)btf + btf[1] + btf[4];
	}
	t = (void *)btf + btf[1] + btf[2];
	end = (void *)t + btf[3];
	for (*id = 1; t < end; ++*id) {
		k = (t[1] >> 24) & 31;
		if (k == kind && !strcmp(names + t[0], name))
			return t;
		t = (void *)t + 12 + once[k] + (t[1] & 0xffff) * each[k];
	}
	errx(4, "the kernel has no type %s", name);
}
`},
	{name: "btf_id", uses: []string{"btf_type"}, text: `static int btf_id(__u32 kind, const char *name)
{
	int id;

	btf_type(kind, name, &id);
	return id;
}
`},
	{name: "btf_size", uses: []string{"btf_type"}, text: `static __u32 btf_size(const char *name)
{
	int id;

	return btf_type(4 /* struct */, name, &id)[2];
}
`},
	{name: "btf_member", uses: []string{"btf_type"}, text: `/* The index of a member of a struct. */
static int btf_member(const char *of, const char *name)
{
	const __u32 *t, *m;
	int i, id;

	t = btf_type(4 /* struct */, of, &id);
	for (i = 0, m = t + 3; i < (int)(t[1] & 0xffff); i++, m += 3)
		if (!strcmp(names + m[0], name))
			return i;
	errx(4, "struct %s has no member %s", of, name);
}
`},
	{name: "int_btf", uses: []string{"struct int_btf", "bpf"}, text: `static int load_int_btf(void)
{
	struct btf_load_attr attr = {
		.btf = (unsigned long)&int_btf,
		.btf_size = BTF_SIZE,
	};
	int fd = bpf(BPF_BTF_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		err(4, "load a BTF");
	return fd;
}
`},
	{name: "make_map", uses: []string{"bpf"},
		text: `static int make_map(__u32 type, __u32 value_size, __u32 flags)
{
	struct map_create_attr attr = {
		.map_type = type,
		.key_size = 4,
		.value_size = value_size,
		.max_entries = 1,
		.map_flags = flags,
	};
	int fd = bpf(BPF_MAP_CREATE, &attr, sizeof(attr));

	if (fd < 0)
		err(4, "make a map");
	return fd;
}
`},
	{name: "make_struct_ops", uses: []string{"bpf", "btf_type"},
		text: `static int make_struct_ops(const char *name, int btf)
{
	struct map_create_attr attr = {
		.map_type = BPF_MAP_TYPE_STRUCT_OPS,
		.key_size = 4,
		.max_entries = 1,
		.btf_fd = btf,
	};
	int fd, id;

	attr.value_size = btf_type(4 /* struct */, name, &id)[2];
	attr.btf_vmlinux_value_type_id = id;
	fd = bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
	if (fd < 0)
		err(4, "make a struct_ops map");
	return fd;
}
`},
	{name: "map_it", text: `/* A map that is mapped writable cannot be frozen. */
static int map_it(int fd)
{
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
	    MAP_FAILED)
		err(4, "map a map");
	return 0;
}
`},
	{name: "load_prog", uses: []string{"bpf"},
		text: `static int load_prog(__u32 type, __u32 attach, __u32 btf_id, int ret)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = ret },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct prog_load_attr attr = {
		.prog_type = type,
		.insn_cnt = 2,
		.insns = (unsigned long)insns,
		.license = (unsigned long)"GPL",
		.expected_attach_type = attach,
		.attach_btf_id = btf_id,
	};
	int fd = bpf(BPF_PROG_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		err(4, "load a program");
	return fd;
}
`},
	{name: "pin", uses: []string{"bpf"}, text: `static int pin(int dir, int fd, const char *name, int mode)
{
	struct obj_attr attr = {
		.pathname = (unsigned long)name,
		.bpf_fd = fd,
		.file_flags = 1 << 14,	/* BPF_F_PATH_FD */
		.path_fd = dir,
	};

	if (bpf(BPF_OBJ_PIN, &attr, sizeof(attr)) ||
	    fchmodat(dir, name, mode, 0))
		err(4, "make a file of a map");
	return 0;
}
`},
	{name: "make_link", uses: []string{"bpf"},
		text: `static int make_link(int prog, int target, __u32 attach)
{
	struct link_create_attr attr = {
		.prog_fd = prog,
		.target_fd = target,
		.attach_type = attach,
	};
	int fd = bpf(BPF_LINK_CREATE, &attr, sizeof(attr));

	if (fd < 0)
		err(4, "make a link");
	return fd;
}
`},
	{name: "open_tracepoint", uses: []string{"bpf"}, text: `static int open_tracepoint(int prog)
{
	struct raw_tracepoint_attr attr = {
		.name = (unsigned long)"task_rename",
		.prog_fd = prog,
	};
	int fd = bpf(BPF_RAW_TRACEPOINT_OPEN, &attr, sizeof(attr));

	if (fd < 0)
		err(4, "open a tracepoint");
	return fd;
}
`},
	{name: "attach", uses: []string{"bpf"},
		text: `static void attach(int cmd, int target, int prog, __u32 type, __u32 flags)
{
	struct attach_attr attr = {
		.target_fd = target,
		.attach_bpf_fd = prog,
		.attach_type = type,
		.attach_flags = flags,
	};

	bpf(cmd, &attr, sizeof(attr));
}
`},
	{name: "store", uses: []string{"bpf"}, text: `/* Put an element under key 0 of a map. */
static void store(int map)
{
	__u32 zero = 0;
	struct elem_attr attr = {
		.map_fd = map,
		.key = (unsigned long)&zero,
		.value = (unsigned long)&zero,
	};

	bpf(BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr));
}
`},
	{name: "reopen", text: `static int reopen(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR | O_CLOEXEC);
}
`},
	{name: "map_memory", text: `/* Map the first page of a map. */
static int map_memory(int map, int prot)
{
	void *at = mmap(NULL, getpagesize(), prot, MAP_SHARED, map, 0);

	return at == MAP_FAILED ? -1 : 0;
}
`},
	{name: "run_prog", uses: []string{"bpf"},
		text: `/* Run a program once, on a packet of @size; a program without one answers. */
static int run_prog(int prog, unsigned int size)
{
	char packet[64] = { 0 };
	struct test_attr attr = {
		.prog_fd = prog,
		.data_size_in = size,
		.data_in = size ? (unsigned long)packet : 0,
		.repeat = size ? 1 : 0,
	};
	int ret = bpf(BPF_PROG_TEST_RUN, &attr, sizeof(attr));

	if (ret || size || (int)attr.retval >= 0)
		return ret;
	errno = -(int)attr.retval;
	return -1;
}
`},
	{name: "obj_id", uses: []string{"bpf"}, text: `/* The id of an object is at @offset of its information. */
static __u32 obj_id(int fd, int offset)
{
	__u32 info[64] = { 0 };
	struct info_attr attr = {
		.bpf_fd = fd,
		.info_len = sizeof(info),
		.info = (unsigned long)info,
	};

	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)))
		err(4, "get an id");
	return info[offset / 4];
}
`},
	{name: "load_target", uses: []string{"bpf"},
		text: `/* The BTF of "int prog(struct xdp_md *ctx)"; Documentation/bpf/btf.rst */
static const struct {
	__u16 magic;
	__u8 version, flags;
	__u32 hdr_len, type_off, type_len, str_off, str_len;
	__u32 types[18];
	char strs[21];
} func_btf = {
	0xeb9f, 1, 0, 24, 0, 72, 72, 21,
	{
		1, 1 << 24 /* int */, 4, 1 << 24 | 32,
		5, 4 << 24 /* struct */, 24,
		0, 2 << 24 /* pointer */, 2,
		0, 13 << 24 /* prototype */ | 1, 1, 12, 3,
		16, 12 << 24 /* function */ | 1 /* global */, 4
	}, "\0int\0xdp_md\0ctx\0prog"
};
static const __u32 func_info[2] = { 0, 5 };	/* instruction 0: type 5 */

static int load_func_btf(void)
{
	struct btf_load_attr attr = {
		.btf = (unsigned long)&func_btf,
		.btf_size = 24 + 72 + 21,
	};
	int fd = bpf(BPF_BTF_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		err(4, "load a BTF");
	return fd;
}

/* An XDP program whose function another program replaces. */
static int load_target(int btf)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 2 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct prog_load_attr attr = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insn_cnt = 2,
		.insns = (unsigned long)insns,
		.license = (unsigned long)"GPL",
		.prog_btf_fd = btf,
		.func_info_rec_size = sizeof(func_info),
		.func_info = (unsigned long)func_info,
		.func_info_cnt = 1,
	};
	int fd = bpf(BPF_PROG_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		err(4, "load a program");
	return fd;
}
`},
	{name: "inner_map", uses: []string{"bpf"}, text: `static int make_inner_map(void)
{
	struct map_create_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4,
		.value_size = 4,
		.max_entries = 1,
	};
	int fd = bpf(BPF_MAP_CREATE, &attr, sizeof(attr));

	if (fd < 0)
		err(4, "make an inner map");
	return fd;
}
`},
}
