package repro

import "slices"

// block is a piece of C that a program has if something in it uses the piece. The blocks stand in the
// program in the order of the table.
type block struct {
	name string
	uses []string // other blocks
	text string
}

// blocks is what programs are made of besides their steps.
var blocks = slices.Concat(coreBlocks, objectBlocks, turnBlocks)

// macros are what is defined above all else.
var macros = []block{
	{name: "ALL_CAPS", text: "#define ALL_CAPS\t(~0ULL)\n"},
	{name: "CAP", text: "#define CAP(name)\t(1ULL << CAP_##name)\n"},
	{name: "PTR", text: "#define PTR(to)\t((unsigned long)(to))\n"},
	{name: "WIDE", text: `/* eight bytes in an array of words of four */
#define WIDE(at, v) \
	[at] = ((union { __u64 wide; __u32 half[2]; }) { .wide = (v) }).half[0], \
	[(at) + 1] = ((union { __u64 wide; __u32 half[2]; }) { .wide = (v) }).half[1]
`},
	{name: "SYSCTL", text: "#define SYSCTL\t\"/proc/sys/kernel/unprivileged_bpf_disabled\"\n"},
	{name: "FS", text: "#define FS\t100\t/* the file system context, in both processes */\n"},
	{name: "OPTS", text: "#define OPTS(...)\t((const char *[]) { __VA_ARGS__, NULL })\n"},
	{name: "INSNS", text: `/* the program "return n" */
#define INSNS(n) ((unsigned long)(struct bpf_insn []) { \
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = (n) }, \
	{ .code = BPF_JMP | BPF_EXIT } })
`},
	{name: "BPF", text: `/* bpf(2) with these members of an attribute */
#define BPF(cmd, of, ...) \
	syscall(SYS_bpf, cmd, &(struct of##_attr) { __VA_ARGS__ }, sizeof(struct of##_attr), NULL, 0)
`},
	{name: "BPF_TAIL", uses: []string{"bpf_tail"}, text: `/* the same with a byte set that is in no member */
#define BPF_TAIL(cmd, of, ...) \
	bpf_tail(cmd, &(struct of##_attr) { __VA_ARGS__ }, sizeof(struct of##_attr))
`},
	{name: "BPF_BEYOND", uses: []string{"bpf_beyond"}, text: `/* the same with a byte set that no kernel knows */
#define BPF_BEYOND(cmd, of, ...) \
	bpf_beyond(cmd, &(struct of##_attr) { __VA_ARGS__ }, sizeof(struct of##_attr))
`},
	{name: "STEP", uses: []string{"turn"}, text: `#define STEP(n, actor, caps, want, text, call) \
	(turn(actor, caps) ? check(n, want, text, call), done() : (void)0)
`},
	{name: "STEP of a test", uses: []string{"turn"}, text: `#define STEP(actor, caps, want, text, call) \
	do { \
		if (turn(actor, caps)) { \
			EXPECT_EQ(want, errno_of(call)) \
				TH_LOG(text); \
			done(); \
		} \
	} while (0)
`},
}

// checkText compares the errno of a step. Nothing is buffered: processes do not write lines twice.
func checkText(differ string) string {
	return `static void check(int step, int want, const char *text, int ret)
{
	int got = ret < 0 ? errno : 0, bad = want >= 0 && got != want;

	dprintf(1, "%sok %d - %s # got %d, expected %d\n", bad ? "not " : "", step, text, got, want);
	` + differ + ` |= bad;
}
`
}

// coreBlocks are what most programs need.
var coreBlocks = []block{
	{name: "check", text: checkText("differ")},
	{name: "errno_of", text: `static int errno_of(int ret)
{
	return ret < 0 ? errno : 0;
}
`},
	{name: "bpf", text: `static int bpf(int cmd, const void *attr, unsigned int size)
{
	return syscall(SYS_bpf, cmd, attr, size, NULL, 0);
}
`},
	{name: "bpf_tail", uses: []string{"bpf"}, text: `/* The call with a byte set that is in no field of the command. */
static int bpf_tail(int cmd, const void *attr, unsigned int size)
{
	char whole[168] = { 0 };

	memcpy(whole, attr, size);
	whole[151] = 1;
	return bpf(cmd, whole, sizeof(whole));
}
`},
	{name: "bpf_beyond", uses: []string{"bpf"},
		text: `/* The call with a byte set that is in no attribute of this kernel. */
static int bpf_beyond(int cmd, const void *attr, unsigned int size)
{
	static char page[4096];

	memcpy(page, attr, size);
	page[sizeof(page) - 1] = 1;
	return bpf(cmd, page, sizeof(page));
}
`},
	{name: "must", text: `static int must(int ret, const char *what)
{
	if (ret < 0)
		err(4, "%s", what);
	return ret;
}
`},
	{name: "older", text: `/* Is the kernel older than a release? */
static int older(int major, int minor)
{
	int a = 0, b = 0;
	struct utsname u;

	if (uname(&u) || sscanf(u.release, "%d.%d", &a, &b) != 2)
		err(4, "read the release");
	return a < major || (a == major && b < minor);
}
`},
	{name: "set_caps", text: `static void set_caps(__u64 caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	syscall(SYS_capget, &head, data);
	data[0].effective = data[0].permitted & caps;
	data[1].effective = data[1].permitted & (caps >> 32);
	if (syscall(SYS_capset, &head, data))
		err(4, "capset");
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
		err(4, "set RLIMIT_NOFILE");
}
`},
	{name: "open_root", text: `/* The root directory of a file system that is mounted nowhere. */
static int open_root(const char *type)
{
	int fs = syscall(SYS_fsopen, type, 0), mnt, dir;

	if (syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0))
		err(4, "%s", type);
	mnt = syscall(SYS_fsmount, fs, 0, 0);
	dir = openat(mnt, ".", O_DIRECTORY);
	if (dir < 0)
		err(4, "%s", type);
	close(mnt);
	close(fs);
	return dir;
}
`},
	{name: "places", text: `/* Places to mount on, in a mount namespace of this program. */
static void make_places(void)
{
	static const char *const dir[] = { "/mnt/a", "/mnt/b", "/mnt/c", "/mnt/d" };
	int i;

	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/mnt", "tmpfs", 0, NULL))
		err(4, "mount a tmpfs on /mnt");
	for (i = 0; i < 4; i++)
		mkdir(dir[i], 0755);
}
`},
	{name: "become", text: `/* Change the user, and keep the capabilities that steps ask for. */
static void become(unsigned int uid)
{
	if (prctl(PR_SET_KEEPCAPS, 1) || setresgid(uid, uid, uid) ||
	    setresuid(uid, uid, uid))
		err(4, "setresuid");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}
`},
	{name: "fork_files", text: `/* Fork, and share the descriptors with the child. */
static pid_t fork_files(void)
{
	__u64 args[8] = { CLONE_FILES, [4] = SIGCHLD };	/* clone_args */
	pid_t pid = syscall(SYS_clone3, args, sizeof(args));

	if (pid < 0)
		err(4, "clone3");
	return pid;
}
`},
	{name: "configure", text: `/* Only root may delegate. */
static int configure(int fs, const char *const *opts)
{
	for (; *opts; opts += 2)
		if (syscall(SYS_fsconfig, fs, 1 /* FSCONFIG_SET_STRING */, opts[0], opts[1], 0))
			return -1;
	return syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0);
}
`},
	{name: "element", uses: []string{"BPF", "PTR"},
		text: `/* A command on the element under key 0, which is put there first. */
static int element(int cmd, int map)
{
	char key[64] = { 0 }, value[4096] = { 1 };
	int with_value = cmd != BPF_MAP_DELETE_ELEM;

	if (cmd != BPF_MAP_UPDATE_ELEM)
		BPF(BPF_MAP_UPDATE_ELEM, elem, .map_fd = map, .key = PTR(key),
		    .value = PTR(value));
	return BPF(cmd, elem, .map_fd = map, .key = PTR(key),
		   .value = with_value ? PTR(value) : 0);
}
`},
	{name: "configure variant", text: `/* Only root may delegate. A variant has no value of an option that it omits. */
static int configure(int fs, const char *const *opts)
{
	for (; *opts; opts += 2)
		if (opts[1] && syscall(SYS_fsconfig, fs, 1 /* SET_STRING */, opts[0], opts[1], 0))
			return -1;
	return syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0);
}
`},
}

// turnBlocks are of programs with several processes besides root's.
var turnBlocks = []block{
	{name: "restore", uses: []string{"set_caps"}, text: `static char sysctl_before;

static void restore_sysctl(void)
{
	if (me != ROOT)
		return;
	set_caps(~0ULL);
	dprintf(open(SYSCTL, O_WRONLY), "%c", sysctl_before);
}
`},
	{name: "turn", uses: []string{"set_caps"},
		text: `/* Is it this process's turn? Then it has exactly these capabilities. */
static int turn(int actor, __u64 caps)
{
	int status;

	turns++;
	if (me != actor)
		return 0;
	while (__atomic_load_n(&shared->turns, __ATOMIC_ACQUIRE) < turns - 1) {
		if (waitpid(-1, &status, WNOHANG) > 0 && status)
			exit(4);	/* another process failed */
		usleep(100);
	}
	set_caps(caps);
	return 1;
}

static void done(void)
{
	__atomic_store_n(&shared->turns, turns, __ATOMIC_RELEASE);
}
`},
	{name: "check in turns", text: checkText("shared->differ")},
	{name: "new_userns", text: `/* Become root of a new user namespace, who is user @uid outside of it. */
static void new_userns(unsigned int uid, int flags)
{
	if ((uid && (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))) ||
	    prctl(PR_SET_DUMPABLE, 1) ||	/* to write the maps */
	    unshare(flags) ||
	    dprintf(open("/proc/self/setgroups", O_WRONLY), "deny") < 0 ||
	    dprintf(open("/proc/self/uid_map", O_WRONLY), "0 %u 1", uid) < 0 ||
	    dprintf(open("/proc/self/gid_map", O_WRONLY), "0 %u 1", uid) < 0)
		err(4, "make a user namespace");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}
`},
	{name: "start", text: `/* A process that shares the descriptors. All take the same turns. */
static int start(int actor)
{
	__u64 args[8] = { CLONE_FILES, [4] = SIGCHLD };	/* clone_args */
	pid_t pid = syscall(SYS_clone3, args, sizeof(args));

	if (pid < 0)
		err(4, "clone3");
	if (pid)
		return 0;
	alarm(60);
	me = actor;
	return 1;
}
`},
	{name: "end", uses: []string{"turn", "ALL_CAPS"}, text: `/* Every process lives until the last turn is over. */
static int end(void)
{
	turn(me, ALL_CAPS);
	if (me != ROOT)
		_exit(0);
	while (wait(NULL) > 0)
		;
	return shared->differ;
}
`},
}
