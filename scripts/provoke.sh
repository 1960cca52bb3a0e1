#!/usr/bin/env bash
# Makes real kernels report each kind of fault that can be provoked, and checks
# tokentest's finding: its kind, its title, and the exit code.
# Usage: scripts/provoke.sh PACKAGED BUILT [FAULT...]
# PACKAGED is a packaged kernel, such as deb:6.12 or deb:6.12/arm64. BUILT is the image
# of a kernel with debug options and with faults to enable, or - for none:
#
#   bin/tokentest kernel build --fragment base --fragment token --fragment debug \
#       --fragment scripts/provoke.config src:6.12+cases/testdata/mutants/6.12.patch
#
# For a kernel of another architecture than the host's, the programs that cause the
# faults are compiled (with Go).
#
# Each fault runs in a machine restored from a snapshot; with FRESH=1 in one that
# boots. The fingerprint must be the same: a run without FRESH writes the
# fingerprints to the file PRINTS, and a run with FRESH=1 compares with them.
set -u
cd "$(dirname "$0")/.." || exit 3
packaged=${1:?usage: scripts/provoke.sh PACKAGED BUILT [FAULT...]}
built=${2:?usage: scripts/provoke.sh PACKAGED BUILT [FAULT...]}
shift 2
only=" $* "
tt=$PWD/bin/tokentest
prints=${PRINTS:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 tried=0
command -v jq >/dev/null || { echo "provoke: no jq: apt-get install -y jq" >&2; exit 3; }
warm=(--snapshot)
[ -z "${FRESH:-}" ] || warm=()

# The programs of the machine, and the title of the oops of known_reopen.
goarch=$(go env GOHOSTARCH) foreign=
case $packaged in
*/arm64*) foreign=arm64 reopened='unable to handle kernel NULL pointer dereference in bpf_token_' ;;
*/s390x*) foreign=s390x reopened='unable to handle kernel pointer dereference in bpf_token_' ;;
*/riscv64*) foreign=riscv64 reopened='unable to handle kernel access to user memory without uaccess routines in bpf_token_' ;;
*/ppc64el*) foreign=ppc64le reopened='BUG: Kernel NULL pointer dereference in bpf_token_' ;;
*) reopened='BUG: kernel NULL pointer dereference in bpf_token_' ;;
esac
sh=(sh)
if [ -n "$foreign" ] && [ "$foreign" != "$goarch" ]; then
	core=github.com/u-root/u-root/cmds/core
	CGO_ENABLED=0 GOARCH=$foreign go build -trimpath -o "$work/bin/" ./images/sh $core/head $core/tail $core/mkdir $core/sleep || exit 3
	sh=("$work/bin/sh")
fi
# program NAME: the path of a program of the machine.
program() { if [ "${sh[0]}" = sh ]; then command -v "$1"; else echo "$work/bin/$1:/bin/$1"; fi; }

wanted() { [ "$only" = "  " ] || [[ $only == *" $1 "* ]]; }

# judge NAME CODE TEXT GOT RECORD: RECORD is a JSON file with the boots of a machine. A finding that counts, as
# KIND: TITLE, must start with TEXT; "" means that there must be none.
judge() {
	local name=$1 code=$2 text=$3 got=$4 record=$5 first print
	tried=$((tried + 1))
	IFS=$'\t' read -r print first < <(jq -r --arg text "$text" '[(.kernels // [.])[].boots[].findings[]?
		| select((.Allowed or .Host) | not) | ["[\(.Fingerprint)]", "\(.Kind): \(.Title)"]
		| select(.[1] | startswith($text))] | .[0] // ["", ""] | @tsv' "$record")
	if [ "$got" != "$code" ] || { [ -z "$text" ] && [ -n "$first" ]; } || { [ -n "$text" ] && [ -z "$first" ]; }; then
		failed=$((failed + 1))
		echo "NOT OK  $name: exit $got and the finding \"$first\", want $code and \"$text\"; output:"
		tail -n 25 "$work/log" | sed 's/^/        /'
	elif [ -n "${FRESH:-}" ] && [ -s "$prints" ] && grep -q "^$name " "$prints" && ! grep -qxF "$name $print" "$prints"; then
		failed=$((failed + 1))
		echo "NOT OK  $name: $print, but from a snapshot $(grep "^$name " "$prints")"
	else
		[ -n "${FRESH:-}" ] || [ -z "$prints" ] || echo "$name $print" >>"$prints"
		echo "ok      $name: exit $got, ${first:-no finding} $print"
	fi
}

# fault NAME CODE TEXT KERNEL COMMAND [ARG...]: runs a shell command in a machine.
fault() {
	local name=$1 code=$2 text=$3 kernel=$4 command=$5
	shift 5
	wanted "$name" && [ "$kernel" != - ] || return
	"$tt" exec -k "$kernel" "${warm[@]}" -o "$work/out" "$@" -- "${sh[@]}" -c "$command" >"$work/log" 2>&1 </dev/null
	judge "$name" "$code" "$text" $? "$work/out/machine.json"
	rm -rf "$work/out"
}

# crash NAME CODE TEXT [ARG...]: triggers the fault NAME of the kernel's dump test module (lkdtm).
crash() {
	local name=$1 code=$2 text=$3
	shift 3
	fault "$name" "$code" "$text" "$built" "$knobs; echo $name > /sys/kernel/debug/provoke-crash/DIRECT; sleep 1" --with "$(program sleep)" "$@"
}

# Watchdogs wait for seconds, not for minutes.
knobs='cd /proc/sys/kernel; echo 4 > watchdog_thresh; echo 5 > hung_task_timeout_secs; echo 2 > hung_task_check_interval_secs; echo 5 > /sys/module/rcupdate/parameters/rcu_cpu_stall_timeout'
eat='head -c 2000000000 /dev/zero | tail'
tools=(--with "$(program head)" --with "$(program tail)")

# Faults of any kernel.
fault sysrq-crash 1 'panic: kernel panic: sysrq triggered crash' "$packaged" 'echo c > /proc/sysrq-trigger'
# shellcheck disable=SC2016 # the guest expands it
fault sysrq-backtraces 0 '' "$packaged" 'for k in l t w m; do echo $k > /proc/sysrq-trigger; done'
fault memory-panic 1 'panic: kernel panic: Out of memory: system-wide panic_on_oom is enabled' "$packaged" "$eat" "${tools[@]}"
fault memory-kill 137 'oom: Out of memory: killed tail' "$packaged" "echo 0 > /proc/sys/vm/panic_on_oom; $eat" "${tools[@]}"
fault cgroup-kill 137 'oom: Memory cgroup out of memory: killed tail' "$packaged" \
	"cd /sys/fs/cgroup; echo +memory > cgroup.subtree_control; mkdir small; echo 60000000 > small/memory.max; echo \$\$ > small/cgroup.procs; $eat" "${tools[@]}" --with "$(program mkdir)"
fault sysrq-kill 137 'oom: Out of memory: killed sh' "$packaged" 'echo f > /proc/sysrq-trigger; sleep 1; :' --with "$(program sleep)"
# A token that is opened anew is a file without a token: cases/known.
if wanted reopen; then
	"$tt" run -k "$packaged" -q -f json -o "$work/reopen" known_reopen >"$work/report" 2>"$work/log"
	judge reopen 0 "oops: $reopened" $? "$work/report"
fi
fault words 0 '' "$packaged" 'echo "BUG: KASAN: these are the words of a program" > /dev/kmsg; echo "Kernel panic - not syncing: so are these" > /dev/console'

# Faults that need debug options.
crash PANIC 1 'panic: kernel panic: dumptest'
crash BUG 1 'bug: kernel BUG at drivers/misc/lkdtm/bugs.c in lkdtm_BUG'
crash WARNING 1 'warn: WARNING in lkdtm_WARNING (drivers/misc/lkdtm/bugs.c)'
crash EXCEPTION 1 'oops: general protection fault in lkdtm_EXCEPTION'
crash STACK_GUARD_PAGE_LEADING 1 'kasan: KASAN: slab-out-of-bounds in lkdtm_STACK_GUARD_PAGE_LEADING'
crash ARRAY_BOUNDS 1 'ubsan: UBSAN: array-index-out-of-bounds in drivers/misc/lkdtm/bugs.c'
crash OVERFLOW_SIGNED 0 ''
crash CORRUPT_LIST_ADD 1 'corruption: list_add corruption'
crash CORRUPT_LIST_DEL 1 'corruption: list_del corruption'
crash SLAB_LINEAR_OVERFLOW 1 'kasan: KASAN: slab-out-of-bounds in lkdtm_SLAB_LINEAR_OVERFLOW'
crash VMALLOC_LINEAR_OVERFLOW 1 'oops: BUG: unable to handle page fault in memset_orig'
crash WRITE_AFTER_FREE 1 'kasan: KASAN: slab-use-after-free in lkdtm_WRITE_AFTER_FREE'
crash READ_AFTER_FREE 1 'kasan: KASAN: slab-use-after-free in lkdtm_READ_AFTER_FREE'
crash READ_BUDDY_AFTER_FREE 1 'kasan: KASAN: use-after-free in lkdtm_READ_BUDDY_AFTER_FREE'
crash SLAB_FREE_DOUBLE 1 'kasan: KASAN: double-free in lkdtm_SLAB_FREE_DOUBLE'
crash SLAB_FREE_CROSS 1 'warn: WARNING in kmem_cache_free'
crash WRITE_RO 1 'oops: BUG: unable to handle page fault in lkdtm_WRITE_RO'
crash EXEC_NULL 1 'oops: BUG: kernel NULL pointer dereference'
crash REFCOUNT_INC_OVERFLOW 1 'refcount: refcount_t: saturated; leaking memory'
crash REFCOUNT_DEC_ZERO 1 'refcount: refcount_t: '
crash REFCOUNT_INC_ZERO 1 'refcount: refcount_t: addition on N; use-after-free'
crash USERCOPY_SLAB_SIZE_TO 1 'corruption: usercopy: Kernel memory '
crash SPINLOCKUP 1 'lockdep: lockdep: '
crash HUNG_TASK 1 'hungtask: hung task: sh' --deadline 120s
crash SOFTLOCKUP 1 'lockup: soft lockup in lkdtm_SOFTLOCKUP' --deadline 120s
fault stalled-rcu 1 'rcu: RCU stall: rcu_' "$built" "$knobs; echo 0 > watchdog; echo SOFTLOCKUP > /sys/kernel/debug/provoke-crash/DIRECT" --deadline 120s

# A reference leaks in the kernel's own code: kmemleak must find it, and the finding
# must name the case that made the token.
if wanted leak && [ "$built" != - ]; then
	"$tt" run -k "$built" -q -f json -o "$work/leak" --append bpf_mutant=46 nested_userns token_passed_on >"$work/report" 2>"$work/log"
	judge leak 1 'kmemleak: unreferenced object of bpf_token_create under ' $? "$work/report"
fi
echo "provoke: $((tried - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
