// SPDX-License-Identifier:
/*
 * known_emfile
 *
 * A token that fails because no descriptor is free leaks its inode; the
 * kernel reports it when the bpffs is freed.
 *
 * Expected are the answers of Linux 6.12. Run it as root. It exits with 0 if
 * each step gives the expected errno, 1 if one differs, and 4 if the steps
 * cannot be asked here. Nothing is left behind.
 *
 * A known defect since Linux 6.19: the machine is panicked, and the kernel's
 * log has: VFS: Busy inodes after unmount; kernel BUG at fs/super.c in
 * generic_shutdown_super
 *
 * A known defect since Linux 6.19: the machine is tainted, and the kernel's
 * log has: VFS: Busy inodes after unmount; WARNING in generic_shutdown_super
 * (fs/super.c)
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
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/bpf.h>

/* what old headers lack */
#define BPF_TOKEN_CREATE	36
#ifndef SYS_fsopen
#define SYS_fsopen	430
#define SYS_fsconfig	431
#define SYS_fsmount	432
#endif

/* parts of union bpf_attr */
struct map_create_attr {
	__u32 map_type, key_size, value_size, max_entries;
};

struct token_create_attr {
	__u32 flags, bpffs_fd;
};

#define SYSCTL	"/proc/sys/kernel/unprivileged_bpf_disabled"
#define FS	100	/* the file system context, in both processes */
#define OPTS(...)	((const char *[]) { __VA_ARGS__, NULL })

/* bpf(2) with these members of an attribute */
#define BPF(cmd, of, ...) \
	syscall(SYS_bpf, cmd, &(struct of##_attr) { __VA_ARGS__ }, sizeof(struct of##_attr), NULL, 0)

static int b_fd, differ;

static void check(int step, int want, const char *text, int ret)
{
	int got = ret < 0 ? errno : 0, bad = want >= 0 && got != want;

	dprintf(1, "%sok %d - %s # got %d, expected %d\n", bad ? "not " : "", step, text, got, want);
	differ |= bad;
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
		err(4, "set RLIMIT_NOFILE");
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
	few_files(1);
	check(2, EMFILE, "owner token_create bpffs=b no_fd=1",
	      BPF(BPF_TOKEN_CREATE, token_create, .bpffs_fd = b_fd));
	few_files(0);
	check(3, 0, "owner token_create bpffs=b",
	      BPF(BPF_TOKEN_CREATE, token_create, .bpffs_fd = b_fd));
	check(4, 0, "owner close b", close(b_fd));
	check(5, EPERM, "owner map_create type=hash",
	      BPF(BPF_MAP_CREATE, map_create, .map_type = BPF_MAP_TYPE_HASH, .key_size = 4,
		  .value_size = 4, .max_entries = 1));
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
