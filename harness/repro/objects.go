package repro

// objectBlocks make what steps need.
var objectBlocks = []block{
	{name: "struct btf_blob", text: `/* A BTF with one type; Documentation/bpf/btf.rst */
struct btf_blob {
	__u16 magic;
	__u8 version, flags;
	__u32 hdr_len, type_off, type_len, str_off, str_len, types[4];
	char strs[5];
};
#define BTF_SIZE	(offsetof(struct btf_blob, strs) + 5)
`},
	{name: "int_btf", uses: []string{"struct btf_blob"}, text: `static const struct btf_blob int_btf = {
	0xeb9f, 1, 0, 24, 0, 16, 16, 5, { 1 /* name */, 1 << 24 /* int */, 4, 1 << 24 | 32 }, "\0int"
};
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
	{name: "detach", uses: []string{"BPF"}, text: `static void detach(int target, int prog, int type)
{
	BPF(BPF_PROG_DETACH, attach, .target_fd = target,
	    .attach_bpf_fd = prog, .attach_type = type);
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
	{name: "run_prog", uses: []string{"bpf", "PTR"},
		text: `/* Run a program once, on a packet of @size; a program without one answers. */
static int run_prog(int prog, unsigned int size)
{
	char packet[64] = { 0 };
	struct test_attr attr = {
		.prog_fd = prog,
		.data_size_in = size,
		.data_in = size ? PTR(packet) : 0,
		.repeat = size ? 1 : 0,
	};
	int ret = bpf(BPF_PROG_TEST_RUN, &attr, sizeof(attr));

	if (ret || size || (int)attr.retval >= 0)
		return ret;
	errno = -(int)attr.retval;
	return -1;
}
`},
	{name: "obj_id", uses: []string{"BPF", "PTR", "must"},
		text: `/* The id of an object is at @offset of its information. */
static __u32 obj_id(int fd, int offset)
{
	__u32 info[64] = { 0 };

	must(BPF(BPF_OBJ_GET_INFO_BY_FD, info, .bpf_fd = fd,
		 .info_len = sizeof(info), .info = PTR(info)), "get an id");
	return info[offset / 4];
}
`},
	{name: "func_btf", text: `/* The BTF of "int prog(struct xdp_md *ctx)"; Documentation/bpf/btf.rst */
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
`},
}
