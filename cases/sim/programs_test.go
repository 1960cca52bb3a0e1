package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// controls make a program a case: every file needs them.
const controls = "about A program of a test.\ncontrol root map_create type=hash\ncontrol nobody btf_load => EPERM\n"

// parsed is a program's steps, with their text.
func parsed(t *testing.T, text string) (*step.Program, []step.Step, []cases.StepInfo) {
	t.Helper()
	corpus := &cases.Corpus{}
	if err := corpus.Add(t.Context(), "program.txt", controls+text); err != nil {
		t.Fatal(err)
	}
	c := corpus.Group("program").Cases[0]
	cell, info := c.Steps()
	return &c.World.Program, slices.Concat(c.World.Program.Setup, cell), slices.Concat(c.World.Info, info)
}

// shown is an expectation in words: the errno or ? and the rule, and what the step must show.
func shown(e sim.Expect) string {
	out := e.Verdict.Errno.String()
	if !e.Verdict.Known {
		out = "?"
	}
	out += " " + e.Verdict.ID
	if e.Values != nil {
		out += " " + strings.ReplaceAll(fmt.Sprintf("%#x", e.Values), "0xffffffffffffffff", "any")
	}
	if e.Text != "" {
		out += fmt.Sprintf(" %q", e.Text)
	}
	if e.AtMost != nil {
		out += fmt.Sprintf(" at most %d", e.AtMost)
	}
	if e.Among != nil {
		out += fmt.Sprintf(" among %d", e.Among)
	}
	return out
}

// programs are played on a kernel of a release. After # is what each step must show: the
// errno, or ? if the rules do not follow it, and the rule that decides. Kernels 6.12 and 7.3
// gave these results.
var programs = []struct{ name, release, text string }{
	{"a range of ids", "6.12", `
actor owner userns uid=1000+10
actor user joins owner uid=3
actor one userns uid=1000
owner bpffs cmds=any maps=any mode=755 uid=1000 -> b # ok bpffs/allowed
owner bpffs cmds=any uid=1009 # ok bpffs/allowed
owner bpffs cmds=any uid=1010 # EINVAL bpffs/unmapped-id
one bpffs cmds=any uid=1001 # EINVAL bpffs/unmapped-id
owner token_create bpffs=b -> t # ok token_create/allowed [any any 0x0 0x0]
owner send b user # ok send
owner send t user # ok send
user stat b # ok stat "mode=1755 uid=0 gid=0"
user map_create type=hash token=t -> m # ok map_create/allowed
user pin m in=b name=x caps=none # EACCES pin/write
user pin m in=b name=x # ok pin/allowed
owner get_pinned in=b name=x caps=none # EACCES get_pinned/file
owner get_pinned in=b name=x uid=3 caps=none # ok get_pinned/allowed
user get_pinned in=b name=x uid=4 caps=none # EACCES get_pinned/file
owner mkdir in=b name=d uid=2 # ok mkdir/allowed
owner open of=b path=d -> d # ok open/allowed
owner stat d # ok stat "mode=755 uid=2 gid=2"
`},
	{"mount namespaces", "6.12", `
actor before userns uid=1000 mounts=before
actor without userns uid=1000 mounts=parent
actor peer joins before
actor below userns in without
actor deep userns in without mounts=parent
before fsopen # EPERM fsopen/may-mount
peer fsopen # EPERM fsopen/may-mount
without fsopen # EPERM fsopen/may-mount
deep fsopen # EPERM fsopen/may-mount
below fsopen # ok fsopen/allowed
without mount at=/mnt/a # EPERM mount/may-mount
`},
	{"read-only mounts", "6.12", `
actor owner userns uid=1000
owner bpffs cmds=any maps=any at=/run/x -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any any 0x0 0x0]
owner map_create type=hash token=t -> m # ok map_create/allowed
owner pin m in=b name=x # ok pin/allowed
owner bind from=/run/x at=/mnt/a ro=1 # ok bind/allowed
owner open at=/mnt/a -> r # ok open/allowed
owner token_create bpffs=r # ok token_create/allowed [any any 0x0 0x0]
owner pin m in=r name=y # EROFS pin/read-only
owner pin m in=r name=x # EEXIST pin/taken
owner mkdir in=r name=y # EROFS mkdir/read-only
owner chmod r mode=0 # EROFS chmod/read-only
owner pin m in=b name=y # ok pin/allowed
owner bind from=/mnt/a at=/mnt/b # ok bind/allowed
owner open at=/mnt/b -> k # ok open/allowed
owner mkdir in=k name=z # EROFS mkdir/read-only
`},
	{"what no rule follows", "6.12", `
actor owner userns uid=1000
owner netns -> n # ok netns
owner map_create type=hash token=n # EINVAL map_create/token-not-a-token
owner raw cmd=map_create u32@0=1 # ? raw/not-modelled
owner raw cmd=map_create u32@0=1 -> r # ? raw/not-modelled
owner element r update # ? element/not-modelled
owner call cmd=link_create token=n token_at=8 # ? call/not-modelled
owner run true # ok run
owner run code=? out=x echo x # ok run
`},
	{"delegation", "6.12", `
actor owner userns uid=1000
actor peer joins owner caps=none
owner bpffs -> none # ok bpffs/allowed
owner token_create bpffs=none # ENOENT token_create/nothing-delegated
owner bpffs cmds=bogus # EINVAL bpffs/malformed
owner bpffs cmds=0x10000000000000000 # ERANGE bpffs/malformed
owner bpffs cmds=map_create maps=hash:array -> b # ok bpffs/allowed
owner token_create bpffs=b flags=1 # EINVAL token_create/flags
owner token_create bpffs=closed # EBADF token_create/bad-fd
owner token_create bpffs=b caps=none # EPERM token_create/no-cap-bpf
owner token_create bpffs=b no_fd=1 # EMFILE token_create/no-fd-late
owner token_create bpffs=b -> t # ok token_create/allowed [0x1 0x6 0x0 0x0]
owner token_create bpffs=t # EINVAL token_create/not-root
root token_create bpffs=b # EBADF token_create/bad-fd
owner send b root # ok send
root token_create bpffs=b # EPERM token_create/foreign-userns
owner fdinfo t # ok fdinfo [0x1 0x6 0x0 0x0]
owner fdinfo b # ? fdinfo/not-modelled
owner fdinfo closed # ? fdinfo/not-modelled
owner token_info t # EINVAL token_info/no-info
owner map_create type=hash token=t # ok map_create/allowed
owner map_create type=hash token_fd=t # EPERM map_create/unprivileged-disabled
owner map_create type=hash token=closed # EBADF map_create/token-bad-fd
owner map_create type=hash token=b # EINVAL map_create/token-not-a-token
owner map_create type=queue token=t # EPERM map_create/unprivileged-disabled
owner map_create type=stack_trace token=t # EPERM map_create/unprivileged-disabled
owner send t peer # ok send
peer map_create type=hash token=t # EPERM map_create/unprivileged-disabled
peer map_create type=hash token=t caps=none # EPERM map_create/unprivileged-disabled
owner close t # ok close
owner map_create type=hash token=t # EBADF map_create/token-bad-fd
owner close t # EBADF close
`},
	{"requests", "7.3", `
actor owner userns uid=1000
owner bpffs cmds=any maps=any progs=any attachs=any -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any any any any]
owner map_create type=hash token=t key=0 # EINVAL map_create/alloc-sizes
owner map_create type=hash token=t value=0x80000000 # E2BIG map_create/alloc-too-big
owner map_create type=hash token=t max=0 # EINVAL map_create/alloc-sizes
owner map_create type=hash token=t flags=0x40 # EPERM map_create/zero-seed
owner map_create type=hash token=t flags=0x80000000 # EINVAL map_create/alloc-flags
owner map_create type=hash token=t numa=1000 flags=4 # EINVAL map_create/numa-node
owner map_create type=hash token=t extra=1 # EINVAL map_create/map-extra
owner map_create type=hash token=t ifindex=1000 # EPERM map_create/offload-privileged
owner map_create type=hash token=t name=a-b # EINVAL map_create/bad-name
owner map_create type=hash token=t name=a_b # ok map_create/allowed
owner map_create type=hash token=t btf_value=1 # EINVAL map_create/btf-none
owner map_create type=hash_of_maps token=t inner=closed # EBADF map_create/inner-fd
owner map_create type=sk_storage token=t btf=closed # EBADF map_create/btf-closed
owner map_create type=struct_ops token=t value=8 # EINVAL map_create/alloc-late
owner map_create type=hash token=t attr=tail # EINVAL map_create/attr-tail
owner map_create type=hash token=t attr=beyond # E2BIG map_create/attr-too-long
owner map_create type=hash token=t attr=huge # E2BIG map_create/attr-too-long
owner map_create type=hash token=t attr=unreadable # EFAULT map_create/attr-unreadable
owner map_create type=hash token=t no_fd=1 # EMFILE map_create/no-fd
owner map_create type=99 token=t # EINVAL map_create/bad-type
owner map_create type=hash flags=0x10000 # EINVAL map_create/token-not-a-token
owner btf_load token=t junk=1 # EINVAL btf_load/junk
owner btf_load token=t log=16 # EINVAL btf_load/log
owner btf_load token=t flags=1 # EINVAL btf_load/flags
owner btf_load token=t attr=beyond # E2BIG btf_load/attr-too-long
owner btf_load token=t no_fd=1 # EMFILE btf_load/no-fd
owner btf_load token=t lock=1 -> l # ok btf_load/allowed
owner map_create type=hash token=t btf=l btf_key=1 btf_value=3 key=4 value=4 # ok map_create/allowed
owner map_create type=hash token=t btf=l btf_key=1 btf_value=9 key=4 value=4 # EINVAL map_create/btf-sizes
owner btf_load token=t -> f # ok btf_load/allowed
owner map_create type=hash token=t btf=f btf_key=1 btf_value=1 # ok map_create/allowed
owner map_create type=hash token=t btf=t # ok map_create/allowed
owner btf_load # EPERM btf_load/no-cap-bpf
owner prog_load type=xdp attach=xdp token=t # ok prog_load/allowed
owner prog_load type=xdp attach=cgroup_device token=t # ok prog_load/allowed
owner prog_load type=200 token=t # EPERM prog_load/unprivileged-disabled
owner prog_load type=xdp attach=xdp token=closed # EBADF prog_load/token-bad-fd
owner prog_load type=xdp attach=xdp token=t insns=0 # E2BIG prog_load/insn-count
owner prog_load type=xdp attach=xdp token=t insns=1000001 # E2BIG prog_load/insn-count
owner prog_load type=xdp attach=xdp token=t flags=0x100 # EINVAL prog_load/flags
owner prog_load type=xdp attach=xdp token=t attr=insns # EFAULT prog_load/insns-unreadable
owner prog_load type=xdp attach=xdp token=t log=16 # EINVAL prog_load/log
owner prog_load type=xdp attach=xdp token=t ifindex=1000 # EINVAL prog_load/offload-flags
owner prog_load type=xdp attach=xdp token=t attach_fd=closed # EINVAL prog_load/attach-fd
owner prog_load type=xdp attach=xdp token=t attach_btf_id=1 # EINVAL prog_load/attach-btf-id
owner prog_load type=xdp attach=xdp token=t map=closed # EBADF prog_load/map-bad-fd
owner prog_load type=xdp attach=xdp token=t map=t # EINVAL prog_load/map-no-map
owner map_create type=array token=t -> m # ok map_create/allowed
owner prog_load type=xdp attach=xdp token=t map=m # ok prog_load/allowed
owner prog_load type=xdp attach=xdp token=t prog=jiffies64 # ok prog_load/allowed
owner prog_load type=xdp attach=xdp token=t prog=jiffies64 caps=CAP_NET_ADMIN # EPERM prog_load/unprivileged-disabled
owner prog_load type=xdp attach=xdp token=t no_fd=1 # EMFILE prog_load/no-fd
owner prog_load type=lsm attach=lsm_mac token=t # ok prog_load/allowed
owner prog_load type=ext token=t # ok prog_load/allowed
owner prog_load type=xdp attach=xdp # EPERM prog_load/unprivileged-disabled
`},
	{"verifier", "6.12", `
actor owner userns uid=1000
root sysctl unprivileged_bpf_disabled=0 # ok sysctl/allowed
owner bpffs cmds=any maps=any progs=any attachs=any -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any any any any]
owner prog_load type=socket_filter token=t prog=jiffies64 caps=none # EINVAL prog_load/helper-bpf
owner prog_load type=socket_filter token=t prog=jiffies64 caps=CAP_BPF # ok prog_load/allowed
owner prog_load type=socket_filter token=t prog=get_current_task caps=CAP_BPF # EINVAL prog_load/helper-perfmon
owner prog_load type=socket_filter token=t prog=get_current_task caps=CAP_BPF+CAP_PERFMON # ok prog_load/allowed
owner prog_load type=socket_filter token=t prog=return_ctx caps=CAP_BPF # EACCES prog_load/pointer-leak
owner prog_load type=socket_filter token=t prog=return_ctx caps=CAP_PERFMON # ok prog_load/allowed
owner prog_load type=socket_filter token=t prog=uninit_stack caps=none # EACCES prog_load/uninit-stack
owner prog_load type=socket_filter token=t prog=var_stack caps=none # EACCES prog_load/variable-stack
owner prog_load type=socket_filter token=t prog=subprog caps=none # EPERM prog_load/subprog
owner prog_load type=kprobe token=t prog=probe_write_user # EINVAL prog_load/helper-sys-admin-initial
root prog_load type=kprobe prog=probe_write_user # ok prog_load/allowed
root prog_load type=socket_filter prog=spill -> p # ok prog_load/allowed
root barriers p # ok barriers "0 barriers"
root barriers p caps=none # ? barriers/not-modelled
owner barriers p # ? barriers/not-modelled
`},
	{"contexts", "6.12", `
actor owner userns uid=1000
owner fsopen -> c # ok fsopen/allowed
owner fsmount c # EINVAL fsmount/nothing-created
owner fsconfig c cmds=any # EPERM fsconfig/set-unprivileged
owner fsconfig c mode=0700 uid=0 # ok fsconfig/allowed
owner fsconfig c mode=nine # EINVAL fsconfig/malformed
owner fsconfig c flag=cmds # ok fsconfig/allowed
owner fsconfig c unknown=1 # ok fsconfig/allowed
owner fscreate c # EPERM fscreate/fill-super
owner send c root # ok send
root fsconfig c cmds=map_create # EBUSY fsconfig/phase
root fscreate c # EBUSY fscreate/phase
root fsopen -> d # ok fsopen/allowed
root fscreate d caps=none # EPERM fscreate/mount-capable
root fscreate d # ok fscreate/allowed
root fsmount d -> m # ok fsmount/allowed
root fsconfig d cmds=any # ok fsconfig/allowed
root fsmount d # EBUSY fsmount/phase
root move_mount m at=/mnt/a # ok move_mount/allowed
root mountinfo at=/mnt/a # ok mountinfo "rw"
root mountinfo at=/mnt/c # ? mountinfo/not-modelled
root fspick at=/mnt/c # EINVAL fspick/nothing-mounted
root fspick at=/mnt/a -> p # ok fspick/allowed
root fsconfig p maps=any # ok fsconfig/allowed
root fsmount p # EBUSY fsmount/phase
root fsreconfigure p # ok fsreconfigure/allowed
owner fsreconfigure closed # EBADF fsreconfigure/bad-fd
owner fsconfig closed cmds=any # EBADF fsconfig/bad-fd
root fsreconfigure m # EBADF fsreconfigure/bad-fd
root mountinfo at=/mnt/a # ok mountinfo "rw"
owner fsopen caps=none # EPERM fsopen/may-mount
owner mount at=/mnt/b # EPERM mount/fill-super
owner mount at=/mnt/b cmds=bogus # EINVAL mount/malformed
owner mount at=/mnt/b cmds=any # EPERM mount/set-unprivileged
root mount at=/mnt/b cmds=any maps=hash uid=5 gid=6 mode=0750 # ok mount/allowed
root mountinfo at=/mnt/b # ok mountinfo "rw,uid=5,gid=6,mode=750,delegate_cmds=any,delegate_maps=hash"
root remount at=/mnt/b maps=any # ok remount/allowed
root remount at=/mnt/c # EINVAL remount/nothing-mounted
root mountinfo at=/mnt/b # ok mountinfo "rw,uid=5,gid=6,mode=750,delegate_cmds=any,delegate_maps=hash"
root umount at=/mnt/b # ok umount/allowed
root umount at=/mnt/b # EINVAL umount/nothing-mounted
`},
	{"read-only mounts and files", "7.3", `
actor owner userns uid=1000
actor peer userns uid=1000
owner bpffs cmds=any maps=any at=/mnt/a -> b # ok bpffs/allowed
owner token_create bpffs=b umask=0277 -> t # ok token_create/allowed [any any 0x0 0x0]
owner stat t # ok stat "mode=400 uid=0 gid=0"
owner chmod t mode=0 # ok chmod/allowed
owner file t watch # ok file/allowed
owner file t watch caps=none # EACCES file/unreadable
owner file t read # EINVAL file/no-read
owner file b read # ? file/not-modelled
owner proc_fdinfo t from=owner # ok proc_fdinfo/allowed [any any 0x0 0x0]
peer proc_fdinfo t from=owner # EACCES proc_fdinfo/ptrace
owner mount_attr b readonly=1 # ok mount_attr/allowed
owner chmod t mode=600 # EROFS chmod/read-only
owner mkdir in=b name=d # EROFS mkdir/read-only
owner bind of=b at=/mnt/b # ok bind/allowed
owner open at=/mnt/b -> c # ok open/allowed
owner mkdir in=c name=d # EROFS mkdir/read-only
owner remount at=/mnt/b # ok remount/allowed
owner mkdir in=c name=d # ok mkdir/allowed
owner clone_mount of=c -> m # ok clone_mount/allowed
owner mount_attr m readonly=1 # ok mount_attr/allowed
owner clone_mount of=t # EINVAL clone_mount/pseudo
owner send b peer # ok send
peer mount_attr b readonly=0 # EINVAL mount_attr/not-here
peer clone_mount of=b # EINVAL clone_mount/not-here
owner mount_attr b readonly=0 # ok mount_attr/allowed
owner xattr b get security # ENODATA xattr/no-value
owner xattr b set security # ok xattr/allowed
owner xattr b get security # ok xattr/allowed
owner xattr t get security # ENODATA xattr/no-value
owner xattr b set trusted # EPERM xattr/trusted-set
root file_max value=8 # ok file_max
owner token_create bpffs=b # ENFILE token_create/no-file
root file_max value=0 # ok file_max
owner token_create bpffs=b # ok token_create/allowed [any any 0x0 0x0]
`},
	{"domains of SELinux", "7.3", `
actor owner userns uid=1000
owner bpffs cmds=any maps=any -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any any 0x0 0x0]
owner map_create type=hash token=t -> m # ok map_create/allowed
root selinux permissive # ok selinux
owner map_create type=hash token=t selinux=no_map_create # ok map_create/allowed
root selinux enforcing # ok selinux
owner map_create type=hash token=t selinux=no_map_create # EACCES map_create/selinux-bpf
owner map_create type=hash token=t selinux=no_map_grant # EACCES map_create/selinux-create
owner map_create type=queue token=t selinux=no_bpf # EPERM map_create/unprivileged-disabled
owner token_create bpffs=b selinux=no_prog_load_as # EACCES token_create/selinux-prog-load-as
owner pidfd_getfd m from=owner selinux=no_map_read # EACCES pidfd_getfd/selinux-object
root selinux enforcing token_perms=1 # ok selinux
owner map_create type=hash token=t selinux=no_map_create # ok map_create/allowed
root map_create type=hash selinux=no_map_create # EACCES map_create/selinux-create
`},
	{"calls that were drawn", "6.12", `
actor owner userns uid=1000
actor low userns uid=0+2
actor second joins low uid=1
owner bpffs cmds=any progs=any attachs=any at=/mnt/a -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any 0x0 any any]
owner prog_load type=xdp attach=xdp token=t -> x # ok prog_load/allowed
owner token_info x len=32 # ok token_info/allowed
owner token_info x len=33 # ? token_info/length-not-modelled
owner prog_load type=xdp attach=xdp sign=64 token=t # E2BIG prog_load/attr-too-long
owner prog_load type=xdp attach=xdp sign=64 attr=unreadable token=t # EFAULT prog_load/attr-unreadable
owner prog_load type=xdp attach=xdp sign=64 attr=huge token=t # E2BIG prog_load/attr-too-long
second call cmd=obj_get on=private # ok obj_get/allowed
second call cmd=obj_get on=private caps=none # EACCES obj_get/no-permission
owner call cmd=obj_get on=private # EACCES obj_get/no-permission
owner open at=/mnt/a how=path -> d # ok open/allowed
owner chmod d mode=0700 # EBADF chmod/bad-fd
owner chmod d mode=0700 name=none # ? chmod/not-modelled
owner chmod closed mode=0700 name=none # EBADF chmod/bad-fd
`},
	{"what a link tells", "7.3", `
actor owner userns uid=1000
owner bpffs cmds=any progs=any attachs=any -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any 0x0 any any]
owner prog_load type=xdp attach=xdp token=t -> x # ok prog_load/allowed
owner prog_load type=kprobe attach=trace_kprobe_multi token=t -> p # ok prog_load/allowed
owner attach_link x to=xdp -> l # ok link_create/allowed
owner attach_link p to=kprobe_multi -> m # ok link_create/allowed
owner link_info l # ok link_info/allowed "type 6, program shown, addresses none"
owner link_info m caps=none # ok link_info/allowed "type 8, program shown, addresses shown"
owner link_info x # ? link_info/not-modelled
owner link_info closed # EBADFD link_info/bad-fd
owner query_event # EPERM query_event/no-cap-perfmon
root query_event # ok query_event/allowed
`},
	{"mounts", "7.3", `
actor owner userns uid=1000
actor peer joins owner
owner bpffs cmds=any at=/mnt/a -> b # ok bpffs/allowed
owner bind from=/mnt/a at=/mnt/b # ok bind/allowed
owner bind from=/mnt/a at=/mnt/c caps=none # EPERM bind/may-mount
peer mountinfo at=/mnt/b # ok mountinfo "rw,uid=1000,gid=1000,delegate_cmds=any"
root mountinfo at=/mnt/b # ? mountinfo/not-modelled
owner umount at=/mnt/a # EBUSY umount/busy
owner umount at=/mnt/a lazy=1 # ok umount/allowed
owner umount at=/mnt/a # EINVAL umount/nothing-mounted
owner clone_mount at=/mnt/b -> m # ok clone_mount/allowed
owner clone_mount at=/mnt/d # ? clone_mount/not-modelled
owner move_mount m at=/mnt/c # ok move_mount/allowed
owner move_mount closed at=/mnt/c # EBADF move_mount/bad-fd
owner share at=/mnt/b # ok share/allowed
owner share at=/mnt/d # EINVAL share/nothing-mounted
owner bind from=/mnt/b at=/mnt/d # ok bind/allowed
owner bpffs maps=any at=/mnt/b # ok bpffs/allowed
owner mountinfo at=/mnt/d # ok mountinfo "rw,uid=1000,gid=1000,delegate_maps=any"
owner umount at=/mnt/b # ok umount/allowed
owner mountinfo at=/mnt/d # ok mountinfo "rw,uid=1000,gid=1000,delegate_cmds=any"
owner open at=/mnt/b -> o # ok open/allowed
owner open at=/mnt/b how=path -> q # ok open/allowed
owner open at=/tmp -> f # ok open/allowed
owner token_create bpffs=o # ok token_create/allowed [any 0x0 0x0 0x0]
owner token_create bpffs=q # EBADF token_create/bad-fd
owner token_create bpffs=f # EINVAL token_create/not-root
owner token_create bpffs=m # EBADF token_create/bad-fd
owner umount at=/mnt/b # EBUSY umount/busy
owner close o # ok close
owner close q # ok close
owner umount at=/mnt/b # ok umount/allowed
owner umount at=/mnt/d caps=none # EPERM umount/may-mount
`},
	{"names", "6.12", `
actor owner userns uid=1000
actor plain joins owner caps=none
owner bpffs cmds=any maps=any mode=0700 -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any any 0x0 0x0]
owner map_create type=hash token=t -> m # ok map_create/allowed
owner send b plain # ok send
owner send m plain # ok send
owner mkdir in=b name=d # ok mkdir/allowed
owner mkdir in=b name=d # EEXIST mkdir/taken
owner mkdir in=closed name=x # EBADF mkdir/bad-dir-fd
owner mkdir in=m name=x # ENOTDIR mkdir/no-directory
owner pin m in=b name=pin # ok pin/allowed
owner pin m in=b name=pin # EEXIST pin/taken
owner pin t in=b name=x # EINVAL pin/no-object
owner pin closed in=b name=x # EINVAL pin/no-object
owner link t in=b name=x # ENOENT link/no-link
owner link m in=b name=x # ? link/not-modelled
owner get_pinned in=b name=pin -> g # ok get_pinned/allowed
owner get_pinned in=b name=none # ENOENT get_pinned/no-name
owner get_pinned in=b name=d # EACCES get_pinned/no-object
owner get_pinned in=closed name=pin # EBADF get_pinned/bad-dir-fd
plain get_pinned in=b name=pin # ok get_pinned/allowed
owner open of=b path=d # ok open/allowed
owner open of=b path=none # ENOENT open/no-name
owner open of=m # ENOTDIR open/no-directory
owner open of=closed # EBADF open/bad-fd
owner chmod b mode=0500 # ok chmod/allowed
owner stat b # ok stat "mode=500 uid=0 gid=0"
owner mkdir in=b name=y caps=none # EACCES mkdir/write
owner chmod m mode=0500 # ? chmod/not-modelled
owner chmod closed mode=0500 # EBADF chmod/bad-fd
owner stat m # ? stat/not-modelled
owner stat closed # ? stat/not-modelled
root get_pinned in=closed name=x # EBADF get_pinned/bad-dir-fd
`},
	{"descriptors", "6.12", `
actor owner userns uid=1000
actor child child owner
actor other userns uid=2000
actor same init uid=1000
owner bpffs cmds=any maps=any -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any any 0x0 0x0]
owner dup t -> d # ok dup/allowed
owner dup closed # EBADF dup/bad-fd
owner cloexec closed 1 # EBADF dup/bad-fd
owner cloexec d 0 # ok dup/allowed
owner userns -> n # ok userns
owner setns n # EINVAL setns/same
owner setns t # EINVAL setns/no-namespace
owner setns closed # EBADF setns/bad-fd
owner fork child # ok fork
child map_create type=hash token=d # ok map_create/allowed
child map_create type=hash token=t # EBADF map_create/token-bad-fd
owner send n other # ok send
owner send n same # ok send
owner send n root # ok send
other setns n # EPERM setns/no-cap
same setns n # ok setns/allowed
root setns n # ok setns/allowed
root setns n caps=none # EPERM setns/no-cap
root map_create type=hash inside=n # EPERM map_create/unprivileged-disabled
same token_create bpffs=b inside=n # EBADF token_create/bad-fd
same pidfd_getfd t from=owner -> s # ok pidfd_getfd/allowed
same map_create type=hash token=s # ok map_create/allowed
other pidfd_getfd t from=owner # EPERM pidfd_getfd/ptrace
other proc_open t from=owner # EACCES proc_open/search
same proc_open t from=owner -> o # ok proc_open/allowed
same map_create type=hash token=o # EBADF map_create/token-bad-fd
same pidfd_getfd closed from=owner # EBADF pidfd_getfd/bad-fd
owner exec # ok exec
owner map_create type=hash token=t # EBADF map_create/token-bad-fd
owner map_create type=hash token=d # ok map_create/allowed
same pidfd_getfd d from=other # EPERM pidfd_getfd/ptrace
owner exit # ok exit
`},
	{"nested", "6.12", `
actor outer userns uid=1000
actor inner userns in outer
outer bpffs cmds=any maps=any -> b # ok bpffs/allowed
outer token_create bpffs=b -> t # ok token_create/allowed [any any 0x0 0x0]
inner bpffs cmds=any maps=any -> c # ok bpffs/allowed
inner token_create bpffs=c -> u # ok token_create/allowed [any any 0x0 0x0]
outer send t inner # ok send
inner send u outer # ok send
inner map_create type=stack_trace token=t # EPERM map_create/unprivileged-disabled
outer map_create type=stack_trace token=u # ok map_create/allowed
inner map_create type=stack_trace token=u # ok map_create/allowed
`},
	{"sysctl", "6.12", `
actor owner userns uid=1000
nobody map_create type=hash # EPERM map_create/unprivileged-disabled
root sysctl unprivileged_bpf_disabled=0 # ok sysctl/allowed
nobody map_create type=hash # ok map_create/allowed
nobody map_create type=queue # EPERM map_create/no-cap-bpf
nobody prog_load type=socket_filter # ok prog_load/allowed
nobody prog_load type=xdp # EPERM prog_load/no-cap-bpf
root sysctl unprivileged_bpf_disabled=1 # ok sysctl/allowed
nobody map_create type=hash # EPERM map_create/unprivileged-disabled
root sysctl unprivileged_bpf_disabled=0 # EPERM sysctl/locked
`},
	{"calls", "7.3", `
actor owner userns uid=1000
owner bpffs cmds=any maps=any progs=any attachs=any -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any any any any]
root call cmd=map_lookup_elem # ok map_lookup_elem/allowed
owner call cmd=map_lookup_elem # ok map_lookup_elem/allowed
root call cmd=map_freeze # EBUSY map_freeze/mapped
root call cmd=prog_get_next_id # ok prog_get_next_id/allowed
owner call cmd=prog_get_next_id # EPERM prog_get_next_id/no-cap-sys-admin
owner call cmd=prog_get_next_id token=t # EINVAL prog_get_next_id/attr
owner call cmd=btf_get_fd_by_id token=t # ok btf_get_fd_by_id/allowed
owner call cmd=btf_get_fd_by_id token=closed # EBADF btf_get_fd_by_id/token-bad-fd
owner call cmd=btf_get_fd_by_id # EPERM btf_get_fd_by_id/no-cap-sys-admin
root call cmd=map_get_fd_by_id id=0x7fffffff # ENOENT map_get_fd_by_id/no-such-id
root call cmd=obj_get on=private # ok obj_get/allowed
owner call cmd=obj_get on=private # EACCES obj_get/no-permission
root call cmd=prog_detach on=tcx # ENOENT prog_detach/nothing-attached
owner call cmd=prog_detach on=tcx # EPERM prog_detach/no-cap-net-admin
root call cmd=link_create on=cgroup_skb # ok link_create/allowed
owner prog_load type=cgroup_skb token=t -> p # ok prog_load/allowed
owner call cmd=link_create prog=p # ok link_create/allowed
owner call cmd=prog_attach prog=p # ok prog_attach/allowed
owner call cmd=link_create prog=closed # EBADF link_create/prog-bad-fd
owner call cmd=map_lookup_elem attr=beyond # E2BIG call/attr-too-long
root call cmd=map_lookup_elem common=empty # ok map_lookup_elem/allowed
root call cmd=enable_stats caps=CAP_BPF # EPERM enable_stats/no-cap-sys-admin
`},
	{"lsm", "6.12", `
actor owner userns uid=1000
owner bpffs cmds=any maps=any progs=any attachs=any -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any any any any]
root lsm hook=bpf_map_create of=owner errno=EACCES -> l # ok lsm/allowed
owner map_create type=hash token=t # EACCES map_create/lsm
root lsm_ran l # ok lsm_ran/allowed
root map_create type=hash # ok map_create/allowed
root lsm_off l # ok lsm_off
root lsm_ran l # ENODATA lsm_ran/never
owner map_create type=hash token=t # ok map_create/allowed
root lsm hook=bpf of=owner errno=ENOSPC cmd=prog_load -> k # ok lsm/allowed
owner prog_load type=xdp attach=xdp token=t # ENOSPC prog_load/lsm-bpf
owner map_create type=hash token=t # ok map_create/allowed
root lsm_off k # ok lsm_off
root lsm hook=bpf_token_create of=owner errno=EBUSY cmds=0 -> c # ok lsm/allowed
owner token_create bpffs=b # ok token_create/allowed [any any any any]
root lsm_off c # ok lsm_off
root lsm hook=bpf_token_cmd of=owner errno=EACCES cmd=map_create -> d # ok lsm/allowed
owner map_create type=hash token=t # EPERM map_create/unprivileged-disabled
owner btf_load token=t # ok btf_load/allowed
root lsm_off d # ok lsm_off
root lsm hook=bpf_token_capable of=owner errno=EACCES cap=CAP_BPF -> e # ok lsm/allowed
owner map_create type=stack_trace token=t # EPERM map_create/unprivileged-disabled
owner map_create type=hash token=t # EPERM map_create/unprivileged-disabled
root lsm_off e # ok lsm_off
root lsm hook=bpf_prog_load of=owner errno=EACCES token=0 -> g # ok lsm/allowed
owner prog_load type=xdp attach=xdp token=t # EACCES prog_load/lsm
root lsm_ran g # ok lsm_ran/allowed
root lsm hook=bpf of=owner errno=ok -> h # ok lsm/allowed
owner map_create type=hash token=t # ok map_create/allowed
root lsm_ran h # ok lsm_ran/allowed
root lsm hook=bpf of=owner errno=EACCES kernel=1 # EACCES lsm/no-kernel-argument
`},
	{"objects", "6.12", `
actor owner userns uid=1000
owner bpffs cmds=any maps=any progs=any attachs=any at=/mnt/a -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any any any any]
owner map_create type=hash token=t -> m # ok map_create/allowed
owner element m update # ok element/allowed
owner element m lookup # ok element/allowed
owner element m delete # ok element/allowed
owner element closed update # EBADF element/bad-fd
owner element t update # EINVAL element/no-map
owner map_create type=array token=t -> a # ok map_create/allowed
owner element a delete # EINVAL element/array-delete
owner map_create type=queue token=t -> q # ok map_create/allowed
owner element q update # ? element/not-modelled
nobody consume ring # ok prog_test_run/allowed
root consume ring # ok prog_test_run/allowed
root consume perf # ok prog_test_run/allowed
owner consume perf # ok prog_test_run/allowed
root prog_load type=socket_filter name=main -> p # ok prog_load/allowed
root kallsyms name=main # ok kallsyms/allowed
root kallsyms name=other # ENOENT kallsyms/no-program
root close p # ok close
root kallsyms name=main # ENOENT kallsyms/no-program
owner prog_load type=xdp attach=xdp token=t name=sub prog=subprog -> s # ok prog_load/allowed
root kallsyms name=sub # ok kallsyms/allowed
root kallsyms name=F # ENOENT kallsyms/sub-no-cap-bpf
owner library make=queue # ok library/allowed
owner library make=btf # ok library/allowed
owner library make=prog # ok library/allowed
owner library make=freplace # ok library/allowed
owner library make=queue caps=none # EPERM map_create/unprivileged-disabled
nobody library make=queue # EPERM map_create/unprivileged-disabled
owner umount at=/mnt/a lazy=1 # ok umount/allowed
owner library make=queue # EPERM map_create/unprivileged-disabled
`},
	{"limits", "6.12", `
actor owner userns uid=1000
owner bpffs cmds=any maps=any at=/mnt/a -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any any 0x0 0x0]
root memory owner max=0x1000000 # ok memory
owner map_create type=array value=16384 max=4096 token=t # ENOMEM map_create/no-memory
owner map_create type=array value=4 max=1 token=t # ok map_create/allowed
root memory owner max=0x10000000 # ok memory
owner map_create type=array value=16384 max=4096 token=t # ok map_create/allowed
owner map_create type=hash token=t memlock=0 # ok map_create/allowed
root map_create type=hash kernel=1 # ok map_create/allowed
nobody map_create type=hash kernel=1 # EPERM map_create/unprivileged-disabled
owner churn bpffs=b times=100 slack=100 # ok churn at most [100]
root namespaces times=10 slack=5 # ok namespaces
owner race create_umount times=2 bpffs=b at=/mnt/a # ok race among [0 9]
owner race use_close times=2 token=t # ok race among [0 9]
owner race delegate_exit times=2 # ok race among [0]
`},
	{"before tokens", "6.1", `
actor owner userns uid=1000
owner bpffs cmds=any -> c # ? bpffs/userns-not-modelled
root bpffs cmds=any -> b # ok bpffs/unknown-option
root send b owner # ok send
owner token_create bpffs=b -> t # EINVAL token_create/unknown
owner map_create type=hash token=t # ? map_create/before-tokens
owner btf_load token=t # EINVAL btf_load/flag-unknown
root token_create bpffs=b # EINVAL token_create/unknown
root call cmd=btf_get_fd_by_id token=t # ? call/before-tokens
root map_create type=hash # ? map_create/before-tokens
`},
	{"memlock", "5.10", `
root map_create type=hash memlock=0 # ? map_create/before-tokens
nobody map_create type=hash memlock=0 # ? map_create/before-tokens
root map_create type=hash # ? map_create/before-tokens
`},
	{"propagation", "6.12", `
actor owner userns uid=1000
owner bpffs cmds=any at=/mnt/a -> b # ok bpffs/allowed
owner share at=/mnt/a # ok share/allowed
owner bind from=/mnt/a at=/mnt/b # ok bind/allowed
owner bpffs maps=any at=/mnt/a # ok bpffs/allowed
owner bpffs progs=any at=/mnt/a # ok bpffs/allowed
owner mountinfo at=/mnt/b # ok mountinfo "rw,uid=1000,gid=1000,delegate_progs=any"
owner fspick at=/mnt/b -> p # ok fspick/allowed
owner umount at=/mnt/b # ok umount/allowed
owner mountinfo at=/mnt/a # ok mountinfo "rw,uid=1000,gid=1000,delegate_maps=any"
owner mountinfo at=/mnt/b # ok mountinfo "rw,uid=1000,gid=1000,delegate_maps=any"
`},
	{"inside", "6.12", `
actor owner userns uid=1000
owner userns -> n # ok userns
owner send n root # ok send
root lsm hook=bpf of=root errno=ENOSPC -> l # ok lsm/allowed
root map_create type=hash # ENOSPC map_create/lsm-bpf
root map_create type=hash inside=n # EPERM map_create/unprivileged-disabled
root map_create type=hash inside=n then=none # EPERM map_create/unprivileged-disabled
`},
	{"moved", "6.12", `
actor owner userns uid=1000
actor peer joins owner
owner bpffs cmds=any maps=any at=/mnt/a -> b # ok bpffs/allowed
owner clone_mount at=/mnt/a -> m # ok clone_mount/allowed
owner move_mount m at=/mnt/b # ok move_mount/allowed
owner mountinfo at=/mnt/b # ok mountinfo "rw,uid=1000,gid=1000,delegate_cmds=any,delegate_maps=any"
owner move_mount m at=/mnt/c # ? move_mount/not-modelled
owner mountinfo at=/mnt/b # ? mountinfo/not-modelled
peer mountinfo at=/mnt/c # ? mountinfo/not-modelled
peer umount at=/mnt/c lazy=1 # ? umount/not-modelled
owner remount at=/mnt/a # ? remount/not-modelled
owner open at=/mnt/a # ? open/not-modelled
owner open of=b -> o # ok open/allowed
owner token_create bpffs=o # ok token_create/allowed [any any 0x0 0x0]
owner fspick at=/mnt/a -> p # ? fspick/not-modelled
owner send p peer # ? send/not-modelled
peer fsreconfigure p # ? fsreconfigure/not-modelled
peer close p # ? close/not-modelled
root mountinfo at=/mnt/a # ? mountinfo/not-modelled
root mount at=/mnt/a # ok mount/allowed
root mountinfo at=/mnt/a # ok mountinfo "rw"
`},
	{"bound", "6.12", `
actor owner userns uid=1000
owner bind from=/mnt/d at=/mnt/c # ? bind/not-modelled
owner fspick at=/mnt/c # ? fspick/not-modelled
owner share at=/mnt/c # ? share/not-modelled
owner clone_mount at=/mnt/c # ? clone_mount/not-modelled
owner library make=queue # ? library/not-modelled
owner bind from=/mnt/c at=/mnt/a # ? bind/not-modelled
`},
	{"attached", "7.3", `
actor owner userns uid=1000
root prog_load type=xdp attach=xdp -> x # ok prog_load/allowed
root prog_load type=tracing attach=trace_iter -> i # ok prog_load/allowed
root prog_load type=cgroup_device attach=cgroup_device -> d # ok prog_load/allowed
root attach_link x to=xdp -> l # ok link_create/allowed
root attach_link x to=xdp # EBUSY link_create/taken
root update_link l i # EINVAL link_update/other-type
root detach_link l # ok link_detach/allowed
root update_link l x # ENOLINK link_update/gone
root attach_link x to=xdp -> l # ok link_create/allowed
root pin l in=closed name=l # EBADF pin/bad-dir-fd
root close l # ok close
root attach_link x to=xdp # ok link_create/allowed
root attach_link i to=iter -> k # ok link_create/allowed
root iterate k # ok iter_create/allowed
root iterate x # EINVAL iter_create/no-iterator
root attach_prog d to=cgroup_device # ok prog_attach/allowed
root attached to=cgroup_device # ok attached "1 programs"
root attached to=xdp # ? attached/not-modelled
owner detach_prog to=cgroup_device # ok prog_detach/allowed
root attached to=cgroup_device # ok attached "0 programs"
owner detach_prog to=cgroup_device # ENOENT prog_detach/not-attached
owner bpffs cmds=any -> b # ok bpffs/allowed
root attach_link x to=xdp -> l # ok link_create/allowed
root bpffs -> c # ok bpffs/allowed
root pin l in=c name=l # ok pin/allowed
root attach_link x to=xdp # EBUSY link_create/taken
root close l # ok close
root attach_link x to=xdp # ? link_create/not-modelled
`},
	{"held", "7.3", `
actor owner userns uid=1000
root map_create type=hash -> m # ok map_create/allowed
root batch m update # ok batch/allowed
root batch m take # ENOENT batch/all-read
root batch m delete # ENOENT batch/no-element
root element m update # ok element/allowed
root map_create type=array flags=0x400 -> y # ok map_create/allowed
root mmap y write=1 # ok mmap/allowed
root freeze y # EBUSY map_freeze/mapped
root exec # ok exec
root freeze y # EBADF map_freeze/bad-fd
root map_create type=hash -> m # ok map_create/allowed
root element m update # ok element/allowed
root freeze m # ok map_freeze/allowed
root freeze m # EPERM map_freeze/frozen
root batch m delete # EPERM batch/frozen
root element m lookup # ok element/allowed
root element m update # EPERM element/frozen
root prog_load type=xdp attach=xdp -> x # ok prog_load/allowed
root send x owner # ok send
root prog_info x # ok prog_info/allowed @unlined
owner prog_info x # ok prog_info/allowed @hidden
root prog_load type=socket_filter prog=branches lines=1 -> z # ok prog_load/allowed
root prog_info z # ok prog_info/allowed @all
root translated z # ? translated/not-modelled
root prog_load type=socket_filter prog=branches -> z2 # ok prog_load/allowed
root prog_load type=socket_filter prog=branches flags=0x8 -> z3 # ok prog_load/allowed
root prog_load type=socket_filter prog=dead_code caps=none -> z4 # EPERM prog_load/unprivileged-disabled
root translated z2 # ok translated "instructions 5, verified 7, masks 0"
root translated z3 # ok translated "instructions 5, verified 6, masks 0"
owner translated z2 # ? translated/not-modelled
root run_prog z2 # ok run_prog/allowed
root run_prog m # EINVAL run_prog/no-program
root write_sysctl bpf_jit_enable=1 caps=none # EPERM write_sysctl/jit-no-cap-sys-admin
root write_sysctl bpf_jit_harden=3 # EINVAL write_sysctl/range
root write_sysctl bpf_jit_harden=2 # ok write_sysctl/allowed
root prog_load type=socket_filter prog=branches -> z5 # ok prog_load/allowed
root translated z5 # ok translated "blinded, verified 7"
root translated z2 # ok translated "instructions 5, verified 7, masks 0"
root write_sysctl bpf_jit_limit=7 # ? write_sysctl/jit-not-modelled
root write_sysctl bpf_jit_limit=1 # ok write_sysctl/allowed
root attach_link x to=xdp # ? attach_link/not-modelled
root prog_info m # ? prog_info/not-modelled
owner write_sysctl unprivileged_bpf_disabled=0 # EACCES write_sysctl/mode
root write_sysctl unprivileged_bpf_disabled=0 # ok write_sysctl/allowed
nobody map_create type=hash # ok map_create/allowed
nobody map_create type=array # ok map_create/allowed
root write_sysctl bpf_stats_enabled=2 # EINVAL write_sysctl/range
owner bpffs cmds=any maps=0x3 -> b # ok bpffs/allowed
owner token_create bpffs=b -> t # ok token_create/allowed [any 0x3 0x0 0x0]
owner token_info t len=4 # ok token_info/allowed [0xffffffff 0x0 0x0 0x0]
owner token_info t len=4097 # E2BIG token_info/too-long
owner pin t in=b name=t # EINVAL pin/no-object
owner symlink in=b name=s # ok symlink/allowed
owner symlink in=b name=s # EEXIST symlink/taken
owner get_pinned in=b name=s # ENOENT get_pinned/no-name
owner open of=b path=s/x # ENOENT open/no-parent
owner kernel_btf # EPERM btf_get_fd_by_id/no-cap-sys-admin
root kernel_btf -> v # ok btf_get_fd_by_id/allowed
root map_create type=hash btf=v btf_key=1 btf_value=1 # EACCES map_create/btf-kernel
root btf_load field=timer -> f # ok btf_load/allowed
root map_create type=hash value=16 btf=f btf_key=1 btf_value=3 -> s # ok map_create/allowed
root freeze s # ENOTSUPP map_freeze/not-supported
root map_create type=percpu_hash value=16 btf=f btf_key=1 btf_value=3 # EOPNOTSUPP map_create/special-type
root map_create type=hash excl=31 # EINVAL map_create/exclusive
root prog_load type=xdp attach=xdp sign=64 # EBADMSG prog_load/signature
root prog_load type=xdp attach=xdp sign=0 # EINVAL prog_load/signature-key
`},
	{"unknown", "6.12", `
root sysrq c # ? sysrq
root reopen closed -> r # ok reopen
root map_create type=hash token=r # EINVAL map_create/token-not-a-token
`},
}

// TestPrograms plays each program and compares each step.
func TestPrograms(t *testing.T) {
	for _, tt := range programs {
		t.Run(tt.name, func(t *testing.T) {
			var lines, want []string
			for _, line := range strings.Split(strings.TrimSpace(tt.text), "\n") {
				text, expected, isStep := strings.Cut(line, " # ")
				expected = progInfoTexts.Replace(expected)
				lines = append(lines, text)
				if isStep {
					want = append(want, expected)
				}
			}
			p, steps, info := parsed(t, strings.Join(lines, "\n"))
			got, err := sim.New(testFacts(tt.release), p, false).Play(steps)
			if err != nil {
				t.Fatal(err)
			}
			const ofControls = 2
			if len(got) != len(want)+ofControls {
				t.Fatalf("%d steps, %d expectations", len(got)-ofControls, len(want))
			}
			for i, expected := range want {
				if text := shown(got[i+ofControls]); text != expected {
					t.Errorf("%s: %s, want %s", info[i+ofControls].Text, text, expected)
				}
			}
		})
	}
}

// progInfoTexts are what prog_info shows.
var progInfoTexts = strings.NewReplacer(
	"@unlined", `"instructions shown, calls none, compiled shown, code shown, addresses shown, lengths shown, `+
		`lines hidden"`,
	"@hidden", `"instructions hidden, calls none, compiled hidden, code hidden, addresses hidden, lengths hidden, `+
		`lines hidden"`,
	"@all", `"instructions shown, calls shown, compiled shown, code shown, addresses shown, lengths shown, lines shown"`)

// Every operation is a step of some program.
func TestProgramsHaveEveryOperation(t *testing.T) {
	for o := step.Op(1); o < step.Ops; o++ {
		found := slices.ContainsFunc(programs, func(p struct{ name, release, text string }) bool {
			return slices.ContainsFunc(strings.Split(p.text, "\n"), func(line string) bool {
				words := strings.Fields(line)
				return len(words) > 1 && words[1] == o.String()
			})
		})
		if !found {
			t.Errorf("no program has a step %s", o)
		}
	}
}

// A change in a fork changes neither the original simulation nor another fork.
func TestForksAreApart(t *testing.T) {
	p, steps, _ := parsed(t, `actor owner userns uid=1000
owner bpffs cmds=any maps=any at=/mnt/a -> b
owner fsopen -> c
root lsm hook=bpf_map_create of=owner errno=EACCES -> l
owner token_create bpffs=b -> t
root prog_load type=socket_filter name=first -> p
owner chmod b mode=0700
owner mkdir in=b name=d
root lsm_ran l
owner map_create type=hash token=t
root lsm_ran l
owner close t
owner umount at=/mnt/a lazy=1
owner mountinfo at=/mnt/a
owner stat b
root prog_load type=socket_filter name=second -> q
root kallsyms name=second
root sysctl unprivileged_bpf_disabled=1
`)
	const setup, ofControls = 5, 2
	s := sim.New(testFacts("6.12"), p, false)
	if _, err := s.Play(steps[:ofControls+setup]); err != nil {
		t.Fatal(err)
	}
	play := func(s *sim.Sim) string {
		t.Helper()
		got, err := s.Play(steps[ofControls+setup:])
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range got {
			out = append(out, shown(e))
		}
		return strings.Join(out, "\n")
	}
	a, b := s.Fork(), s.Fork()
	first := play(a)
	if second := play(b); second != first {
		t.Errorf("a second fork shows\n%s\nthe first\n%s", second, first)
	}
	if after := play(s); after != first {
		t.Errorf("after its forks the simulation shows\n%s\nthe forks\n%s", after, first)
	}
	if s.UnprivDisabled() != 1 || !slices.Contains(strings.Split(first, "\n"), "? mountinfo/not-modelled") {
		t.Errorf("the sysctl is %d; the steps show\n%s", s.UnprivDisabled(), first)
	}
}

// A rule that is left out lets the next one decide, and each rule that held is reported.
func TestOmitAndHeld(t *testing.T) {
	p, steps, _ := parsed(t, "actor owner userns uid=1000\nowner bpffs cmds=any maps=any -> b\nowner token_create "+
		"bpffs=b caps=none\n")
	last := func(prepare func(s *sim.Sim)) string {
		t.Helper()
		s := sim.New(testFacts("6.12"), p, false)
		prepare(s)
		got, err := s.Play(steps)
		if err != nil {
			t.Fatal(err)
		}
		return shown(got[len(got)-1])
	}
	if got := last(func(s *sim.Sim) { s.Omit("token_create/no-cap-bpf") }); !strings.HasPrefix(got,
		"ok token_create/allowed") {
		t.Errorf("without the rule: %s", got)
	}
	var held []string
	got := last(func(s *sim.Sim) { s.Held(func(rule string) { held = append(held, rule) }) })
	if got != "EPERM token_create/no-cap-bpf" || !slices.Contains(held, "token_create/no-cap-bpf") {
		t.Errorf("%s; held were %q", got, held)
	}
}

// An explanation has every rule of the call, and marks the one that decides.
func TestTrace(t *testing.T) {
	p, steps, _ := parsed(t, "root map_create type=queue caps=none\n")
	got, err := sim.New(testFacts("6.12"), p, true).Play(steps)
	if err != nil {
		t.Fatal(err)
	}
	e := got[len(got)-1]
	deciding := 0
	for _, l := range e.Trace {
		if l.Decides {
			deciding++
			if l.Rule != e.Verdict.Rule || l.Errno != e.Verdict.Errno {
				t.Errorf("the trace says %+v, the verdict %+v", l, e.Verdict)
			}
		}
	}
	if deciding != 1 || len(e.Trace) < 10 {
		t.Errorf("%d of %d rules decide", deciding, len(e.Trace))
	}
	if quiet, err := sim.New(testFacts("6.12"), p, false).Play(steps); err != nil || quiet[len(quiet)-1].Trace != nil {
		t.Errorf("a simulation that does not explain has a trace: %v", err)
	}
}

// Only steps whose answer is compared decide about a kernel.
func TestDecides(t *testing.T) {
	p, steps, _ := parsed(t, `actor owner userns uid=1000
owner bpffs cmds=any at=/mnt/a -> b
owner send b root
owner mountinfo at=/mnt/a
root namespaces times=1 slack=1
owner churn bpffs=b times=1 slack=1
owner race use_close times=1 token=b
`)
	got, err := sim.New(testFacts("6.12"), p, false).Play(steps)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, true, false, true, false, true, true} {
		if got[i].Decides() != want {
			t.Errorf("step %d, %s: decides %v", i, got[i].Verdict.ID, !want)
		}
	}
}

// The facts of a kernel change what the oracle is asked with.
func TestKernelOf(t *testing.T) {
	base := func() *step.Facts { return &step.Facts{Release: "6.12.117+deb13", Token: true} }
	k := sim.KernelOf(base())
	if k.Release != (uapi.Release{Major: 6, Minor: 12}) || k.Patch != 117 || !k.Token || k.NoBTF || k.MitigationsOff {
		t.Errorf("got %+v", k)
	}
	f := base()
	f.Max = map[string]uint32{uapi.Cmds.Tag: 99, uapi.MapTypes.Tag: 0}
	f.Enumerators = map[string][]string{uapi.Cmds.Tag: {"BPF_MAP_CREATE"}}
	if got := sim.KernelOf(f); got.MaxCmd != 99 || got.MaxMap != k.MaxMap || len(got.Enumerators) != 1 {
		t.Errorf("ends of enumerations: %+v", got)
	}
	f = base()
	f.Config = map[string]string{"CPU_MITIGATIONS": "y"}
	if got := sim.KernelOf(f); !got.NoBTF || got.MitigationsOff {
		t.Errorf("a configuration without BTF: %+v", got)
	}
	f.Config = map[string]string{"DEBUG_INFO_BTF": "y"}
	if got := sim.KernelOf(f); got.NoBTF || !got.MitigationsOff {
		t.Errorf("a configuration without mitigations: %+v", got)
	}
	f.Release = "6.1.0"
	if sim.KernelOf(f).MitigationsOff {
		t.Error("6.1 has no CONFIG_CPU_MITIGATIONS to be without")
	}
	f = base()
	f.ConfigOff = []string{"DEBUG_INFO_BTF"}
	if !sim.KernelOf(f).NoBTF {
		t.Error("an option that the guest did not find")
	}
	f = base()
	for _, tt := range []struct {
		active []string
		want   bool
	}{
		{nil, false}, {[]string{"capability", "bpf"}, true}, {[]string{"selinux", "bpf"}, false},
		{[]string{"capability", "apparmor", "bpf", "ima", "evm"}, false},
	} {
		if f.LSM = tt.active; sim.KernelOf(f).NoLabels != tt.want {
			t.Errorf("no module labels files with %q: got %v", tt.active, !tt.want)
		}
	}
}

// A setting restricts from a value on, and one that was not read restricts nothing.
func TestSettingsOf(t *testing.T) {
	running := func(values map[string]int64) *step.Facts {
		f := &step.Facts{Release: "6.12.0", Token: true, Settings: map[string]step.Reading{}}
		for name, v := range values {
			f.Settings[name] = step.Reading{Running: v}
		}
		return f
	}
	type values = map[string]int64
	for name, tt := range map[string]struct {
		values values
		want   string
	}{
		"nothing read": {nil, "lockdown 0, no JIT false, blinds 0, hides symbols false, pointers 0, no attach false"},
		"all open": {values{step.JITEnable: 1, step.JITKallsyms: 1},
			"lockdown 0, no JIT false, blinds 0, hides symbols false, pointers 0, no attach false"},
		"no JIT": {values{step.JITEnable: 0},
			"lockdown 0, no JIT true, blinds 0, hides symbols false, pointers 0, no attach false"},
		"hardened": {values{step.JITHarden: 2},
			"lockdown 0, no JIT false, blinds 2, hides symbols false, pointers 0, no attach false"},
		"no symbols": {values{step.JITKallsyms: 0},
			"lockdown 0, no JIT false, blinds 0, hides symbols true, pointers 0, no attach false"},
		"restricted": {values{step.KptrRestrict: 1},
			"lockdown 0, no JIT false, blinds 0, hides symbols false, pointers 1, no attach false"},
		"restricted twice": {values{step.KptrRestrict: 4},
			"lockdown 0, no JIT false, blinds 0, hides symbols false, pointers 2, no attach false"},
		"paranoid": {values{step.PerfParanoid: 2},
			"lockdown 0, no JIT false, blinds 0, hides symbols false, pointers 1, no attach false"},
		"hardly paranoid": {values{step.PerfParanoid: 1},
			"lockdown 0, no JIT false, blinds 0, hides symbols false, pointers 0, no attach false"},
		"yama at 3": {values{step.PtraceScope: 3},
			"lockdown 0, no JIT false, blinds 0, hides symbols false, pointers 0, no attach true"},
		"yama at 2": {values{step.PtraceScope: 2},
			"lockdown 0, no JIT false, blinds 0, hides symbols false, pointers 0, no attach false"},
		"confidential": {values{step.Lockdown: 2},
			"lockdown 2, no JIT false, blinds 0, hides symbols false, pointers 0, no attach false"},
	} {
		s := sim.KernelOf(running(tt.values)).Settings
		got := fmt.Sprintf("lockdown %d, no JIT %v, blinds %d, hides symbols %v, pointers %d, no attach %v", s.Lockdown,
			s.NoJIT,
			s.Blinds, s.HidesSymbols, s.HidesPointers, s.NoAttach)
		if got != tt.want {
			t.Errorf("%s: %s\nwant %s", name, got, tt.want)
		}
	}
}

// A world that begins with the sysctl at 1 cannot change it, and any other begins with 2.
func TestStartsWith(t *testing.T) {
	p, _, _ := parsed(t, "")
	for v, want := range map[int64]int{0: 2, 1: 1, 2: 2} {
		f := testFacts("6.12")
		f.Settings = map[string]step.Reading{step.UnprivDisabled: {Running: v}}
		if got := sim.New(f, p, false).UnprivDisabled(); got != want {
			t.Errorf("a kernel with %d: the world begins with %d, want %d", v, got, want)
		}
	}
	if got := sim.New(testFacts("6.12"), p, false).UnprivDisabled(); got != 2 {
		t.Errorf("a kernel that is not known: %d", got)
	}
}

// Holds says whether the descriptor of a step that passes or closes it is there.
func TestHolds(t *testing.T) {
	p, steps, _ := parsed(t, "root userns -> n\nroot send n nobody\nroot close n\nroot dup n\nroot send closed nobody\n")
	s := sim.New(testFacts("6.12"), p, false)
	const first = 2
	want := []bool{true, true, true, true, false}
	for i := range want {
		if got := s.Holds(&steps[first+i]); got != want[i] {
			t.Errorf("step %d: %v", i, got)
		}
		if _, err := s.Step(&steps[first+i]); err != nil {
			t.Fatal(err)
		}
	}
	if s.Holds(&steps[first+2]) {
		t.Error("a descriptor that was closed is there")
	}
}

// testFacts describes a kernel of a release, as its guest does.
func testFacts(release string) *step.Facts {
	r, err := uapi.ParseRelease(release)
	if err != nil {
		panic(err)
	}
	f := cases.FactsAt(r)
	f.StructOpsIndex = 2
	return f
}
