// SPDX-License-Identifier:
/*
 * raw_refused
 *
 * A command that is spelled out is refused as the ordinary step is, by the
 * checks of the token and behind them.
 *
 * Expected are the answers of Linux 6.12. Run it as root. It exits with 0 if
 * each step gives the expected errno, 1 if one differs, and 4 if the steps
 * cannot be asked here. Nothing is left behind.
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

/* what old headers lack */
#define BPF_F_TOKEN_FD	(1U << 16)
#define BPF_TOKEN_CREATE	36
#ifndef SYS_fsopen
#define SYS_fsopen	430
#define SYS_fsconfig	431
#define SYS_fsmount	432
#endif

/* parts of union bpf_attr */
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

struct token_create_attr {
	__u32 flags, bpffs_fd;
};

#define ALL_CAPS	(~0ULL)
#define PTR(to)	((unsigned long)(to))

/* eight bytes in an array of words of four */
#define WIDE(at, v) \
	[at] = ((union { __u64 wide; __u32 half[2]; }) { .wide = (v) }).half[0], \
	[(at) + 1] = ((union { __u64 wide; __u32 half[2]; }) { .wide = (v) }).half[1]
#define SYSCTL	"/proc/sys/kernel/unprivileged_bpf_disabled"
#define FS	100	/* the file system context, in both processes */
#define OPTS(...)	((const char *[]) { __VA_ARGS__, NULL })

/* the program "return n" */
#define INSNS(n) ((unsigned long)(struct bpf_insn []) { \
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = (n) }, \
	{ .code = BPF_JMP | BPF_EXIT } })

/* bpf(2) with these members of an attribute */
#define BPF(cmd, of, ...) \
	syscall(SYS_bpf, cmd, &(struct of##_attr) { __VA_ARGS__ }, sizeof(struct of##_attr), NULL, 0)

static int b_fd, differ, k_fd, t_fd;

static void check(int step, int want, const char *text, int ret)
{
	int got = ret < 0 ? errno : 0, bad = want >= 0 && got != want;

	dprintf(1, "%sok %d - %s # got %d, expected %d\n", bad ? "not " : "", step, text, got, want);
	differ |= bad;
}

static int bpf(int cmd, const void *attr, unsigned int size)
{
	return syscall(SYS_bpf, cmd, attr, size, NULL, 0);
}

static void set_caps(__u64 caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	syscall(SYS_capget, &head, data);
	data[0].effective = data[0].permitted & caps;
	data[1].effective = data[1].permitted & (caps >> 32);
	if (syscall(SYS_capset, &head, data))
		err(4, "capset");
}

/* Only root may delegate. */
static int configure(int fs, const char *const *opts)
{
	for (; *opts; opts += 2)
		if (syscall(SYS_fsconfig, fs, 1 /* FSCONFIG_SET_STRING */, opts[0], opts[1], 0))
			return -1;
	return syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0);
}

static int as_owner(void *arg)
{
	int mnt;

	(void)arg;
	if (setgroups(0, NULL) || setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000) ||
	    prctl(PR_SET_DUMPABLE, 1) ||
	    unshare(CLONE_NEWUSER | CLONE_NEWNS) ||
	    dprintf(open("/proc/self/setgroups", O_WRONLY), "deny") < 0 ||
	    dprintf(open("/proc/self/uid_map", O_WRONLY), "0 1000 1") < 0 ||
	    dprintf(open("/proc/self/gid_map", O_WRONLY), "0 1000 1") < 0)
		err(4, "make a user namespace");
	prctl(PR_SET_PDEATHSIG, SIGKILL);

	dup2(syscall(SYS_fsopen, "bpf", 0), FS);
	raise(SIGSTOP);	/* root goes on */
	mnt = syscall(SYS_fsmount, FS, 0, 0);
	b_fd = openat(mnt, ".", O_DIRECTORY);
	close(mnt);
	check(2, 0, "owner token_create bpffs=b -> t",
	      t_fd = BPF(BPF_TOKEN_CREATE, token_create, .bpffs_fd = b_fd));
	check(3, EPERM, "owner raw cmd=map_create u32@0=1 u32@4=4 u32@8=4 u32@12=1 fd@76=t",
	      bpf(BPF_MAP_CREATE, (__u32 [42]) { [0] = 1, [1] = 4, [2] = 4, [3] = 1, [19] = t_fd },
		  168));
	set_caps(0);
	check(4, EPERM,
	      "owner raw cmd=map_create u32@0=1 u32@4=4 u32@8=4 u32@12=1 u32@16=0x10000 fd@76=t caps=none",
	      bpf(BPF_MAP_CREATE,
		  (__u32 [42]) { [0] = 1, [1] = 4, [2] = 4, [3] = 1, [4] = 0x10000, [19] = t_fd },
		  168));
	set_caps(ALL_CAPS);
	check(5, EBADF,
	      "owner raw cmd=map_create u32@0=1 u32@4=4 u32@8=4 u32@12=1 u32@16=0x10000 fd@76=closed",
	      bpf(BPF_MAP_CREATE,
		  (__u32 [42]) { [0] = 1, [1] = 4, [2] = 4, [3] = 1, [4] = 0x10000, [19] = -1 },
		  168));
	check(6, EINVAL,
	      "owner raw cmd=map_create u32@0=1 u32@4=4 u32@8=4 u32@12=1 u32@16=0x10000 fd@76=b",
	      bpf(BPF_MAP_CREATE,
		  (__u32 [42]) { [0] = 1, [1] = 4, [2] = 4, [3] = 1, [4] = 0x10000, [19] = b_fd },
		  168));
	check(7, EINVAL,
	      "owner raw cmd=prog_load u32@0=1 u32@4=1 ptr@8=0xffffffffffffffff ptr@16=\"GPL\" u32@44=0x10000 fd@144=t",
	      bpf(BPF_PROG_LOAD,
		  (__u32 [42]) { [0] = 1, [1] = 1, WIDE(2, PTR("\377\377\377\377\377\377\377\377")), WIDE(4, PTR("GPL")), [11] = 0x10000, [36] = t_fd },
		  168));
	check(8, EINVAL, "owner raw cmd=0x7fff", bpf(32767, (__u32 [42]) { 0 }, 168));
	check(9, 0, "owner prog_load type=kprobe token=t -> k",
	      k_fd = BPF(BPF_PROG_LOAD, prog_load, .prog_type = BPF_PROG_TYPE_KPROBE, .insn_cnt = 2,
			 .insns = INSNS(0), .license = PTR("GPL"), .prog_flags = BPF_F_TOKEN_FD,
			 .prog_token_fd = t_fd));
	check(10, EBADF, "owner raw cmd=link_create fd@0=k fd@4=t u32@8=41",
	      bpf(BPF_LINK_CREATE, (__u32 [42]) { [0] = k_fd, [1] = t_fd, [2] = 41 }, 168));
	return differ;
}

int main(void)
{
	int none = BPF(BPF_TOKEN_CREATE, token_create, .bpffs_fd = -1);
	char stack[1 << 18];
	int status;
	char value;
	pid_t pid;

	if (none && errno != EBADF)
		errx(4, "no BPF_TOKEN_CREATE (Linux 6.9)");
	if (read(open(SYSCTL, O_RDONLY), &value, 1) != 1 || value != '2')
		errx(4, "kernel.unprivileged_bpf_disabled is not 2");
	dprintf(1, "TAP version 13\n1..10\n");

	pid = clone(as_owner, stack + sizeof(stack), CLONE_FILES | SIGCHLD, NULL);
	if (pid < 0)
		err(4, "clone");
	waitpid(pid, &status, WUNTRACED);	/* it has stopped */
	check(1, 0, "owner bpffs cmds=any maps=any progs=any attachs=any -> b",
	      configure(FS, OPTS("delegate_cmds", "any", "delegate_maps", "any",
				 "delegate_progs", "any", "delegate_attachs", "any")));
	kill(pid, SIGCONT);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) ?: differ : 1;
}
