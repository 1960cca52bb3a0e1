// SPDX-License-Identifier:
/*
 * xdp_device_bound
 *
 * A program that is bound to a device cannot be loaded with a token: its flag
 * is refused, before the device is looked at.
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

#define PTR(to)	((unsigned long)(to))
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

#define XDP_PROG \
	.prog_type = BPF_PROG_TYPE_XDP, .insn_cnt = 2, .insns = INSNS(2), .license = PTR("GPL"), \
	.expected_attach_type = BPF_XDP

static int b_fd, differ, t_fd;

static void check(int step, int want, const char *text, int ret)
{
	int got = ret < 0 ? errno : 0, bad = want >= 0 && got != want;

	dprintf(1, "%sok %d - %s # got %d, expected %d\n", bad ? "not " : "", step, text, got, want);
	differ |= bad;
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
	check(3, 0, "owner token_create bpffs=b -> t",
	      t_fd = BPF(BPF_TOKEN_CREATE, token_create, .bpffs_fd = b_fd));
	check(4, 0, "owner prog_load type=xdp attach=xdp token=t",
	      BPF(BPF_PROG_LOAD, prog_load, XDP_PROG, .prog_flags = BPF_F_TOKEN_FD,
		  .prog_token_fd = t_fd));
	check(5, EINVAL, "owner prog_load type=xdp attach=xdp ifindex=1 flags=0x40 token=t",
	      BPF(BPF_PROG_LOAD, prog_load, XDP_PROG, .prog_flags = 64 | BPF_F_TOKEN_FD,
		  .prog_ifindex = 1, .prog_token_fd = t_fd));
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
	dprintf(1, "TAP version 13\n1..5\n");

	check(1, EOPNOTSUPP, "root prog_load type=xdp attach=xdp ifindex=1 flags=0x40",
	      BPF(BPF_PROG_LOAD, prog_load, XDP_PROG, .prog_flags = 64, .prog_ifindex = 1));
	pid = clone(as_owner, stack + sizeof(stack), CLONE_FILES | SIGCHLD, NULL);
	if (pid < 0)
		err(4, "clone");
	waitpid(pid, &status, WUNTRACED);	/* it has stopped */
	check(2, 0, "owner bpffs cmds=any maps=any progs=any attachs=any -> b",
	      configure(FS, OPTS("delegate_cmds", "any", "delegate_maps", "any",
				 "delegate_progs", "any", "delegate_attachs", "any")));
	kill(pid, SIGCONT);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) ?: differ : 1;
}
