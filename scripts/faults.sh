#!/usr/bin/env bash
# Injects faults into runs of a real kernel under a real QEMU, and checks the
# result. README.md lists them. Usage: scripts/faults.sh [KERNEL [FAULT...]]
# shellcheck disable=SC2317 # check calls the functions
set -u
cd "$(dirname "$0")/.." || exit 3
kernel=${1:-deb:6.12}; shift || true
only=" $* "
tt=$PWD/bin/tokentest
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# check NAME EXIT-CODE PATTERN COMMAND...
check() {
	local name=$1 code=$2 text=$3 got; shift 3
	"$@" >"$work/log" 2>&1; got=$?
	if [ "$got" = "$code" ] && grep -qE -- "$text" "$work/log"; then
		echo "ok      $name: exit $got, $(grep -oE -m1 -- "$text" "$work/log")"
	else
		echo "NOT OK  $name: exit $got, want $code and /$text/"; tail -25 "$work/log" | sed 's/^/        /'; failed=1
	fi
}
wanted() { [ "$only" = "  " ] || [[ $only == *" $1 "* ]]; }
qemu() { pgrep -P "$1" qemu | head -1; }

# disturb SIGNAL TEXT ARG...: a run whose first QEMU gets the signal when its console contains TEXT.
disturb() {
	local sig=$1 when=$2 out=$work/run.$RANDOM pid; shift 2
	"$tt" run -k "$kernel" -f pretty -o "$out" "$@" map_create &
	pid=$!
	until [ -n "$(qemu "$pid")" ] && grep -q "$when" "$out/kernel0/boot0/console.log" 2>/dev/null; do
		kill -0 "$pid" || return 99
		sleep 0.05
	done
	kill "-$sig" "$(qemu "$pid")" || return 97
	[ "$sig" != STOP ] || [ -z "${PAUSE:-}" ] || { sleep "$PAUSE"; kill -CONT "$(qemu "$pid")"; }
	wait "$pid"
}
# Many runs at once: each must have all its results.
crowd() {
	local n=$1 i pids=(); shift
	for i in $(seq "$n"); do
		"$tt" run -k "$kernel" -f pretty -o "$work/crowd$i" "$@" >"$work/crowd$i.log" 2>&1 &
		pids+=($!)
	done
	for i in $(seq "$n"); do
		wait "${pids[i-1]}" || { tail -n 25 "$work/crowd$i.log"; return 1; }
	done
	cat "$work/crowd1.log"
}
# tokentest itself is stopped for longer than its deadline, then continues.
stopped() {
	"$tt" run -k "$kernel" -f pretty -o "$work/stopped" --deadline 60s token_create &
	local pid=$!
	sleep 4; kill -STOP "$pid"; sleep 65; kill -CONT "$pid"
	wait "$pid"
}
# A guest that is stuck in its kernel, with a processor to itself where root may
# ask for one: on a busy host it would not be the kernel's fault.
calm() {
	local first=(); if chrt -r 1 true 2>/dev/null; then first=(chrt -r 1); fi
	"${first[@]}" "$tt" exec -k "$kernel" -- "$work/lockup" 60
}
# tokentest is stopped while the kernel prints: no line of the log is damaged.
unread() {
	local out=$work/unread pid
	# shellcheck disable=SC2016 # the guest expands it
	"$tt" exec -k "$kernel" -o "$out" --with "$(command -v sleep)" -- \
		sh -c 'sleep 2; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "<4>number $i" >/dev/kmsg; done; sleep 1' &
	pid=$!
	until grep -q 'begin exec' "$out/boot0/console.log" 2>/dev/null; do sleep 0.05; done
	sleep 1; kill -STOP "$pid"; sleep 8; kill -CONT "$pid"
	wait "$pid" || return 97
	echo "$(tr -d '\r' <"$out/boot0/console.log" | grep -cE '^\[ *[0-9]+\.[0-9]{6}\] number [0-9]+$') lines"
}
# tokentest is killed: its QEMU ends too, and --resume continues the run.
resumed() {
	"$tt" run -k "$kernel" -f pretty -o "$work/killed" map_create &
	local pid=$! vm
	until grep -q 'begin cells [1-9]' "$work/killed/kernel0/boot0/console.log" 2>/dev/null; do sleep 0.05; done
	vm=$(qemu "$pid")
	kill -KILL "$pid"; wait "$pid" 2>/dev/null; sleep 0.3
	grep -qs '^State:[[:space:]]*[^Z[:space:]]' "/proc/$vm/status" && { echo "QEMU $vm is still running"; return 98; }
	truncate -s -3 "$work/killed/kernel0/boot0/control.out"
	"$tt" report "$work/killed" -f pretty >"$work/recalled"
	[ $? = 3 ] || return 97
	grep -q '^INTERRUPTED the run was interrupted: [1-9][0-9]* of [0-9]* cases were not tried' "$work/recalled" || return 96
	grep -q '^[1-9][0-9]* pass, 0 fail, 0 broken' "$work/recalled" || return 95
	"$tt" run --resume "$work/killed"
}
# The run is interrupted: its last line is the command that resumes it.
interrupted() {
	"$tt" run -k "$kernel" -f pretty -o "$work/int" map_create >"$work/printed" &
	local pid=$! way
	until grep -q 'begin cells [1-9]' "$work/int/kernel0/boot0/console.log" 2>/dev/null; do sleep 0.05; done
	kill -INT "$pid"; wait "$pid"
	[ $? = 3 ] || return 97
	grep -qE '^BROKEN|^  repeat' "$work/printed" && return 96
	grep -q '^INTERRUPTED the run was interrupted: [1-9][0-9]* of [0-9]* cases were not tried' "$work/printed" || return 95
	way=$(tail -n 1 "$work/printed"); way=${way#to continue: tokentest }
	[ "$way" = "run --resume $work/int" ] || return 94
	# shellcheck disable=SC2086 # its words
	"$tt" $way -f pretty && cmp -s <(grep -c '"case"' "$work/int/records.jsonl") <("$tt" list cases map_create | wc -l)
}
# A stored record is damaged in each way: report, compare and history report it, and run --resume restores it.
damaged() {
	"$tt" run -k "$kernel" -q -f json -o "$work/stored/whole" map_create >/dev/null || return 99
	local how name n=0
	# shellcheck disable=SC2016 # $ is sed's last line
	for how in '300,$d' 1d 200d '$d' '200s/"errno":[0-9]*/"errno":38/' '200{h;d};201{G}' 200p '200s/"pass"/"skip"/'; do
		name=damaged$n; n=$((n + 1))
		cp -r "$work/stored/whole" "$work/stored/$name"
		sed -i "$how" "$work/stored/$name/records.jsonl"
		"$tt" report "$work/stored/$name" -f pretty >"$work/said"
		[ $? = 3 ] || { echo "sed $how: report does not notice it"; return 98; }
		grep -qE '^DAMAGED .*records.jsonl:[0-9]+:' "$work/said" || { echo "sed $how: no line is named"; return 97; }
		"$tt" compare "$work/stored/whole" "$work/stored/$name" >"$work/said"
		[ $? = 3 ] || { echo "sed $how: compare does not notice it"; return 96; }
		"$tt" history map_create --runs "$work/stored" >"$work/said" 2>&1
		[ $? = 3 ] || { echo "sed $how: history does not notice it"; return 95; }
		"$tt" compare --write-baseline "$work/no.jsonl" "$work/stored/$name" >"$work/said" 2>&1
		[ $? = 3 ] || { echo "sed $how: a baseline is made of it"; return 94; }
		"$tt" run --resume "$work/stored/$name" -q -f json >"$work/said" || { echo "sed $how: it is not restored"; return 93; }
		cmp "$work/stored/whole/records.jsonl" "$work/stored/$name/records.jsonl" || return 92
		rm -r "$work/stored/${name:?}"
	done
	"$tt" report "$work/stored/whole" -f pretty && echo "all $n were noticed"
}
inMounts() { unshare -rm sh -c "$1"; }
both() {
	"$tt" run -k "$kernel" -f pretty -o "$work/both" nested_userns & local pid=$!
	until [ -d "$work/both" ]; do sleep 0.01; done
	"$tt" run -k "$kernel" -f pretty -o "$work/both" nested_userns; local code=$?
	wait "$pid" && return "$code"
}
halfCache() {
	mkdir -p "$work/cache" # without the parts that take minutes to copy
	for f in accel.json apt images kernels; do cp -r ~/.cache/tokentest/"$f" "$work/cache/"; done
	for f in "$work"/cache/images/*/initrd.cpio; do truncate -s 1000 "$f"; done
	mkdir "$work/cache/images/tmp-left"
	"$tt" run -k "$kernel" --cache "$work/cache" -f pretty -o "$work/half" nested_userns
}
# Another apt process holds the lock of the private state.
foreignApt() {
	"$tt" kernel fetch --cache "$work/foreign" "$kernel" >/dev/null 2>&1 || return 99
	apt-get -c "$work/foreign/apt/apt.conf" -q update >/dev/null 2>&1 & local apt=$!
	until grep -q "POSIX .* WRITE $apt " /proc/locks; do kill -0 "$apt" || return 98; done
	"$tt" kernel list --refresh --cache "$work/foreign"; local code=$?
	wait "$apt" || return 97
	return "$code"
}
# git holds the lock on the index of a tree that tokentest reads.
foreignGit() {
	git init -q "$work/tree" && echo all: >"$work/tree/Makefile" && git -C "$work/tree" add Makefile &&
		git -C "$work/tree" -c user.name=t -c user.email=t@t commit -qm base || return 99
	touch "$work/tree/.git/index.lock"
	(sleep 2; rm "$work/tree/.git/index.lock") &
	"$tt" kernel build --cache "$work/foreign" "tree:$work/tree"
}
passes='[0-9]+ pass, 0 fail, 0 broken'

# setting NAME BOOTED RUNNING ARG...: a kernel booted with the arguments. The record holds the setting's value
# before and after the guest's changes, and every case that depends on a setting passes or is skipped.
setting() {
	local name=$1 values="\"booted\":$2,\"running\":$3" out=$work/setting.$RANDOM arg append=(); shift 3
	for arg; do append+=(--append "$arg"); done
	"$tt" run -k "$kernel" -f pretty -o "$out" "${append[@]}" </dev/null lockdown jit_settings ptrace_scope speculation parity_kallsyms \
		abuse_taken abuse_same_uid file_calls lsm_bpf limits limits_token sysctl_locked special_fields library_off masks before_tokens \
		'verifier/0/*' 'prog_gate/none/*' 'map_unprivileged/*' || return
	grep -q "writing to proc file to set sysctl parameter '$name=" "$out/kernel0/boot0/console.log" && { echo "the kernel does not let $name be set"; return; }
	tr -d ' \n\t' <"$out/run.json" | grep -qF "\"$name\":{$values}" || { echo "the record has no $name $values"; return 98; }
	"$tt" explain lockdown --facts "$out" | grep -qE "^  $name +" || { echo "explain --facts does not show $name"; return 97; }
}
# The name of a row, the setting, its value as booted and while cases run, and the kernel arguments.
settings() {
	cat <<-END
		lockdown-integrity       lockdown                           1   1    lockdown=integrity
		lockdown-confidentiality lockdown                           2   2    lockdown=confidentiality
		mitigations-off          mitigations                        1   1    mitigations=off
		lsm-without-bpf          lsm                                2   2    lsm=capability
		selinux                  selinux.enforce                    1   1    security=selinux selinux=1 enforcing=1
		jit-off                  net.core.bpf_jit_enable            0   0    sysctl.net.core.bpf_jit_enable=0
		jit-harden-1             net.core.bpf_jit_harden            1   1    sysctl.net.core.bpf_jit_harden=1 sysctl.kernel.kptr_restrict=2
		jit-harden-2             net.core.bpf_jit_harden            2   2    sysctl.net.core.bpf_jit_harden=2
		jit-harden-kptr          kernel.kptr_restrict               1   1    sysctl.net.core.bpf_jit_harden=2 sysctl.kernel.kptr_restrict=1
		jit-kallsyms             net.core.bpf_jit_kallsyms          0   0    sysctl.net.core.bpf_jit_kallsyms=0
		jit-limit                net.core.bpf_jit_limit      1   33554432    sysctl.net.core.bpf_jit_limit=1
		perf-paranoid            kernel.perf_event_paranoid         3   -1   sysctl.kernel.perf_event_paranoid=3
		max-stack                kernel.perf_event_max_stack        0   127  sysctl.kernel.perf_event_max_stack=0
		ftrace-off               kernel.ftrace_enabled              0   1    sysctl.kernel.ftrace_enabled=0
		unprivileged-locked      kernel.unprivileged_bpf_disabled   1   1    sysctl.kernel.unprivileged_bpf_disabled=1
		unprivileged-open        kernel.unprivileged_bpf_disabled   0   2    sysctl.kernel.unprivileged_bpf_disabled=0
		no-userns                user.max_user_namespaces           0   1024 sysctl.user.max_user_namespaces=0
		no-mntns                 user.max_mnt_namespaces            0   1024 sysctl.user.max_mnt_namespaces=0
		no-userns-clone          kernel.unprivileged_userns_clone   0   1    sysctl.kernel.unprivileged_userns_clone=0
		few-mounts               fs.mount-max                       10  1024 sysctl.fs.mount-max=10
		yama                     kernel.yama.ptrace_scope           3   3    sysctl.kernel.yama.ptrace_scope=3
		hardlinks                fs.protected_hardlinks             1   0    sysctl.fs.protected_hardlinks=1
		panic-on-warn            kernel.panic_on_warn               1   1    sysctl.kernel.panic_on_warn=1
		no-memory-cgroup         cgroup_disable                     1   1    cgroup_disable=memory
		bpf-not-counted          cgroup.memory                      1   1    cgroup.memory=nobpf
	END
}
while read -r row name booted running args; do
	# shellcheck disable=SC2086 # its words
	if wanted settings || wanted "setting-$row"; then check "setting-$row" 0 "$passes" setting "$name" "$booted" "$running" $args; fi
done < <(settings)

wanted killed-early    && check killed-early 3 "$passes" disturb KILL '^\['
wanted killed-in-setup && check killed-in-setup 3 'LOST machine 1 of [0-9]: qemu was killed from outside' disturb KILL 'begin set-up'
wanted killed-in-cells && check killed-in-cells 3 'LOST machine 1 of [0-9]: qemu was killed from outside' disturb KILL 'begin cells'
wanted qemu-crashed    && check qemu-crashed 3 'INFRA machine 1 of 1: qemu crashed \(aborted\)' disturb ABRT '^\['
wanted qemu-paused     && PAUSE=40 check qemu-paused 0 "$passes" disturb STOP 'begin set-up'
wanted busy-host       && check busy-host 0 "$passes" crowd 12 token_create
wanted lockup          && CGO_ENABLED=0 go build -o "$work/lockup" ./scripts/lockup
wanted lockup          && check lockup 1 'reports (lockup: soft lockup|rcu: RCU stall)' calm
wanted qemu-stopped    && check qemu-stopped 3 'LOST machine 1 of [0-9]: qemu was stopped from outside' disturb STOP 'begin cells' --deadline 60s
wanted tool-stopped    && check tool-stopped 0 "$passes" stopped
wanted tool-killed     && check tool-killed 0 "$passes" resumed
wanted interrupted     && check interrupted 0 "$passes" interrupted
wanted damaged         && check damaged 0 'all 8 were noticed' damaged
for how in flip drop repeat; do
	wanted "channel-$how" && check "channel-$how" 3 'corrupt record [0-9]+: [a-z ]+' "$tt" run -k "$kernel" -f pretty -o "$work/$how" --lie-channel "$how@5000" token_create
done
wanted channel-delay   && check channel-delay 0 "$passes" "$tt" run -k "$kernel" -f pretty -o "$work/delay" --lie-channel delay@0 token_create
wanted full-disk       && check full-disk 3 'no space left on device' inMounts "mkdir -p $work/small && mount -t tmpfs -o size=300k tmpfs $work/small && exec $tt run -k $kernel -q -o $work/small/out map_create"
wanted two-runs        && check two-runs 2 'it exists; a run has a directory of its own' both
wanted cache-unwritable && check cache-unwritable 3 'the cache .* is not writable|read-only file system' inMounts "mkdir -p $work/ro && mount -t tmpfs tmpfs $work/ro && mount -o remount,ro $work/ro && exec $tt run -k $kernel --cache $work/ro -q -o $work/roout nested_userns"
wanted cache-half      && check cache-half 0 "$passes" halfCache
wanted console-flood   && check console-flood 0 '^all said$' "$tt" exec -k "$kernel" --with "$(command -v yes)" --with "$(command -v head)" -- sh -c 'yes "a program floods the console" | head -c 3000000 > /dev/console; echo all said'
wanted console-unread  && check console-unread 0 '^3000 lines$' unread
wanted channel-flood   && check channel-flood 0 '^268435456$' sh -c "$tt exec -k $kernel --with $(command -v head) -- sh -c 'head -c 268435456 /dev/zero' | wc -c"
wanted guest-clock     && check guest-clock 0 '^20[0-9][0-9]$' "$tt" exec -k "$kernel" --with "$(command -v date)" --with "$(command -v sleep)" -- sh -c 'date -s 2040-01-01 >&2; sleep 1; date -s 1990-01-01 >&2; sleep 1; date -s 2040-01-01 >&2; date +%Y'
wanted guest-panic     && cp cases/matrix/map_create.txt "$work/behind.txt"
wanted guest-panic     && check guest-panic 1 'PANICKED machine 1 of 2: kernel panic: sysrq triggered crash' "$tt" run -k "$kernel" -f pretty -o "$work/panic" prog_load cases/canary/panic.txt "$work/behind.txt"
wanted guest-panic     && check none-lost 0 ' 0 lost' sh -c "echo \$(( \$($tt list cases prog_load map_create | wc -l) + 1 - \$(grep -c '\"case\"' $work/panic/records.jsonl) )) | sed 's/^/ /; s/\$/ lost/'"
wanted foreign-apt     && check foreign-apt 0 'waiting for apt-get \(process [0-9]+\), which holds the lock' foreignApt
wanted foreign-git     && check foreign-git 3 'waiting for another git, which holds the lock' foreignGit
wanted signals         && check signals 0 '^ok +run-TERM: exit 3' scripts/signals.sh "$kernel"
wanted left            && check left-behind 0 '^none$' sh -c "pgrep -f '[q]emu.*$work' || echo none"
exit $failed
