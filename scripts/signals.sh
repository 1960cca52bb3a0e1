#!/usr/bin/env bash
# Sends a signal to each command while it works, on a real kernel, and checks
# the exit code, the time, and that no process is left.
# Usage: scripts/signals.sh [KERNEL [ROW...]]
# LIMIT is the number of milliseconds in which a command must end. It ends within
# a second on an idle host; a busy host needs more.
set -u
cd "$(dirname "$0")/.." || exit 3
kernel=${1:-deb:6.12}; shift || true
only=" $* "
tt=$PWD/bin/tokentest
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
limit=${LIMIT:-3000}
cold=$work/cold
failed=0

descendants() {
	local p
	for p in $(pgrep -P "$1"); do
		echo "$p"
		descendants "$p"
	done
}
# busy PID PROGRAM: true once tokentest has started PROGRAM, once it or the program in the machine has printed UNTIL,
# or once the kernel log LOG holds the mark MARK; for -, true after two seconds.
busy() {
	local p
	[ "$2" != - ] || { sleep 2; return 0; }
	[ -z "${MARK:-}" ] || { grep -qs "$MARK" "$LOG"; return; }
	[ -z "${UNTIL:-}" ] || { grep -q "$UNTIL" "$work/out" "$work/err" && return 0; return 1; }
	for p in $(descendants "$1"); do
		case $(cat "/proc/$p/comm" 2>/dev/null) in $2*) return 0 ;; esac
	done
	return 1
}
left() { grep -qs '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status"; }

# row NAME SIGNAL PROGRAM EXIT-CODES ARG...: sends the signal to a command once it has started PROGRAM.
row() {
	local name=$1 sig=$2 program=$3 want=$4 pid p family start code took why=; shift 4
	[ "$only" = "  " ] || [[ $only == *" $name "* ]] || return
	"$tt" "$@" >"$work/out" 2>"$work/err" <"${INPUT:-/dev/null}" & pid=$!
	until busy "$pid" "$program"; do
		kill -0 "$pid" 2>/dev/null || { why="it ended before the signal"; break; }
		sleep 0.05
	done
	[ -z "${ALSO:-}" ] || sleep "$ALSO"
	family=$(descendants "$pid")
	start=$(date +%s%N)
	kill "-$sig" "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; code=$?
	took=$((($(date +%s%N) - start) / 1000000))
	[[ ",$want," == *",$code,"* ]] || why+=" exit $code, want $want"
	[ "$took" -le "$limit" ] || why+=" it took $took ms"
	grep -q goroutine "$work/err" && why+=" it printed goroutines"
	sleep 2
	for p in $family; do left "$p" && why+=" $(tr '\0' ' ' <"/proc/$p/cmdline") is left"; done
	if [ -z "$why" ]; then
		echo "ok      $name: exit $code after $took ms, $(wc -w <<<"$family") processes ended"
	else
		echo "NOT OK  $name:$why"; tail -n 5 "$work/err" | sed 's/^/        /'; failed=1
	fi
}

mkfifo "$work/pipe.txt"
{
	printf '%s\n' 'about Many steps.' 'actor owner userns uid=1000' 'actor other init uid=4242' \
		'owner bpffs cmds=map_create maps=hash -> b' 'owner token_create bpffs=b -> t' \
		'control owner map_create type=hash token=t' 'control other map_create type=hash => EPERM'
	yes 'owner map_create type=hash token=t' | head -n 200000
} >"$work/many.txt"

# Commands that compute or read.
for sig in TERM INT QUIT HUP; do
	row "diff-$sig" $sig - 3 explain --diff 6.12 7.3
done
row steps TERM - 3 explain "$work/many.txt"
row random TERM - 3 run -k "$kernel" --random 100000000
row pipe TERM - 3 list cases "$work/pipe.txt"
row denylist TERM - 3 run -k "$kernel" --denylist "$work/pipe.txt"

# Commands that run machines.
for sig in TERM INT QUIT HUP; do
	row "run-$sig" $sig qemu 3 run -k "$kernel" -o "$work/run-$sig" map_create
done
row run-in-git-bisect TERM qemu 128 run --bisect -k "$kernel" -o "$work/bisecting" map_create
MARK='begin cells' LOG=$work/full/kernel0/boot0/console.log row run-cells TERM qemu 3 run -k "$kernel" --full -o "$work/full" map_create prog_load
UNTIL="shrink .*round" row shrink TERM qemu 1 run -k "$kernel" -o "$work/shrunk" --random 60 --seed 1 --lie-rule token_create/no-cap-bpf
row bench TERM qemu 3 bench -k "$kernel"
row exec TERM qemu 125 exec -k "$kernel" -- sleep 1000
# 143 if the guest's program gets the signal in time.
# shellcheck disable=SC2016 # for the guest's shell
UNTIL=up row exec-program TERM qemu 143,125 exec -k "$kernel" -- sh -c 'echo up; while :; do :; done'
# shellcheck disable=SC2016 # for the guest's shell
UNTIL=up row exec-stubborn INT qemu 125 exec -k "$kernel" -- sh -c 'trap "" INT TERM; echo up; while :; do :; done'
INPUT=<(sleep 60) row shell TERM qemu 125 shell -k "$kernel"
row bisect TERM qemu 3 bisect --good deb:6.12 --bad deb:7.3 --ends -o "$work/bisect" token_create
row run-KILL KILL qemu 137 run -k "$kernel" -o "$work/run-KILL" map_create
printf '#!/bin/sh\nqemu-system-x86_64 "$@"\n' >"$work/qemu" && chmod +x "$work/qemu"
row wrapper-KILL KILL qemu-system 137 run -k "$kernel" --qemu "$work/qemu" -o "$work/wrapper" map_create

# Commands that read the record of a run.
if [ -d "$work/run-TERM" ]; then
	cp -r "$work/run-TERM" "$work/stored" && rm "$work/stored/records.jsonl" && mkfifo "$work/stored/records.jsonl"
	row report TERM - 3 report "$work/stored"
	row html TERM - 3 report -f html "$work/stored"
	row compare TERM - 3 compare "$work/stored" "$work/stored"
	row resume TERM - 3 run --resume "$work/stored"
fi

# Commands that run other programs.
row fetch TERM apt-get 3 kernel fetch --cache "$cold" deb:6.12
row fetch-KILL KILL apt-get 137 kernel fetch --cache "$cold" deb:6.12
row download-KILL KILL apt-helper 137 kernel fetch --cache "$cold" deb:6.12
row unpack KILL tar 137 kernel build --cache "$cold" src:6.12
ALSO=5 row build TERM cc1 3 kernel build --cache "$cold" src:6.12
ALSO=5 row build-KILL KILL cc1 137 kernel build --cache "$cold" src:6.12
# seriesOf TREE: clones the tree and writes a commit as a series.
seriesOf() {
	git clone -q --shared "$1" "$work/tree" || return
	echo '/* a change */' >>"$work/tree/kernel/bpf/token.c"
	git -C "$work/tree" -c user.name=t -c user.email=t@t commit -qam 'bpf: change nothing' &&
		git -C "$work/tree" format-patch -q --stdout HEAD~1 >"$work/series.mbox"
}
tree=$(echo "$cold"/trees/linux-source-*/src)
if [ -d "$tree" ] && seriesOf "$tree"; then
	row series TERM cc1 3 series "$work/series.mbox" --base "git:$work/tree#HEAD~1" --cache "$cold" -o "$work/series" token_create
	row series-KILL KILL cc1 137 series "$work/series.mbox" --base "git:$work/tree#HEAD~1" --cache "$cold" -o "$work/series-KILL" token_create
fi
exit $failed
