#!/usr/bin/env bash
# Injects faults into runs of a real kernel under a real QEMU, and checks the
# exit code and the JSON report. README.md lists the faults.
# Usage: scripts/faults.sh [KERNEL [FAULT...]]
# shellcheck disable=SC2317 # check calls the functions
set -u
cd "$(dirname "$0")/.." || exit 3
kernel=${1:-deb:6.12}; shift || true
only=" $* "
tt=$PWD/bin/tokentest
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

command -v jq >/dev/null || { echo "faults: no jq: apt-get install -y jq" >&2; exit 3; }

# verdict NAME WHY SUMMARY: prints the row. WHY is "" for a row that is as expected.
verdict() {
	if [ -z "$2" ]; then
		echo "ok      $1: $3"
		return
	fi
	failed=1
	echo "NOT OK  $1: $2"
	cat "$work/report" "$work/messages" | tail -n 25 | cut -c1-300 | sed 's/^/        /'
}
# check NAME EXIT-CODE FILTER COMMAND...: the command prints a JSON report, for which the jq filter must hold.
check() {
	local name=$1 code=$2 filter=$3 got why=; shift 3
	("$@") >"$work/report" 2>"$work/messages"; got=$?
	[ "$got" = "$code" ] || why="exit $got, want $code"
	jq -es "$defs last | $filter" "$work/report" >/dev/null 2>&1 || why+="${why:+, }not: $filter"
	verdict "$name" "$why" "exit $got, $(jq -rs "$defs last | summary" "$work/report" 2>/dev/null)"
}
# says NAME EXIT-CODE PATTERN COMMAND...: a line of the output matches. This is for output of programs in the
# machine, and for messages whose words are what the user needs.
says() {
	local name=$1 code=$2 text=$3 got why=; shift 3
	("$@") >"$work/report" 2>"$work/messages"; got=$?
	[ "$got" = "$code" ] || why="exit $got, want $code"
	grep -qE -- "$text" "$work/report" "$work/messages" || why+="${why:+, }no line matches /$text/"
	verdict "$name" "$why" "exit $got, $(grep -ohE -m1 -- "$text" "$work/report" "$work/messages" | head -n 1)"
}
# What filters use. passes: every kernel has results, and every result is as expected.
# shellcheck disable=SC2016 # jq variables
defs='
	def n($status): .counts[$status] // 0;
	def passes: .exit_code == 0 and all(.kernels[]; n("pass") > 0 and n("fail") == 0 and n("broken") == 0);
	def boots: [(.kernels // [.])[].boots[]];
	def summary: if .kernels then "\([.kernels[] | n("pass")] | add) pass, " else "" end
		+ "machines: \(boots | map(.fate) | join(" "))";
'
# run ARG...: a run that prints its JSON report.
run() { exec "$tt" run -k "$kernel" -q -f json "$@"; }
wanted() { [ "$only" = "  " ] || [[ $only == *" $1 "* ]]; }
qemu() { pgrep -P "$1" qemu | head -1; }

# disturb SIGNAL TEXT ARG...: a run whose first QEMU gets the signal when its console contains TEXT. It boots one
# machine at a time.
disturb() {
	local sig=$1 when=$2 out=$work/run.$RANDOM pid; shift 2
	run -o "$out" --jobs 1 --snapshot=never "$@" map_create &
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
		run -o "$work/crowd$i" "$@" >"$work/crowd$i.json" &
		pids+=($!)
	done
	for i in $(seq "$n"); do
		wait "${pids[i-1]}" || { cat "$work/crowd$i.json"; return 1; }
	done
	cat "$work"/crowd*.json
}
# tokentest itself is stopped for longer than its deadline, then continues.
stopped() {
	run -o "$work/stopped" --deadline 60s token_create &
	local pid=$!
	sleep 4; kill -STOP "$pid"; sleep 65; kill -CONT "$pid"
	wait "$pid"
}
# A guest that is stuck in its kernel. If root may use real-time priority, QEMU gets a processor of its own,
# because on a busy host a stuck guest is not the kernel's fault.
calm() {
	local first=(); if chrt -r 1 true 2>/dev/null; then first=(chrt -r 1); fi
	"${first[@]}" "$tt" exec -k "$kernel" -o "$work/stuck" -- "$work/lockup" 60 >&2
	local code=$?
	cat "$work/stuck/machine.json"
	return "$code"
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
	run -o "$work/killed" map_create >/dev/null &
	local pid=$! vm
	until grep -q 'begin cells [1-9]' "$work/killed/kernel0/boot0/console.log" 2>/dev/null; do sleep 0.05; done
	vm=$(qemu "$pid")
	kill -KILL "$pid"; wait "$pid" 2>/dev/null; sleep 0.3
	grep -qs '^State:[[:space:]]*[^Z[:space:]]' "/proc/$vm/status" && { echo "QEMU $vm is still running" >&2; return 98; }
	truncate -s -3 "$work/killed/kernel0/boot0/control.out"
	"$tt" report "$work/killed" -f json >"$work/recalled"
	[ $? = 3 ] || return 97
	jq -e "$defs $partly" "$work/recalled" >/dev/null || { cat "$work/recalled"; return 96; }
	"$tt" run --resume "$work/killed" -q -f json
}
# An interrupted run: some cases passed, none failed, and the others were not tried.
partly='.interrupted and (.kernels[0] | n("pass") > 0 and n("interrupted") > 0 and n("fail") + n("broken") == 0)'
# The run is interrupted: its report has the directory with which it can be resumed.
interrupted() {
	run -o "$work/int" map_create >"$work/printed" &
	local pid=$!
	until grep -q 'begin cells [1-9]' "$work/int/kernel0/boot0/console.log" 2>/dev/null; do sleep 0.05; done
	kill -INT "$pid"; wait "$pid"
	[ $? = 3 ] || return 97
	jq -e "$defs $partly and .resume == [\"$work/int\"]" "$work/printed" >/dev/null || { cat "$work/printed"; return 96; }
	"$tt" run --resume "$work/int" -q -f json
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
		"$tt" report "$work/stored/$name" -f json >"$work/said"
		[ $? = 3 ] || { echo "sed $how: report does not notice it"; return 98; }
		jq -e '.damage[0] | (.file | endswith("records.jsonl")) and .line > 0' "$work/said" >/dev/null || { echo "sed $how: no line is named"; return 97; }
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
	"$tt" report "$work/stored/whole" -f json >"$work/said" && echo "all $n were noticed"
}
inMounts() { unshare -rm sh -c "$1"; }
both() {
	run -o "$work/both" nested_userns & local pid=$!
	until [ -d "$work/both" ]; do sleep 0.01; done
	(run -o "$work/both" nested_userns); local code=$?
	wait "$pid" && return "$code"
}
halfCache() {
	mkdir -p "$work/cache" # without the parts that take minutes to copy
	for f in accel.json apt images kernels; do cp -r ~/.cache/tokentest/"$f" "$work/cache/"; done
	for f in "$work"/cache/images/*/initrd.cpio; do truncate -s 1000 "$f"; done
	mkdir "$work/cache/images/.fill-left"
	run --cache "$work/cache" -o "$work/half" nested_userns
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

# setting NAME BOOTED RUNNING ARG...: a kernel booted with the arguments. The record holds the setting's value
# before and after the guest's changes, and every case that depends on a setting passes or is skipped.
setting() {
	local name=$1 want="{\"booted\":$2,\"running\":$3}" out=$work/setting.$RANDOM arg append=() code; shift 3
	for arg; do append+=(--append "$arg"); done
	(run -o "$out" "${append[@]}" </dev/null lockdown jit_settings ptrace_scope speculation parity_kallsyms \
		abuse_taken abuse_same_uid file_calls lsm_bpf limits limits_token sysctl_locked special_fields library_off masks before_tokens \
		'verifier/0/*' 'prog_gate/none/*' 'map_unprivileged/*')
	code=$?
	[ "$code" = 0 ] || return "$code"
	# This line is the kernel's.
	grep -q "writing to proc file to set sysctl parameter '$name=" "$out/kernel0/boot0/console.log" && { echo "the kernel does not let $name be set" >&2; return; }
	jq -e --arg name "$name" --argjson want "$want" '[.. | objects | .[$name]? // empty] | any(. == $want)' "$out/run.json" >/dev/null ||
		{ echo "the record has no $name $want" >&2; return 98; }
	# What explain shows is text for people: the setting must have a line of its own.
	"$tt" explain lockdown --facts "$out" | grep -qE "^  $name +" || { echo "explain --facts does not show $name" >&2; return 97; }
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
	if wanted settings || wanted "setting-$row"; then check "setting-$row" 0 passes setting "$name" "$booted" "$running" $args; fi
done < <(settings)

# killedBy SIGNAL FATE: the first machine ended so.
killedBy() { echo "boots[0] | .fate == \"$2\" and .signal == \"$1\""; }

wanted killed-early    && check killed-early 3 'boots[0].signal == "SIGKILL"' disturb KILL '^\['
wanted killed-in-setup && check killed-in-setup 3 "$(killedBy SIGKILL lost)" disturb KILL 'begin set-up'
wanted killed-in-cells && check killed-in-cells 3 "$(killedBy SIGKILL lost)" disturb KILL 'begin cells'
wanted qemu-crashed    && check qemu-crashed 3 "(boots | length) == 1 and ($(killedBy SIGABRT infra))" disturb ABRT '^\['
wanted qemu-paused     && PAUSE=40 check qemu-paused 0 passes disturb STOP 'begin set-up'
wanted busy-host       && check busy-host 0 passes crowd 12 token_create
wanted lockup          && CGO_ENABLED=0 go build -o "$work/lockup" ./scripts/lockup
wanted lockup          && check lockup 1 'boots[0].findings | any(.Kind == "lockup" or .Kind == "rcu")' calm
wanted qemu-stopped    && check qemu-stopped 3 "$(killedBy SIGSTOP lost)" disturb STOP 'begin cells' --deadline 60s
wanted tool-stopped    && check tool-stopped 0 passes stopped
wanted tool-killed     && check tool-killed 0 passes resumed
wanted interrupted     && check interrupted 0 'passes and (.kernels[0] | (.cases | length) == .planned)' interrupted
wanted damaged         && says damaged 0 '^all 8 were noticed$' damaged
# Byte 7000 is after the hello record. If a byte of that record is missing, the host only notices the silence.
for how in flip drop repeat; do
	wanted "channel-$how" && check "channel-$how" 3 'boots | any(.corrupt)' "$tt" run -k "$kernel" -q -f json -o "$work/$how" --lie-channel "$how@7000" token_create
done
wanted channel-delay   && check channel-delay 0 passes "$tt" run -k "$kernel" -q -f json -o "$work/delay" --lie-channel delay@0 token_create
# The operating system's words for ENOSPC and EROFS.
wanted full-disk       && says full-disk 3 'no space left on device' inMounts "mkdir -p $work/small && mount -t tmpfs -o size=300k tmpfs $work/small && exec $tt run -k $kernel -q -o $work/small/out map_create"
wanted cache-unwritable && says cache-unwritable 3 'read-only file system' inMounts "mkdir -p $work/ro && mount -t tmpfs tmpfs $work/ro && mount -o remount,ro $work/ro && exec $tt run -k $kernel --cache $work/ro -q -o $work/roout nested_userns"
# The error names the directory in use.
wanted two-runs        && says two-runs 2 "$work/both" both
wanted cache-half      && check cache-half 0 passes halfCache
# Programs in the machine print these lines.
wanted console-flood   && says console-flood 0 '^all said$' "$tt" exec -k "$kernel" --with "$(command -v yes)" --with "$(command -v head)" -- sh -c 'yes "a program floods the console" | head -c 3000000 > /dev/console; echo all said'
wanted console-unread  && says console-unread 0 '^3000 lines$' unread
wanted channel-flood   && says channel-flood 0 '^268435456$' sh -c "$tt exec -k $kernel --with $(command -v head) -- sh -c 'head -c 268435456 /dev/zero' | wc -c"
wanted guest-clock     && says guest-clock 0 '^20[0-9][0-9]$' "$tt" exec -k "$kernel" --with "$(command -v date)" --with "$(command -v sleep)" -- sh -c 'date -s 2040-01-01 >&2; sleep 1; date -s 1990-01-01 >&2; sleep 1; date -s 2040-01-01 >&2; date +%Y'
# The machine panics under one case: a second one runs the others, and no result is lost.
panicked='boots | length == 2 and .[0].fate == "panicked" and (.[0].findings | any(.Title == "kernel panic: sysrq triggered crash"))'
wanted guest-panic     && cp cases/matrix/map_create.txt "$work/after.txt"
wanted guest-panic     && all=$(run -o "$work/calm" prog_load "$work/after.txt" | jq -s 'last.kernels[0].cases | length')
wanted guest-panic     && check guest-panic 1 "($panicked) and (.kernels[0].cases | length) == $((all + 1))" \
	"$tt" run -k "$kernel" -q -f json --jobs 1 --snapshot=never -o "$work/panic" prog_load cases/canary/panic.txt "$work/after.txt"
# A wait for a lock of another program names it.
wanted foreign-apt     && says foreign-apt 0 'waiting for apt-get \(process [0-9]+\), which holds the lock' foreignApt
wanted foreign-git     && says foreign-git 3 'waiting for another git, which holds the lock' foreignGit
wanted signals         && says signals 0 '^ok +run-TERM' scripts/signals.sh "$kernel"
wanted left            && says left-behind 0 '^none$' sh -c "pgrep -f '[q]emu.*$work' || echo none"
exit $failed
