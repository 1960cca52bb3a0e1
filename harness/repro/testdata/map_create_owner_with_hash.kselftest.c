// SPDX-License-Identifier:
/*
 * map_create/owner/with/hash
 *
 * Who may create a map of each type, with and without a token.
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
#include <stdio.h>
#include <unistd.h>
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
#define CAP_PERFMON	38
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

struct token_create_attr {
	__u32 flags, bpffs_fd;
};

#define ALL_CAPS	(~0ULL)
#define CAP(name)	(1ULL << CAP_##name)
#define SYSCTL	"/proc/sys/kernel/unprivileged_bpf_disabled"
#define FS	100	/* the file system context, in both processes */
#define OPTS(...)	((const char *[]) { __VA_ARGS__, NULL })

/* bpf(2) with these members of an attribute */
#define BPF(cmd, of, ...) \
	syscall(SYS_bpf, cmd, &(struct of##_attr) { __VA_ARGS__ }, sizeof(struct of##_attr), NULL, 0)

static int b_fd, t_fd;

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

/* Fork, and share the descriptors with the child. */
static pid_t fork_files(void)
{
	__u64 args[8] = { CLONE_FILES, [4] = SIGCHLD };	/* clone_args */
	pid_t pid = syscall(SYS_clone3, args, sizeof(args));

	if (pid < 0)
		err(KSFT_FAIL, "clone3");
	return pid;
}

/* Only root may delegate. A variant has no value of an option that it omits. */
static int configure(int fs, const char *const *opts)
{
	for (; *opts; opts += 2)
		if (opts[1] && syscall(SYS_fsconfig, fs, 1 /* SET_STRING */, opts[0], opts[1], 0))
			return -1;
	return syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0);
}

FIXTURE(map_create) {
};

FIXTURE_VARIANT(map_create) {
	const char *cmds, *maps, *progs, *attachs;
	__u64 caps;
	int err;
};

FIXTURE_VARIANT_ADD(map_create, none_none) {
	.attachs = "0x8000000000000000",
	.caps = 0,
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, none_cap_bpf) {
	.attachs = "0x8000000000000000",
	.caps = CAP(BPF),
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, none_cap_net_admin) {
	.attachs = "0x8000000000000000",
	.caps = CAP(NET_ADMIN),
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, none_cap_sys_admin) {
	.attachs = "0x8000000000000000",
	.caps = CAP(SYS_ADMIN),
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, none_cap_perfmon) {
	.attachs = "0x8000000000000000",
	.caps = CAP(PERFMON),
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, none_cap_bpf_cap_net_admin) {
	.attachs = "0x8000000000000000",
	.caps = CAP(NET_ADMIN) | CAP(BPF),
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, none_all) {
	.attachs = "0x8000000000000000",
	.caps = ALL_CAPS,
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, cmd_all) {
	.cmds = "map_create",
	.caps = ALL_CAPS,
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, type_all) {
	.maps = "any",
	.caps = ALL_CAPS,
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, other_cmd_all) {
	.cmds = "prog_load:btf_load",
	.maps = "any",
	.caps = ALL_CAPS,
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, bit0_all) {
	.cmds = "map_create",
	.maps = "0xaaaaaaaaaaaaaaaa",
	.caps = ALL_CAPS,
	.err = 0,
};

FIXTURE_VARIANT_ADD(map_create, bit1_all) {
	.cmds = "map_create",
	.maps = "0xcccccccccccccccc",
	.caps = ALL_CAPS,
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, bit2_all) {
	.cmds = "map_create",
	.maps = "0xf0f0f0f0f0f0f0f0",
	.caps = ALL_CAPS,
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, bit3_all) {
	.cmds = "map_create",
	.maps = "0xff00ff00ff00ff00",
	.caps = ALL_CAPS,
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, bit4_all) {
	.cmds = "map_create",
	.maps = "0xffff0000ffff0000",
	.caps = ALL_CAPS,
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, bit5_all) {
	.cmds = "map_create",
	.maps = "0xffffffff00000000",
	.caps = ALL_CAPS,
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, any_none) {
	.cmds = "any",
	.maps = "any",
	.progs = "any",
	.attachs = "any",
	.caps = 0,
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, any_cap_bpf) {
	.cmds = "any",
	.maps = "any",
	.progs = "any",
	.attachs = "any",
	.caps = CAP(BPF),
	.err = 0,
};

FIXTURE_VARIANT_ADD(map_create, any_cap_net_admin) {
	.cmds = "any",
	.maps = "any",
	.progs = "any",
	.attachs = "any",
	.caps = CAP(NET_ADMIN),
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, any_cap_sys_admin) {
	.cmds = "any",
	.maps = "any",
	.progs = "any",
	.attachs = "any",
	.caps = CAP(SYS_ADMIN),
	.err = 0,
};

FIXTURE_VARIANT_ADD(map_create, any_cap_perfmon) {
	.cmds = "any",
	.maps = "any",
	.progs = "any",
	.attachs = "any",
	.caps = CAP(PERFMON),
	.err = EPERM,
};

FIXTURE_VARIANT_ADD(map_create, any_cap_bpf_cap_net_admin) {
	.cmds = "any",
	.maps = "any",
	.progs = "any",
	.attachs = "any",
	.caps = CAP(NET_ADMIN) | CAP(BPF),
	.err = 0,
};

FIXTURE_VARIANT_ADD(map_create, any_all) {
	.cmds = "any",
	.maps = "any",
	.progs = "any",
	.attachs = "any",
	.caps = ALL_CAPS,
	.err = 0,
};

FIXTURE_SETUP(map_create)
{
	int none = BPF(BPF_TOKEN_CREATE, token_create, .bpffs_fd = -1);
	char value;

	if (none && errno != EBADF)
		SKIP(return, "no BPF_TOKEN_CREATE (Linux 6.9)");
	if (read(open(SYSCTL, O_RDONLY), &value, 1) != 1 || value != '2')
		SKIP(return, "kernel.unprivileged_bpf_disabled is not 2");
}

FIXTURE_TEARDOWN(map_create)
{
}

static void as_owner(struct __test_metadata *_metadata,
		     FIXTURE_VARIANT(map_create) const *variant)
{
	int mnt;

	if (setgroups(0, NULL) || setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000) ||
	    prctl(PR_SET_DUMPABLE, 1) ||
	    unshare(CLONE_NEWUSER | CLONE_NEWNS) ||
	    dprintf(open("/proc/self/setgroups", O_WRONLY), "deny") < 0 ||
	    dprintf(open("/proc/self/uid_map", O_WRONLY), "0 1000 1") < 0 ||
	    dprintf(open("/proc/self/gid_map", O_WRONLY), "0 1000 1") < 0)
		err(KSFT_FAIL, "make a user namespace");
	prctl(PR_SET_PDEATHSIG, SIGKILL);

	dup2(syscall(SYS_fsopen, "bpf", 0), FS);
	raise(SIGSTOP);	/* root goes on */
	mnt = syscall(SYS_fsmount, FS, 0, 0);
	b_fd = openat(mnt, ".", O_DIRECTORY);
	close(mnt);
	EXPECT_EQ(0, errno_of(t_fd = BPF(BPF_TOKEN_CREATE, token_create, .bpffs_fd = b_fd)))
		TH_LOG("owner token_create bpffs=b -> t");
	set_caps(variant->caps);
	EXPECT_EQ(variant->err,
		  errno_of(BPF(BPF_MAP_CREATE, map_create, .map_type = BPF_MAP_TYPE_HASH,
			       .key_size = 4, .value_size = 4, .max_entries = 1,
			       .map_flags = BPF_F_TOKEN_FD, .map_token_fd = t_fd)))
		TH_LOG("map_create");
}

TEST_F(map_create, map_create)
{
	int status;
	pid_t pid;

	pid = fork_files();
	if (!pid) {
		as_owner(_metadata, variant);
		_exit(0);
	}
	waitpid(pid, &status, WUNTRACED);	/* it has stopped */
	EXPECT_EQ(0,
		  errno_of(configure(FS, OPTS("delegate_cmds", variant->cmds,
					      "delegate_maps", variant->maps,
					      "delegate_progs", variant->progs,
					      "delegate_attachs", variant->attachs))))
		TH_LOG("bpffs");
	kill(pid, SIGCONT);
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
