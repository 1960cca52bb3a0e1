#!/usr/bin/env bash
# Builds kernels with unusual configurations and runs the default suite on each, once
# with the configuration next to the image and once with the image alone. Writes the
# table results/configs.md.
#
# Usage: scripts/configs.sh [--again | --missing | --table] [ROW...]
#   ROW        a row, or a pattern such as '6.12/without-*'; all rows by default
#   --again    run the suite again on kernels that are already built
#   --missing  leave out the rows that the table contains
#   --table    only write the table
#
# A row's suites run while the next row is built.
#
# A row is RELEASE[-clang]/NAME:
#   all             the fragments base and token
#   without-OPTION  the same with OPTION off, and everything that depends on it: one row
#                   for each option of "tokentest list options" that can be off
#   least           the fragment base and scripts/least.config: the smallest kernel with tokens
#   least-btf       the same, with BTF
#   deb-FLAVOUR     Debian's configuration, without the modules of its package
#   selftests       the kernel's own tools/testing/selftests/bpf/config*, merged as its vmtest.sh does
#   defconfig       defconfig and kvm_guest.config, and the fragment token
#   virtme          defconfig and scripts/virtme.config
#
# $CONFIGS (default results/runs/configs) stores each finished row; a sweep that was killed continues
# there. The table keeps the rows that it contains and $CONFIGS does not, so a sweep can also continue on
# another machine, with --missing. All rows of a release and a compiler share one object directory, so a build compiles only
# what differs. LLVM names the clang and lld of the clang rows as the kernel's build takes it, such as -19
# (7.3 needs at least 15). JOBS is the number of files compiled at a time, CACHE the cache directory, ARGS more
# arguments for each run, such as --full.
#
# Exit status: 0 if each run exits with 0; 1 if one does not; 2 usage; 3 if something is missing.
set -u
cd "$(dirname "$0")/.." || exit 3
tt=$PWD/bin/tokentest
dir=${CONFIGS:-results/runs/configs}
table=results/configs.md
releases=(6.12 7.3)
cache=()
[ -z "${CACHE:-}" ] || cache=(--cache "$CACHE")

command -v jq >/dev/null || { echo "configs: no jq: apt-get install -y jq" >&2; exit 3; }
[ -x "$tt" ] || { echo "configs: no bin/tokentest: run make build" >&2; exit 3; }
mkdir -p "$dir" || exit 3

# with RELEASE OPTION: the options that switch off one that has no prompt.
with() {
	case $1/$2 in
	*/BPF_EVENTS) echo KPROBE_EVENTS UPROBE_EVENTS ;;
	7.*/DYNAMIC_FTRACE | 7.*/DYNAMIC_FTRACE_WITH_DIRECT_CALLS) echo FUNCTION_TRACER ;;
	*/DYNAMIC_FTRACE_WITH_DIRECT_CALLS) echo DYNAMIC_FTRACE ;;
	*/KALLSYMS) echo FUNCTION_TRACER KPROBES ;;
	*/KPROBES) echo KPROBE_EVENTS ;;
	*/LWTUNNEL) echo LWTUNNEL_BPF IPV6_SEG6_LWTUNNEL ;;
	*/NETFILTER_BPF_LINK) echo NETFILTER ;;
	*/UPROBES) echo UPROBE_EVENTS ;;
	esac
}

# Options that no x86 kernel with tokens lacks: the architecture selects them, or BPF_SYSCALL
# does (NET_XGRESS, if NET).
always='^(ARCH_.*|HAVE_.*|MMU|PERF_EVENTS|NET_XGRESS)$'

# A build compiles what differs from the row before it. So the options whose rows share most files
# follow each other, and those for which nearly every file is compiled come last.
near=(
	BUG_ON_DATA_CORRUPTION CRASH_DUMP CRYPTO_RSA SYSTEM_DATA_VERIFICATION UBSAN_SHIFT # what "all" lacks, or one file
	CGROUP_NET_CLASSID IA32_EMULATION SECURITY_PATH SECURITY_SELINUX SECURITY_SELINUX_DEVELOP
	FPROBE NETKIT NET_ACT_BPF NET_CLS_BPF NET_SCH_INGRESS SECURITY_LANDLOCK
	LWTUNNEL_BPF IPV6_SEG6_LWTUNNEL LWTUNNEL UNIX NET_CLS_ACT NET_SCHED # network devices and sockets
	RC_CORE LIRC BPF_LIRC_MODE2 INPUT                                  # linux/bpf.h
	NETFILTER NETFILTER_BPF_LINK XDP_SOCKETS BPF_STREAM_PARSER IPV6 INET BPF_LSM CGROUP_DEVICE CGROUP_BPF
	PID_NS UTS_NS NET_NS USER_NS NAMESPACES INOTIFY_USER FUNCTION_ERROR_INJECTION BPF_UNPRIV_DEFAULT_OFF
	SECURITY_NETWORK SECURITYFS SECURITY MEMCG CGROUPS MODULES NET BPF_SYSCALL # nearly everything
	UPROBES UPROBE_EVENTS KPROBE_EVENTS BPF_EVENTS BPF_JIT KPROBES KALLSYMS
	FUNCTION_TRACER DYNAMIC_FTRACE DYNAMIC_FTRACE_WITH_DIRECT_CALLS FTRACE CPU_MITIGATIONS
	DEBUG_INFO_BTF DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT
)

# options: those of "list options" that can be off, in the order of near; options that near lacks come first.
options() {
	local known
	known=$("$tt" list options | cut -f 1 | grep -Ev "$always" | sort)
	grep -vxF -f <(printf '%s\n' "${near[@]}") <<<"$known"
	printf '%s\n' "${near[@]}" | grep -xF -f <(echo "$known")
}

rows() {
	local release option
	for release in "${releases[@]}"; do
		printf '%s\n' "$release/deb-cloud-amd64" "$release/deb-amd64" "$release/deb-rt-amd64" "$release/all"
		for option in $(options); do
			echo "$release/without-$option"
		done
		printf '%s\n' "$release/least" "$release/least-btf" "$release/selftests" "$release/defconfig" "$release/virtme"
	done
	for release in "${releases[@]}"; do
		printf '%s\n' "$release-clang/all" "$release-clang/selftests"
	done
}

# The configuration of the kernel's own tests, and the defconfig that it extends.
tests=tools/testing/selftests/bpf
own=:$tests/config+$tests/config.vm+$tests/config.x86_64
defconfig=:arch/x86/configs/x86_64_defconfig

# build ROW: writes bzImage and .config to the row's directory.
build() {
	local at=$dir/$1 release=${1%%/*} name=${1#*/} option other
	local args=(--build-jobs "${JOBS:-2}" --without IKCONFIG)
	[ ! -s "$at/minutes" ] || return 0
	mkdir -p "$at/hidden"
	[[ $release != *-clang ]] || args+=(--make "LLVM=${LLVM:-1}")
	case $name in
	without-*)
		option=${name#without-}
		args+=(--without "$option")
		for other in $(with "$release" "$option"); do args+=(--without "$other"); done
		;;
	least) args+=(--fragment base --fragment scripts/least.config) ;;
	least-btf) args+=(--fragment base --fragment scripts/least.config --fragment scripts/btf.config) ;;
	selftests) args+=(--config "$own" --fragment /dev/null) ;;
	defconfig) args+=(--config "$defconfig+kernel/configs/kvm_guest.config" --fragment token) ;;
	virtme) args+=(--config "$defconfig" --fragment scripts/virtme.config) ;;
	esac
	case $name in
	all | without-*) args+=(--objects "sweep-$release") ;;
	*) args+=(--objects "sweep-$release-${name%-btf}") ;;
	esac
	local start=$SECONDS command=(build "${args[@]}" "src:${release%-clang}")
	[[ $name != deb-* ]] || command=(fetch "deb:$release:${name#deb-}")
	"$tt" kernel "${command[@]}" --json "${cache[@]}" >"$at/built" 2>"$at/log" </dev/null || return 1
	cp "$(jq -r .config "$at/built")" "$at/.config" && cp "$(jq -r .image "$at/built")" "$at/bzImage" &&
		ln -f "$at/bzImage" "$at/hidden/bzImage" && echo $(((SECONDS - start + 30) / 60)) >"$at/minutes"
}

# suite ROW known|hidden: stores counts and exit code. A row without bpf(2) or user
# namespaces skips every case, as it must.
suite() {
	local at=$dir/$1 how=$2 kernel=$dir/$1/bzImage code start=$SECONDS
	[ ! -s "$at/$how.json" ] || return 0
	[ "$how" = known ] || kernel=$at/hidden/bzImage
	rm -rf "$at/run-$how"
	# shellcheck disable=SC2086 # ARGS is a list of words
	"$tt" run --allow-empty "${cache[@]}" --format jsonl --kernel "$kernel" --out "$at/run-$how" ${ARGS:-} \
		>"$at/$how.jsonl" 2>"$at/$how.log" </dev/null
	code=$?
	jq -c --argjson code "$code" --argjson seconds $((SECONDS - start)) --arg commit "$(git rev-parse --short HEAD)" \
		'select(.type == "kernel") | {code: $code, seconds: $seconds, commit: $commit, counts, release}' \
		"$at/$how.jsonl" >"$at/$how.new"
	[ -s "$at/$how.new" ] || jq -nc --argjson code "$code" '{code: $code, counts: {}}' >"$at/$how.new"
	jq -r 'select(.status == "fail" or .status == "broken") | [.status, .case, .reason] | @tsv' \
		"$at/$how.jsonl" >"$at/$how.bad"
	rm -f "$at/$how.jsonl"
	! jq -e '.counts.interrupted // 0 > 0' "$at/$how.new" >/dev/null || return 0 # Ctrl-C: it has to run again
	mv "$at/$how.new" "$at/$how.json"
}

# both ROW: its two suites at once.
both() {
	suite "$1" known &
	suite "$1" hidden
	wait
}

# finish ROW: waits for its suites and prints what they say.
finish() {
	local how code
	[ -n "$1" ] || return 0
	wait
	for how in known hidden; do
		[ -s "$dir/$1/$how.json" ] || { echo "$1 $how: interrupted" >&2 && exit 3; }
		code=$(jq .code "$dir/$1/$how.json")
		[ "$code" = 0 ] || bad=1
		echo "$1 $how: exit $code $(jq -c .counts "$dir/$1/$how.json")"
	done
	write_table
}

# set_in CONFIG: the options that are y.
set_in() { sed -n 's/^CONFIG_\(.*\)=y$/\1/p' "$1" | sort; }

# off ROW: the options of "list options" that "all" has and the row lacks.
off() {
	local base=$dir/${1%%/*}/all/.config
	[ -s "$base" ] || return 0
	comm -23 <(set_in "$base") <(set_in "$dir/$1/.config") |
		grep -xF -f <("$tt" list options | cut -f 1) | grep -vxF "${1##*/without-}" | xargs
}

# stands ROW: prints the row's line in the table; false if the table lacks it.
stands() { grep -F "| $1 |" "$table" 2>/dev/null; }

# line ROW: the row's line from its results, or else from the table; false if neither has it.
line() {
	local at=$dir/$1 with=
	if ! [ -s "$at/known.json" ] || ! [ -s "$at/hidden.json" ]; then
		stands "$1"
		return
	fi
	[[ $1 != */without-* ]] || with=$(off "$1")
	echo "| $1 | $(cat "$at/minutes") | $(column "$at/known.json") | $(column "$at/hidden.json") | $with |"
}

column() { jq -r '[.counts.pass, .counts.skip, .counts.fail, .counts.broken, .code] | map(. // 0) | join(" | ")' "$1"; }

write_table() {
	local row text done=0 minutes=0
	{
		echo '# Unusual configurations'
		echo
		echo "\`scripts/configs.sh\` writes this table. Each row is a kernel, built with one configuration. The default suite"
		echo "ran on it twice: with the configuration known, and with it hidden. Minutes are the wall-clock time of the build."
		echo
		printf '| %s ' row minutes pass skip fail broken exit 'hidden: pass' skip fail broken exit 'off with it'
		printf '|\n'
		printf '| --- %.0s' {1..13}
		printf '|\n'
		for row in $(rows); do
			text=$(line "$row") || continue
			echo "$text"
			done=$((done + 1)) minutes=$((minutes + $(cut -d'|' -f3 <<<"$text")))
		done
		echo
		echo "$done rows of $(rows | wc -l), $minutes minutes of building."
	} >"$table.$$" && mv "$table.$$" "$table"
}

again="" missing="" only=()
while [ $# -gt 0 ]; do
	case $1 in
	--again) again=1 ;;
	--missing) missing=1 ;;
	--table) write_table && exit 0 || exit 3 ;;
	-*) echo "configs: unknown flag $1; see the comment at the start of this script" >&2 && exit 2 ;;
	*) only+=("$1") ;;
	esac
	shift
done
[ ${#only[@]} -gt 0 ] || only=('*')

trap 'exit 3' INT TERM
bad=0 lost=0 running=
for pattern in "${only[@]}"; do
	found=
	for row in $(rows); do
		# shellcheck disable=SC2053 # a pattern
		[[ $row == $pattern ]] || continue
		found=1
		[ -z "$missing" ] || ! stands "$row" >/dev/null || continue
		if [ -n "$again" ]; then
			[ -s "$dir/$row/bzImage" ] || continue
			rm -f "$dir/$row/known.json" "$dir/$row/hidden.json"
		fi
		if ! build "$row"; then
			lost=1
			echo "$row: not built: $(tail -n 1 "$dir/$row/log")"
			continue
		fi
		finish "$running"
		both "$row" & # while the next row is built
		running=$row
	done
	[ -n "$found" ] || { echo "configs: no row matches $pattern" >&2 && exit 2; }
done
finish "$running"
[ "$lost" = 0 ] || exit 3
exit "$bad"
