// SPDX-License-Identifier:
/*
 * nested_userns
 *
 * A token does not work in a user namespace below its own.
 *
 * Expected are the answers of Linux 6.12.
 *
 * The kernel needs BPF_TOKEN_CREATE (Linux 6.9).
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/bpf.h>
#include <linux/capability.h>

#include "../kselftest_harness.h"

/* what old headers lack */
#define BPF_F_TOKEN_FD	(1U << 16)
#define BPF_TOKEN_CREATE	36
#define CAP_BPF	39
#ifndef SYS_fsopen
#define SYS_fsopen	430
#define SYS_fsconfig	431
#define SYS_fsmount	432
#endif
#ifndef SYS_clone3
#define SYS_clone3	435
#endif

/* parts of union bpf_attr */
struct map_create_attr {
	__u32 map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node;
	char map_name[16];
	__u32 map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
	__aligned_u64 map_extra;
	__s32 value_type_btf_obj_fd, map_token_fd;
};

struct prog_load_attr {
	__u32 prog_type, insn_cnt;
	__aligned_u64 insns, license;
	__u32 log_level, log_size;
	__aligned_u64 log_buf;
	__u32 kern_version, prog_flags;
	char prog_name[16];
	__u32 prog_ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size;
	__aligned_u64 func_info;
	__u32 func_info_cnt, line_info_rec_size;
	__aligned_u64 line_info;
	__u32 line_info_cnt, attach_btf_id, attach_prog_fd, core_relo_cnt;
	__aligned_u64 fd_array, core_relos;
	__u32 core_relo_rec_size, log_true_size;
	__s32 prog_token_fd;
	__u32 pad;
};

struct btf_load_attr {
	__aligned_u64 btf, btf_log_buf;
	__u32 btf_size, btf_log_size, btf_log_level, btf_log_true_size, btf_flags;
	__s32 btf_token_fd;
};

struct token_create_attr {
	__u32 flags, bpffs_fd;
};

#define ALL_CAPS	(~0ULL)
#define CAP(name)	(1ULL << CAP_##name)
#define PTR(to)	((unsigned long)(to))
#define SYSCTL	"/proc/sys/kernel/unprivileged_bpf_disabled"
#define OPTS(...)	((const char *[]) { __VA_ARGS__, NULL })

/* the program "return n" */
#define INSNS(n) ((unsigned long)(struct bpf_insn []) { \
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = (n) }, \
	{ .code = BPF_JMP | BPF_EXIT } })

/* bpf(2) with these members of an attribute */
#define BPF(cmd, of, ...) \
	syscall(SYS_bpf, cmd, &(struct of##_attr) { __VA_ARGS__ }, sizeof(struct of##_attr), NULL, 0)

#define STEP(actor, caps, want, text, call) \
	do { \
		if (turn(actor, caps)) { \
			EXPECT_EQ(want, errno_of(call)) \
				TH_LOG(text); \
			done(); \
		} \
	} while (0)

enum { ROOT, OWNER, INNER };

/* the descriptors, which the processes share */
static struct {
	int b, inner_b, inner_t, t;
} *fd;

static struct {
	int turns, differ, fs;
} *shared;

static int me, turns;

static int errno_of(int ret)
{
	return ret < 0 ? errno : 0;
}

static void set_caps(__u64 caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	syscall(SYS_capget, &head, data);
	data[0].effective = data[0].permitted & caps;
	data[1].effective = data[1].permitted & (caps >> 32);
	if (syscall(SYS_capset, &head, data))
		err(KSFT_FAIL, "capset");
}

/* Only root may delegate. */
static int configure(int fs, const char *const *opts)
{
	for (; *opts; opts += 2)
		if (syscall(SYS_fsconfig, fs, 1 /* FSCONFIG_SET_STRING */, opts[0], opts[1], 0))
			return -1;
	return syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0);
}

/* A BTF with one type; Documentation/bpf/btf.rst */
struct btf_blob {
	__u16 magic;
	__u8 version, flags;
	__u32 hdr_len, type_off, type_len, str_off, str_len, types[4];
	char strs[5];
};
#define BTF_SIZE	(offsetof(struct btf_blob, strs) + 5)

static const struct btf_blob int_btf = {
	0xeb9f, 1, 0, 24, 0, 16, 16, 5, { 1 /* name */, 1 << 24 /* int */, 4, 1 << 24 | 32 }, "\0int"
};

/* Is it this process's turn? Then it has exactly these capabilities. */
static int turn(int actor, __u64 caps)
{
	int status;

	turns++;
	if (me != actor)
		return 0;
	while (__atomic_load_n(&shared->turns, __ATOMIC_ACQUIRE) < turns - 1) {
		if (waitpid(-1, &status, WNOHANG) > 0 && status)
			exit(KSFT_FAIL);	/* another process failed */
		usleep(100);
	}
	set_caps(caps);
	return 1;
}

static void done(void)
{
	__atomic_store_n(&shared->turns, turns, __ATOMIC_RELEASE);
}

/* Become root of a new user namespace, who is user @uid outside of it. */
static void new_userns(unsigned int uid, int flags)
{
	if ((uid && (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))) ||
	    prctl(PR_SET_DUMPABLE, 1) ||	/* to write the maps */
	    unshare(flags) ||
	    dprintf(open("/proc/self/setgroups", O_WRONLY), "deny") < 0 ||
	    dprintf(open("/proc/self/uid_map", O_WRONLY), "0 %u 1", uid) < 0 ||
	    dprintf(open("/proc/self/gid_map", O_WRONLY), "0 %u 1", uid) < 0)
		err(KSFT_FAIL, "make a user namespace");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* A process that shares the descriptors. All take the same turns. */
static int start(int actor)
{
	__u64 args[8] = { CLONE_FILES, [4] = SIGCHLD };	/* clone_args */
	pid_t pid = syscall(SYS_clone3, args, sizeof(args));

	if (pid < 0)
		err(KSFT_FAIL, "clone3");
	if (pid)
		return 0;
	alarm(60);
	me = actor;
	return 1;
}

/* Make a bpffs of @actor, and open its root directory. Only root may delegate. */
static void bpffs(struct __test_metadata *_metadata, int actor, int want, const char *text,
		  int *dir, const char *const *opts)
{
	int mnt;

	if (turn(actor, ALL_CAPS)) {
		shared->fs = syscall(SYS_fsopen, "bpf", 0);
		done();
	}
	if (turn(ROOT, ALL_CAPS)) {
		EXPECT_EQ(want, errno_of(configure(shared->fs, opts)))
			TH_LOG("%s", text);
		done();
	}
	if (dir && turn(actor, ALL_CAPS)) {
		mnt = syscall(SYS_fsmount, shared->fs, 0, 0);
		*dir = openat(mnt, ".", O_DIRECTORY);
		close(mnt);
		done();
	}
}

FIXTURE(nested_userns) {
};

FIXTURE_SETUP(nested_userns)
{
	int none = BPF(BPF_TOKEN_CREATE, token_create, .bpffs_fd = -1);
	char value;

	if (none && errno != EBADF)
		SKIP(return, "no BPF_TOKEN_CREATE (Linux 6.9)");
	if (read(open(SYSCTL, O_RDONLY), &value, 1) != 1 || value != '2')
		SKIP(return, "kernel.unprivileged_bpf_disabled is not 2");
}

FIXTURE_TEARDOWN(nested_userns)
{
}

TEST_F(nested_userns, steps)
{
	int status;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fd = (void *)(shared + 1);

	if (me == ROOT && start(OWNER)) {
		new_userns(1000, CLONE_NEWUSER | CLONE_NEWNS);
		if (me == OWNER && start(INNER))
			new_userns(0, CLONE_NEWUSER | CLONE_NEWNS);
	}

	bpffs(_metadata, OWNER, 0, "bpffs",
	      &fd->b, OPTS("delegate_cmds", "any", "delegate_maps", "any", "delegate_progs", "any",
			   "delegate_attachs", "any"));
	STEP(OWNER, ALL_CAPS, 0, "owner token_create bpffs=b -> t",
	     fd->t = BPF(BPF_TOKEN_CREATE, token_create, .bpffs_fd = fd->b));
	STEP(OWNER, CAP(BPF), 0, "owner map_create type=stack_trace token=t caps=CAP_BPF",
	     BPF(BPF_MAP_CREATE, map_create, .map_type = BPF_MAP_TYPE_STACK_TRACE, .key_size = 4,
		 .value_size = 8, .max_entries = 1, .map_flags = BPF_F_TOKEN_FD,
		 .map_token_fd = fd->t));
	STEP(OWNER, ALL_CAPS, 0, "owner send t inner", fd->inner_t = dup(fd->t));
	STEP(OWNER, ALL_CAPS, 0, "owner send b inner", fd->inner_b = dup(fd->b));
	STEP(INNER, ALL_CAPS, EPERM, "inner map_create type=stack_trace token=t",
	     BPF(BPF_MAP_CREATE, map_create, .map_type = BPF_MAP_TYPE_STACK_TRACE, .key_size = 4,
		 .value_size = 8, .max_entries = 1, .map_flags = BPF_F_TOKEN_FD,
		 .map_token_fd = fd->inner_t));
	STEP(INNER, ALL_CAPS, EPERM, "inner prog_load type=xdp attach=xdp token=t",
	     BPF(BPF_PROG_LOAD, prog_load, .prog_type = BPF_PROG_TYPE_XDP, .insn_cnt = 2,
		 .insns = INSNS(2), .license = PTR("GPL"), .expected_attach_type = BPF_XDP,
		 .prog_flags = BPF_F_TOKEN_FD, .prog_token_fd = fd->inner_t));
	STEP(INNER, ALL_CAPS, EPERM, "inner btf_load token=t",
	     BPF(BPF_BTF_LOAD, btf_load, .btf = PTR(&int_btf), .btf_size = BTF_SIZE,
		 .btf_flags = BPF_F_TOKEN_FD, .btf_token_fd = fd->inner_t));
	STEP(INNER, ALL_CAPS, EPERM, "inner token_create bpffs=b",
	     BPF(BPF_TOKEN_CREATE, token_create, .bpffs_fd = fd->inner_b));
	turn(me, ALL_CAPS);
	if (me != ROOT)
		_exit(0);
	while (wait(&status) > 0)
		EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
