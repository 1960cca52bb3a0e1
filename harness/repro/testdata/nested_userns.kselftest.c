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
	__u32 map_type, key_size, value_size, max_entries, map_flags;
	__u32 inner_map_fd, numa_node;
	char map_name[16];
	__u32 map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id;
	__u32 btf_vmlinux_value_type_id;
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
	__u32 prog_ifindex, expected_attach_type, prog_btf_fd;
	__u32 func_info_rec_size;
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
	__u32 btf_size, btf_log_size, btf_log_level, btf_log_true_size;
	__u32 btf_flags;
	__s32 btf_token_fd;
};

struct token_create_attr {
	__u32 flags, bpffs_fd;
};

#define ALL_CAPS	(~0ULL)
#define CAP(name)	(1ULL << CAP_##name)
#define SYSCTL	"/proc/sys/kernel/unprivileged_bpf_disabled"

enum { ROOT, OWNER, INNER };

/* What the processes share besides their descriptors. */
static struct {
	int turns, differ;
	int fs;	/* the context of a bpffs */
	int b_fd, inner_b_fd, inner_t_fd, t_fd;
} *shared;

static int me, turns;

static int errno_of(int ret)
{
	return ret < 0 ? errno : 0;
}

static int bpf(int cmd, const void *attr, unsigned int size)
{
	return syscall(SYS_bpf, cmd, attr, size, NULL, 0);
}

static void set_caps(__u64 caps)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2];

	syscall(SYS_capget, &head, data);
	data[0].effective = data[0].permitted & caps;
	data[1].effective = data[1].permitted & (caps >> 32);
	if (syscall(SYS_capset, &head, data))
		err(KSFT_FAIL, "capset");
}

/* Fork, and share the descriptors with the child. */
static pid_t fork_files(void)
{
	__u64 args[8] = { CLONE_FILES, [4] = SIGCHLD };	/* clone_args */
	pid_t pid = syscall(SYS_clone3, args, sizeof(args));

	if (pid < 0)
		err(KSFT_FAIL, "clone3");
	return pid;
}

/* Only root may delegate. */
static int configure(int fs, const char *const *opts)
{
	for (; *opts; opts += 2)
		if (syscall(SYS_fsconfig, fs, 1 /* FSCONFIG_SET_STRING */,
			    opts[0], opts[1], 0))
			return -1;
	return syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL,
		       NULL, 0);
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
	if ((uid && (setgroups(0, NULL) || setresgid(uid, uid, uid) ||
		     setresuid(uid, uid, uid))) ||
	    prctl(PR_SET_DUMPABLE, 1) ||	/* to write the maps */
	    unshare(flags) ||
	    dprintf(open("/proc/self/setgroups", O_WRONLY), "deny") < 0 ||
	    dprintf(open("/proc/self/uid_map", O_WRONLY), "0 %u 1", uid) < 0 ||
	    dprintf(open("/proc/self/gid_map", O_WRONLY), "0 %u 1", uid) < 0)
		err(KSFT_FAIL, "make a user namespace");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Start a process. All processes take the same turns. */
static int start(int actor)
{
	if (fork_files())
		return 0;
	alarm(60);
	me = actor;
	return 1;
}

FIXTURE(nested_userns) {
};

FIXTURE_SETUP(nested_userns)
{
	__u32 none[2] = { 0, -1 };	/* flags, bpffs_fd */
	char value;

	if (bpf(BPF_TOKEN_CREATE, none, sizeof(none)) && errno != EBADF)
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
	int mnt;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (me == ROOT && start(OWNER)) {
		new_userns(1000, CLONE_NEWUSER | CLONE_NEWNS);
		if (me == OWNER && start(INNER))
			new_userns(0, CLONE_NEWUSER | CLONE_NEWNS);
	}

	if (turn(OWNER, ALL_CAPS)) {
		shared->fs = syscall(SYS_fsopen, "bpf", 0);
		done();
	}
	if (turn(ROOT, ALL_CAPS)) {
		static const char *const opts[] = {
			"delegate_cmds", "any", "delegate_maps", "any",
			"delegate_progs", "any", "delegate_attachs", "any",
			NULL
		};

		EXPECT_EQ(0, errno_of(configure(shared->fs, opts)))
			TH_LOG("bpffs");
		done();
	}
	if (turn(OWNER, ALL_CAPS)) {
		mnt = syscall(SYS_fsmount, shared->fs, 0, 0);
		shared->b_fd = openat(mnt, ".", O_DIRECTORY);
		close(mnt);
		done();
	}

	if (turn(OWNER, ALL_CAPS)) {
		struct token_create_attr attr = {
			.bpffs_fd = shared->b_fd,
		};

		EXPECT_EQ(0, errno_of(shared->t_fd = bpf(BPF_TOKEN_CREATE, &attr, sizeof(attr))))
			TH_LOG("owner token_create bpffs=b -> t");
		done();
	}

	if (turn(OWNER, CAP(BPF))) {
		struct map_create_attr attr = {
			.map_type = BPF_MAP_TYPE_STACK_TRACE,
			.key_size = 4,
			.value_size = 8,
			.max_entries = 1,
			.map_flags = BPF_F_TOKEN_FD,
			.map_token_fd = shared->t_fd,
		};

		EXPECT_EQ(0, errno_of(bpf(BPF_MAP_CREATE, &attr, sizeof(attr))))
			TH_LOG("owner map_create type=stack_trace token=t caps=CAP_BPF");
		done();
	}

	if (turn(OWNER, ALL_CAPS)) {
		EXPECT_EQ(0, errno_of(shared->inner_t_fd = dup(shared->t_fd)))
			TH_LOG("owner send t inner");
		done();
	}

	if (turn(OWNER, ALL_CAPS)) {
		EXPECT_EQ(0, errno_of(shared->inner_b_fd = dup(shared->b_fd)))
			TH_LOG("owner send b inner");
		done();
	}

	if (turn(INNER, ALL_CAPS)) {
		struct map_create_attr attr = {
			.map_type = BPF_MAP_TYPE_STACK_TRACE,
			.key_size = 4,
			.value_size = 8,
			.max_entries = 1,
			.map_flags = BPF_F_TOKEN_FD,
			.map_token_fd = shared->inner_t_fd,
		};

		EXPECT_EQ(EPERM, errno_of(bpf(BPF_MAP_CREATE, &attr, sizeof(attr))))
			TH_LOG("inner map_create type=stack_trace token=t");
		done();
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
			.prog_token_fd = shared->inner_t_fd,
		};

		EXPECT_EQ(EPERM, errno_of(bpf(BPF_PROG_LOAD, &attr, sizeof(attr))))
			TH_LOG("inner prog_load type=xdp attach=xdp token=t");
		done();
	}

	if (turn(INNER, ALL_CAPS)) {
		struct btf_load_attr attr = {
			.btf = (unsigned long)&int_btf,
			.btf_size = BTF_SIZE,
			.btf_flags = BPF_F_TOKEN_FD,
			.btf_token_fd = shared->inner_t_fd,
		};

		EXPECT_EQ(EPERM, errno_of(bpf(BPF_BTF_LOAD, &attr, sizeof(attr))))
			TH_LOG("inner btf_load token=t");
		done();
	}

	if (turn(INNER, ALL_CAPS)) {
		struct token_create_attr attr = {
			.bpffs_fd = shared->inner_b_fd,
		};

		EXPECT_EQ(EPERM, errno_of(bpf(BPF_TOKEN_CREATE, &attr, sizeof(attr))))
			TH_LOG("inner token_create bpffs=b");
		done();
	}
	turn(me, ALL_CAPS);
	if (me != ROOT)
		_exit(0);
	while (wait(&status) > 0)
		EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
