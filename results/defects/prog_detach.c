// SPDX-License-Identifier:
/*
 * BPF_PROG_DETACH from a cgroup asks for no capability
 *
 * root attaches a device program to a cgroup with BPF_PROG_ATTACH. Another user,
 * without a capability and without the program, opens the cgroup's directory
 * and detaches it. Run it as root. It exits with 0 if the kernel refuses that
 * with EPERM, 1 if it does not, and 4 if this cannot be asked here. Nothing is
 * left behind.
 *
 * The kernel needs CONFIG_CGROUP_BPF, and cgroup2 must be mountable.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/bpf.h>

#define GROUP	"/mnt/tokentest"

/* parts of union bpf_attr */
struct prog_load_attr {
	__u32 prog_type, insn_cnt;
	__aligned_u64 insns, license;
	__u32 log_level, log_size;
	__aligned_u64 log_buf;
	__u32 kern_version, prog_flags;
	char prog_name[16];
	__u32 prog_ifindex, expected_attach_type;
};

struct attach_attr {
	__u32 target_fd, attach_bpf_fd, attach_type, attach_flags;
};

static int differ;

static int check(int step, int ret, int want, const char *text)
{
	int got = ret < 0 ? errno : 0, bad = got != want;

	printf("%sok %d - %s # got %d, expected %d\n", bad ? "not " : "", step,
	       text, got, want);
	differ |= bad;
	return ret;
}

static int bpf(int cmd, const void *attr, unsigned int size)
{
	return syscall(SYS_bpf, cmd, attr, size, NULL, 0);
}

static int as_nobody(void)
{
	struct attach_attr attr = {
		.target_fd = open(GROUP, O_RDONLY | O_DIRECTORY),
		.attach_bpf_fd = 0,	/* no program */
		.attach_type = BPF_CGROUP_DEVICE,
	};

	check(2, bpf(BPF_PROG_DETACH, &attr, sizeof(attr)), EPERM,
	      "a user without capabilities detaches root's program");
	return differ;
}

int main(void)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 1 },	/* allow */
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct prog_load_attr load = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insn_cnt = 2,
		.insns = (unsigned long)insns,
		.license = (unsigned long)"GPL",
		.expected_attach_type = BPF_CGROUP_DEVICE,
	};
	struct attach_attr attach = { .attach_type = BPF_CGROUP_DEVICE };
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/mnt", "cgroup2", 0, NULL) || mkdir(GROUP, 0755))
		err(4, "make a cgroup");
	attach.target_fd = open(GROUP, O_RDONLY | O_DIRECTORY);
	attach.attach_bpf_fd = bpf(BPF_PROG_LOAD, &load, sizeof(load));
	if ((int)attach.attach_bpf_fd < 0)
		err(4, "load a program");
	printf("TAP version 13\n1..2\n");
	check(1, bpf(BPF_PROG_ATTACH, &attach, sizeof(attach)), 0,
	      "root attaches a program without flags");
	if (!fork()) {
		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			err(4, "setresuid");
		exit(as_nobody());
	}
	wait(&status);
	bpf(BPF_PROG_DETACH, &attach, sizeof(attach));	/* if it is still there */
	rmdir(GROUP);
	return WIFEXITED(status) ? WEXITSTATUS(status) ?: differ : 1;
}
