// SPDX-License-Identifier:
/*
 * known_emfile
 *
 * A token that fails because no descriptor is free leaks its inode; the
 * kernel reports it when the bpffs is freed.
 *
 * Expected are the answers of Linux 6.12. Run it as root:
 *
 *	cc -Wall repro.c && ./a.out
 *
 * It exits with 0 if each step gives the expected errno, 1 if one differs, and
 * 4 if the step cannot be asked here; it says why. Nothing is left behind.
 *
 * A known defect since Linux 6.19: the machine is panicked, and the
 * kernel's log has: VFS: Busy inodes after unmount; kernel BUG at
 * fs/super.c in generic_shutdown_super
 *
 * A known defect since Linux 6.19: the machine is tainted, and the kernel's
 * log has: VFS: Busy inodes after unmount; WARNING in
 * generic_shutdown_super (fs/super.c)
 *
 * The kernel needs:
 * - BPF_TOKEN_CREATE (Linux 6.9)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/bpf.h>
#include <linux/capability.h>

/* what old headers lack */
#define BPF_TOKEN_CREATE	36
#ifndef SYS_fsopen
#define SYS_move_mount	429
#define SYS_fsopen	430
#define SYS_fsconfig	431
#define SYS_fsmount	432
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_open	434
#define SYS_pidfd_getfd	438
#endif

/* a part of union bpf_attr */
struct map_create_attr {
	__u32 map_type, key_size, value_size, max_entries;
};

/* a part of union bpf_attr */
struct token_create_attr {
	__u32 flags, bpffs_fd;
};

enum { BROKER, OWNER, NR_ACTORS };

#define ALL_CAPS	(~0ULL)
#define CAP(name)	(1ULL << CAP_##name)

/* What the processes share. */
static struct {
	pid_t pid[NR_ACTORS];
	int turns, steps;	/* that are done */
	int differ;		/* steps with another errno than expected */
	int fd, err;		/* from one turn of a step to the next */
} *shared;

static int me, turns;

static void fail(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(4);
}

static void skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(4);
}

/* Wait for earlier turns, and end if another process failed. */
static void wait_for(int earlier)
{
	int status;

	while (__atomic_load_n(&shared->turns, __ATOMIC_ACQUIRE) < earlier) {
		if (waitpid(-1, &status, WNOHANG) > 0 && status)
			exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
		usleep(200);
	}
}

static void set_caps(__u64 caps)
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

/* Is it this process's turn? Then it has exactly these capabilities. */
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

static int check(int ret, int want, const char *text)
{
	int got = ret < 0 ? errno : 0;
	int differs = want >= 0 && got != want;

	printf("%sok %d - %s # got %d, expected %d\n",
	       differs ? "not " : "", ++shared->steps, text, got, want);
	shared->differ += differs;
	done();
	return ret;
}

static int sys_bpf(int cmd, const void *attr, unsigned int size)
{
	return syscall(SYS_bpf, cmd, attr, size, NULL, 0);
}

static void need_token(void)
{
	__u32 attr[] = { 0, -1 };	/* flags, bpffs_fd */

	if (sys_bpf(BPF_TOKEN_CREATE, attr, sizeof(attr)) < 0 && errno != EBADF)
		skip("no BPF_TOKEN_CREATE (Linux 6.9)");
}

/* Bound the descriptors that this process can have open. */
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

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path);
	close(fd);
}

/* Only the broker may delegate. */
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

static void need_sysctl(void)
{
	int fd = open("/proc/sys/kernel/unprivileged_bpf_disabled", O_RDONLY);
	char value = 0;

	if (read(fd, &value, 1) != 1 || value != '2')
		skip("kernel.unprivileged_bpf_disabled is not 2");
	close(fd);
}

/* Enter a user namespace whose root is user @uid of the one before. */
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

/* Start a process. All processes go through the same turns. */
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

/* Every process lives until the last turn is over. */
static int end(void)
{
	wait_for(turns);
	if (me != BROKER)
		_exit(0);
	while (wait(NULL) > 0)
		;
	return shared->differ ? 1 : 0;
}

static void begin(void)
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

/* The descriptors; each process has its own. */
static int b_fd = -1;

int main(void)
{
	begin();
	need_token();
	need_sysctl();
	printf("TAP version 13\n1..5\n");

	if (me == BROKER && start(OWNER))
		new_userns(1000, CLONE_NEWNS);
	if (me != BROKER)
		prctl(PR_SET_PDEATHSIG, SIGKILL);

	{
		static const char *const opts[] = {
			"delegate_cmds", "any",
			"delegate_maps", "any",
			"delegate_progs", "any",
			"delegate_attachs", "any",
			NULL
		};

		b_fd = make_bpffs(OWNER, NULL, opts, 0,
		      "owner bpffs cmds=any maps=any progs=any attachs=any -> b");
	}

	if (turn(OWNER, ALL_CAPS)) {
		struct token_create_attr attr = {
			.bpffs_fd = b_fd,
		};

		few_files(1);
		check(sys_bpf(BPF_TOKEN_CREATE, &attr, sizeof(attr)), EMFILE,
		      "owner token_create bpffs=b no_fd=1");
		few_files(0);
	}

	if (turn(OWNER, ALL_CAPS)) {
		struct token_create_attr attr = {
			.bpffs_fd = b_fd,
		};

		check(sys_bpf(BPF_TOKEN_CREATE, &attr, sizeof(attr)), 0,
		      "owner token_create bpffs=b");
	}

	if (turn(OWNER, ALL_CAPS)) {
		check(close(b_fd), 0,
		      "owner close b");
		b_fd = -1;
	}

	if (turn(OWNER, ALL_CAPS)) {
		struct map_create_attr attr = {
			.map_type = BPF_MAP_TYPE_HASH,
			.key_size = 4,
			.value_size = 4,
			.max_entries = 1,
		};

		check(sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr)), EPERM,
		      "owner map_create type=hash");
	}

	return end();
}
