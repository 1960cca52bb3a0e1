// SPDX-License-Identifier:
/*
 * nested_userns
 *
 * A token does not work in a user namespace below its own.
 *
 * Expected are the answers of Linux 6.12. Run it as root:
 *
 *	cc -Wall repro.c && ./a.out
 *
 * It exits with 0 if each step gives the expected errno, 1 if one differs, and
 * 4 if the step cannot be asked here; it says why. Nothing is left behind.
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
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/bpf.h>
#include <linux/capability.h>

/* what old headers lack */
#define BPF_F_TOKEN_FD	(1U << 16)
#define BPF_TOKEN_CREATE	36
#define CAP_BPF	39
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
	__u32 map_type, key_size, value_size, max_entries, map_flags;
	__u32 inner_map_fd, numa_node;
	char map_name[16];
	__u32 map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id;
	__u32 btf_vmlinux_value_type_id;
	__aligned_u64 map_extra;
	__s32 value_type_btf_obj_fd, map_token_fd;
};

/* a part of union bpf_attr */
struct prog_load_attr {
	__u32 prog_type, insn_cnt;
	__aligned_u64 insns, license;
	__u32 log_level, log_size;
	__aligned_u64 log_buf;
	__u32 kern_version, prog_flags;
	char prog_name[16];
	__u32 prog_ifindex, expected_attach_type, prog_btf_fd;
	__u32 func_info_rec_size;
	__aligned_u64 func_info;
	__u32 func_info_cnt, line_info_rec_size;
	__aligned_u64 line_info;
	__u32 line_info_cnt, attach_btf_id, attach_prog_fd;
	__u32 core_relo_cnt;
	__aligned_u64 fd_array, core_relos;
	__u32 core_relo_rec_size, log_true_size;
	__s32 prog_token_fd;
	__u32 pad;
};

/* a part of union bpf_attr */
struct btf_load_attr {
	__aligned_u64 btf, btf_log_buf;
	__u32 btf_size, btf_log_size, btf_log_level, btf_log_true_size;
	__u32 btf_flags;
	__s32 btf_token_fd;
};

/* a part of union bpf_attr */
struct token_create_attr {
	__u32 flags, bpffs_fd;
};

enum { BROKER, OWNER, INNER, NR_ACTORS };

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

/* The BTF of int; Documentation/bpf/btf.rst */
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

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path);
	close(fd);
}

static int sock[NR_ACTORS][2];

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

/* Pass a descriptor to another process, which has it under the same name. */
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
static int b_fd = -1, t_fd = -1;

int main(void)
{
	begin();
	need_token();
	need_sysctl();
	printf("TAP version 13\n1..9\n");
	make_sockets();

	if (me == BROKER && start(OWNER)) {
		new_userns(1000, CLONE_NEWNS);
		if (me == OWNER && start(INNER))
			new_userns(0, CLONE_NEWNS);
	}
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

		t_fd = check(sys_bpf(BPF_TOKEN_CREATE, &attr, sizeof(attr)), 0,
		      "owner token_create bpffs=b -> t");
	}

	if (turn(OWNER, CAP(BPF))) {
		struct map_create_attr attr = {
			.map_type = BPF_MAP_TYPE_STACK_TRACE,
			.key_size = 4,
			.value_size = 8,
			.max_entries = 1,
			.map_flags = BPF_F_TOKEN_FD,
			.map_token_fd = t_fd,
		};

		check(sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr)), 0,
		      "owner map_create type=stack_trace token=t caps=CAP_BPF");
	}

	pass(OWNER, INNER, &t_fd, 0,
	     "owner send t inner");

	pass(OWNER, INNER, &b_fd, 0,
	     "owner send b inner");

	if (turn(INNER, ALL_CAPS)) {
		struct map_create_attr attr = {
			.map_type = BPF_MAP_TYPE_STACK_TRACE,
			.key_size = 4,
			.value_size = 8,
			.max_entries = 1,
			.map_flags = BPF_F_TOKEN_FD,
			.map_token_fd = t_fd,
		};

		check(sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr)), EPERM,
		      "inner map_create type=stack_trace token=t");
	}

	if (turn(INNER, ALL_CAPS)) {
		struct bpf_insn insns[] = {
			{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 2 },	/* r0 = 2 */
			{ .code = BPF_JMP | BPF_EXIT },	/* exit */
		};
		struct prog_load_attr attr = {
			.prog_type = BPF_PROG_TYPE_XDP,
			.insn_cnt = 2,
			.insns = (unsigned long)insns,
			.license = (unsigned long)"GPL",
			.prog_flags = BPF_F_TOKEN_FD,
			.expected_attach_type = BPF_XDP,
			.prog_token_fd = t_fd,
		};

		check(sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr)), EPERM,
		      "inner prog_load type=xdp attach=xdp token=t");
	}

	if (turn(INNER, ALL_CAPS)) {
		struct btf_load_attr attr = {
			.btf = (unsigned long)&int_btf,
			.btf_size = BTF_SIZE,
			.btf_flags = BPF_F_TOKEN_FD,
			.btf_token_fd = t_fd,
		};

		check(sys_bpf(BPF_BTF_LOAD, &attr, sizeof(attr)), EPERM,
		      "inner btf_load token=t");
	}

	if (turn(INNER, ALL_CAPS)) {
		struct token_create_attr attr = {
			.bpffs_fd = b_fd,
		};

		check(sys_bpf(BPF_TOKEN_CREATE, &attr, sizeof(attr)), EPERM,
		      "inner token_create bpffs=b");
	}

	return end();
}
