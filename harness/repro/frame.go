package repro

// block is a piece of C that a program has if something in it uses the piece. The blocks stand in the
// program in the order of the table.
type block struct {
	name  string
	uses  []string // other blocks
	calls []string // numbers of system calls
	text  string
}

// blocks is what programs are made of besides their steps. %s of "actors" is filled in by the writer.
var blocks = []block{
	{name: "caps", text: `#define ALL_CAPS	(~0ULL)
#define CAP(name)	(1ULL << CAP_##name)
`},
	{name: "shared", text: `/* What the processes share. */
static struct {
	pid_t pid[NR_ACTORS];
	int turns, steps;	/* that are done */
	int differ;		/* steps with another errno than expected */
	int fd, err;		/* from one turn of a step to the next */
} *shared;

static int me, turns;
`},
	{name: "fail", text: `static void fail(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(4);
}
`},
	{name: "skip", text: `static void skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(4);
}
`},
	{name: "wait", uses: []string{"shared"}, text: `/* Wait for earlier turns, and end if another process failed. */
static void wait_for(int earlier)
{
	int status;

	while (__atomic_load_n(&shared->turns, __ATOMIC_ACQUIRE) < earlier) {
		if (waitpid(-1, &status, WNOHANG) > 0 && status)
			exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
		usleep(200);
	}
}
`},
	{name: "set_caps", calls: []string{"capget", "capset"}, text: `static void set_caps(__u64 caps)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		fail("capget");
	data[0].effective = data[0].permitted & caps;
	data[1].effective = data[1].permitted & (caps >> 32);
	if (syscall(SYS_capset, &head, data))
		fail("capset");
}
`},
	{name: "turn", uses: []string{"shared", "wait", "set_caps", "caps"},
		text: `/* Is it this process's turn? Then it has exactly these capabilities. */
static int turn(int actor, __u64 caps)
{
	turns++;
	if (me != actor)
		return 0;
	wait_for(turns - 1);
	set_caps(caps);
	return 1;
}

static void done(void)
{
	__atomic_store_n(&shared->turns, turns, __ATOMIC_RELEASE);
}
`},
	{name: "check", uses: []string{"shared"}, text: `static int check(int ret, int want, const char *text)
{
	int got = ret < 0 ? errno : 0;
	int differs = want >= 0 && got != want;

	printf("%sok %d - %s # got %d, expected %d\n",
	       differs ? "not " : "", ++shared->steps, text, got, want);
	shared->differ += differs;
	done();
	return ret;
}
`},
	{name: "sys_bpf", text: `static int sys_bpf(int cmd, const void *attr, unsigned int size)
{
	return syscall(SYS_bpf, cmd, attr, size, NULL, 0);
}
`},
	{name: "bpf_tail", uses: []string{"sys_bpf"}, text: `/* The call with a byte set that is in no field of the command. */
static int bpf_tail(int cmd, const void *attr, unsigned int size)
{
	char whole[168] = { 0 };

	memcpy(whole, attr, size);
	whole[151] = 1;
	return sys_bpf(cmd, whole, sizeof(whole));
}
`},
	{name: "bpf_beyond", uses: []string{"sys_bpf"},
		text: `/* The call with a byte set that is in no attribute of this kernel. */
static int bpf_beyond(int cmd, const void *attr, unsigned int size)
{
	static char page[4096];

	memcpy(page, attr, size);
	page[sizeof(page) - 1] = 1;
	return sys_bpf(cmd, page, sizeof(page));
}
`},
	{name: "need_token", uses: []string{"sys_bpf", "skip"}, text: `static void need_token(void)
{
	__u32 attr[] = { 0, -1 };	/* flags, bpffs_fd */

	if (sys_bpf(BPF_TOKEN_CREATE, attr, sizeof(attr)) < 0 && errno != EBADF)
		skip("no BPF_TOKEN_CREATE (Linux 6.9)");
}
`},
	{name: "need_release", uses: []string{"skip"}, text: `static void need_release(int major, int minor, const char *what)
{
	int a = 0, b = 0;
	struct utsname u;

	uname(&u);
	sscanf(u.release, "%d.%d", &a, &b);
	if (a < major || (a == major && b < minor))
		skip(what);
}
`},
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
	{name: "btf_type", uses: []string{"fail", "skip"},
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
			skip("no /sys/kernel/btf/vmlinux");
		while ((got = read(fd, (char *)btf + len, room - len)) > 0)
			len += got;
		if (!len)
			fail("read /sys/kernel/btf/vmlinux");
		close(fd);
		names = (char *)btf + btf[1] + btf[4];
	}
	t = (void *)btf + btf[1] + btf[2];
	end = (void *)t + btf[3];
	for (*id = 1; t < end; ++*id) {
		k = t[1] >> 24 & 31;
		if (k == kind && !strcmp(names + t[0], name))
			return t;
		t = (void *)t + 12 + once[k] + (t[1] & 0xffff) * each[k];
	}
	printf("Bail out! the kernel has no type %s\n", name);
	exit(4);
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
	printf("Bail out! struct %s has no member %s\n", of, name);
	exit(4);
}
`},
	{name: "int_btf", uses: []string{"struct int_btf", "sys_bpf", "fail"}, text: `static int load_int_btf(void)
{
	struct btf_load_attr attr = {
		.btf = (unsigned long)&int_btf,
		.btf_size = BTF_SIZE,
	};
	int fd = sys_bpf(BPF_BTF_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		fail("load a BTF");
	return fd;
}
`},
	{name: "make_map", uses: []string{"sys_bpf", "fail"},
		text: `static int make_map(__u32 type, __u32 value_size, __u32 flags)
{
	struct map_create_attr attr = {
		.map_type = type,
		.key_size = 4,
		.value_size = value_size,
		.max_entries = 1,
		.map_flags = flags,
	};
	int fd = sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));

	if (fd < 0)
		fail("make a map");
	return fd;
}
`},
	{name: "make_struct_ops", uses: []string{"sys_bpf", "fail", "btf_type"},
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
	fd = sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
	if (fd < 0)
		fail("make a struct_ops map");
	return fd;
}
`},
	{name: "map_it", uses: []string{"fail"}, text: `/* A map that is mapped writable cannot be frozen. */
static int map_it(int fd)
{
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
	    MAP_FAILED)
		fail("map a map");
	return 0;
}
`},
	{name: "load_prog", uses: []string{"sys_bpf", "fail"},
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
	int fd = sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		fail("load a program");
	return fd;
}
`},
	{name: "open_root", uses: []string{"fail"}, calls: []string{"fsopen", "fsconfig", "fsmount"},
		text: `/* The root directory of a file system that is mounted nowhere. */
static int open_root(const char *type)
{
	int fs = syscall(SYS_fsopen, type, 1 /* CLOEXEC */), mnt, dir;

	if (syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0))
		fail(type);
	mnt = syscall(SYS_fsmount, fs, 1 /* CLOEXEC */, 0);
	dir = openat(mnt, ".", O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		fail(type);
	close(mnt);
	close(fs);
	return dir;
}
`},
	{name: "pin", uses: []string{"sys_bpf", "fail"}, text: `static int pin(int dir, int fd, const char *name, int mode)
{
	struct obj_attr attr = {
		.pathname = (unsigned long)name,
		.bpf_fd = fd,
		.file_flags = 1 << 14,	/* BPF_F_PATH_FD */
		.path_fd = dir,
	};

	if (sys_bpf(BPF_OBJ_PIN, &attr, sizeof(attr)) ||
	    fchmodat(dir, name, mode, 0))
		fail("pin a map");
	return 0;
}
`},
	{name: "make_link", uses: []string{"sys_bpf", "fail"},
		text: `static int make_link(int prog, int target, __u32 attach)
{
	struct link_create_attr attr = {
		.prog_fd = prog,
		.target_fd = target,
		.attach_type = attach,
	};
	int fd = sys_bpf(BPF_LINK_CREATE, &attr, sizeof(attr));

	if (fd < 0)
		fail("make a link");
	return fd;
}
`},
	{name: "open_tracepoint", uses: []string{"sys_bpf", "fail"}, text: `static int open_tracepoint(int prog)
{
	struct raw_tracepoint_attr attr = {
		.name = (unsigned long)"task_rename",
		.prog_fd = prog,
	};
	int fd = sys_bpf(BPF_RAW_TRACEPOINT_OPEN, &attr, sizeof(attr));

	if (fd < 0)
		fail("open a tracepoint");
	return fd;
}
`},
	{name: "attach", uses: []string{"sys_bpf"},
		text: `static void attach(int cmd, int target, int prog, __u32 type, __u32 flags)
{
	struct attach_attr attr = {
		.target_fd = target,
		.attach_bpf_fd = prog,
		.attach_type = type,
		.attach_flags = flags,
	};

	sys_bpf(cmd, &attr, sizeof(attr));
}
`},
	{name: "store", uses: []string{"sys_bpf"}, text: `/* Put an element under key 0 of a map. */
static void store(int map)
{
	__u32 zero = 0;
	struct elem_attr attr = {
		.map_fd = map,
		.key = (unsigned long)&zero,
		.value = (unsigned long)&zero,
	};

	sys_bpf(BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr));
}
`},
	{name: "obj_id", uses: []string{"sys_bpf", "fail"}, text: `/* The id of an object is at @offset of its information. */
static __u32 obj_id(int fd, int offset)
{
	__u32 info[64] = { 0 };
	struct info_attr attr = {
		.bpf_fd = fd,
		.info_len = sizeof(info),
		.info = (unsigned long)info,
	};

	if (sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)))
		fail("get an id");
	return info[offset / 4];
}
`},
	{name: "load_target", uses: []string{"sys_bpf", "fail"},
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
	int fd = sys_bpf(BPF_BTF_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		fail("load a BTF");
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
	int fd = sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		fail("load a program");
	return fd;
}
`},
	{name: "inner_map", uses: []string{"sys_bpf", "fail"}, text: `static int make_inner_map(void)
{
	struct map_create_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4,
		.value_size = 4,
		.max_entries = 1,
	};
	int fd = sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));

	if (fd < 0)
		fail("make an inner map");
	return fd;
}
`},
	{name: "places", uses: []string{"fail"}, text: `/* Places to mount on, in a mount namespace of this program. */
static void make_places(void)
{
	static const char *const dir[] = { "/mnt/a", "/mnt/b", "/mnt/c", "/mnt/d" };
	int i;

	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/mnt", "tmpfs", 0, NULL))
		fail("mount a tmpfs on /mnt");
	for (i = 0; i < 4; i++)
		mkdir(dir[i], 0755);
}
`},
	{name: "few_files", text: `/* Bound the descriptors that this process can have open. */
static void few_files(int few)
{
	static struct rlimit before;
	struct rlimit none;

	if (few) {
		getrlimit(RLIMIT_NOFILE, &before);
		none = before;
		none.rlim_cur = 0;
	}
	if (setrlimit(RLIMIT_NOFILE, few ? &none : &before))
		fail("set RLIMIT_NOFILE");
}
`},
	{name: "write_file", text: `static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path);
	close(fd);
}
`},
	{name: "send_fd", uses: []string{"fail"}, text: `static int sock[NR_ACTORS][2];

static void make_sockets(void)
{
	int i;

	for (i = 0; i < NR_ACTORS; i++)
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			       sock[i]))
			fail("socketpair");
}

static int send_fd(int to, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock[to][0], &msg, 0);
}

static int recv_fd(void)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(sock[me][1], &msg, MSG_CMSG_CLOEXEC) < 0 ||
	    !CMSG_FIRSTHDR(&msg))
		fail("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}
`},
	{name: "pass", uses: []string{"turn", "check", "send_fd"},
		text: `/* Pass a descriptor to another process, which has it under the same name. */
static void pass(int from, int to, int *fd, int want, const char *text)
{
	if (turn(from, ALL_CAPS)) {
		shared->err = send_fd(to, *fd) < 0 ? errno : 0;
		done();
	}
	if (turn(to, ALL_CAPS)) {
		if (!shared->err)
			*fd = recv_fd();
		errno = shared->err;
		check(errno ? -1 : 0, want, text);
	}
}
`},
	{name: "bpffs", uses: []string{"turn", "check"},
		calls: []string{"fsopen", "fsconfig", "fsmount", "move_mount", "pidfd_open", "pidfd_getfd"},
		text: `/* Only the broker may delegate. */
static int configure(int fs, const char *const *opts)
{
	for (; *opts; opts += 2)
		if (syscall(SYS_fsconfig, fs, 1 /* FSCONFIG_SET_STRING */,
			    opts[0], opts[1], 0))
			return errno;
	return syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL,
		       NULL, 0) ? errno : 0;
}

/* A bpffs of an actor's user namespace; its root directory is returned. */
static int make_bpffs(int actor, const char *at, const char *const *opts,
		      int want, const char *text)
{
	int pidfd, mnt, fs, root = -1;

	if (turn(actor, ALL_CAPS)) {
		shared->fd = syscall(SYS_fsopen, "bpf", 1 /* CLOEXEC */);
		done();
	}
	if (turn(BROKER, ALL_CAPS)) {
		pidfd = syscall(SYS_pidfd_open, shared->pid[actor], 0);
		fs = syscall(SYS_pidfd_getfd, pidfd, shared->fd, 0);
		if (fs < 0)
			fail("fsopen");
		shared->err = configure(fs, opts);
		close(fs);
		close(pidfd);
		done();
	}
	if (turn(actor, ALL_CAPS)) {
		mnt = syscall(SYS_fsmount, shared->fd, 1 /* CLOEXEC */, 0);
		if (mnt >= 0 && at &&
		    syscall(SYS_move_mount, mnt, "", AT_FDCWD, at,
			    4 /* MOVE_MOUNT_F_EMPTY_PATH */))
			fail("move_mount");
		if (mnt >= 0)
			root = openat(mnt, ".", O_DIRECTORY | O_CLOEXEC);
		close(mnt);
		close(shared->fd);
		errno = shared->err;
		check(errno ? -1 : root, want, text);
	}
	return root;
}
`},
	{name: "late", uses: []string{"fail"}, text: `static void late(int sig)
{
	errno = ETIMEDOUT;
	fail(sig == SIGALRM ? "too late" : "signal");
}
`},
	{name: "sysctl", uses: []string{"write_file", "shared", "skip", "late"},
		text: `#define SYSCTL	"/proc/sys/kernel/unprivileged_bpf_disabled"

static char sysctl_before[2];

static void restore_sysctl(void)
{
	if (me == BROKER)
		write_file(SYSCTL, sysctl_before);
}

static void keep_sysctl(void)
{
	int fd = open(SYSCTL, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, sysctl_before, 1) != 1)
		fail("read the sysctl");
	close(fd);
	if (*sysctl_before == '1')
		skip("unprivileged_bpf_disabled is 1 until the next boot");
	atexit(restore_sysctl);
	signal(SIGALRM, late);
}
`},
	{name: "need_sysctl", uses: []string{"skip"},
		text: `static void need_sysctl(void)
{
	int fd = open("/proc/sys/kernel/unprivileged_bpf_disabled", O_RDONLY);
	char value = 0;

	if (read(fd, &value, 1) != 1 || value != '2')
		skip("kernel.unprivileged_bpf_disabled is not 2");
	close(fd);
}
`},
	{name: "new_userns", uses: []string{"write_file"},
		text: `/* Enter a user namespace whose root is user @uid of the one before. */
static void new_userns(unsigned int uid, int flags)
{
	char map[32];

	if (uid && (setgroups(0, NULL) || setresgid(uid, uid, uid) ||
		    setresuid(uid, uid, uid)))
		fail("setresuid");
	prctl(PR_SET_DUMPABLE, 1);	/* to write the maps */
	if (unshare(CLONE_NEWUSER | flags))
		fail("unshare");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", map);
	write_file("/proc/self/gid_map", map);
}
`},
	{name: "become", text: `/* Change the user, and keep the capabilities that steps ask for. */
static void become(unsigned int uid)
{
	if (prctl(PR_SET_KEEPCAPS, 1) || setresgid(uid, uid, uid) ||
	    setresuid(uid, uid, uid))
		fail("setresuid");
}
`},
	{name: "start", uses: []string{"shared", "fail"},
		text: `/* Start a process. All processes go through the same turns. */
static int start(int actor)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid)
		return 0;
	me = actor;
	shared->pid[me] = getpid();
	return 1;
}
`},
	{name: "end", uses: []string{"shared", "wait"}, text: `/* Every process lives until the last turn is over. */
static int end(void)
{
	wait_for(turns);
	if (me != BROKER)
		_exit(0);
	while (wait(NULL) > 0)
		;
	return shared->differ ? 1 : 0;
}
`},
	{name: "begin", uses: []string{"shared", "fail"}, text: `static void begin(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(60);
	setrlimit(RLIMIT_MEMLOCK, &all);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || geteuid())
		fail("start as root");
}
`},
}
