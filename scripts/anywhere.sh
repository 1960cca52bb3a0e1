#!/usr/bin/env bash
# Checks that the program needs nothing but itself and QEMU: an ordinary user runs it from an empty directory, with an
# empty HOME and without Go in PATH. Usage: scripts/anywhere.sh [KERNEL [PROGRAM]]. PROGRAM may be a tokentest from
# "make dist" or one that is installed. As root it becomes the user nobody.
set -eu
cd "$(dirname "$0")/.."

kernel=${1:-deb:6.12}
program=$(realpath "${2:-bin/tokentest}")
command -v jq >/dev/null || { echo "anywhere: no jq: apt-get install -y jq" >&2; exit 3; }
image=$("$program" kernel fetch --quiet --json "$kernel" | jq -r .image)

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/path" "$dir/home" "$dir/empty"
cp "$program" "$dir/tokentest"
cp "$image" "$dir/bzImage"
for command in qemu-system-x86_64 sh; do
	ln -s "$(command -v "$command")" "$dir/path/"
done
become=
chmod 755 "$dir"
if [ "$(id -u)" = 0 ]; then
	become="setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --inh-caps=-all"
	chown 65534:65534 "$dir/home" "$dir/empty"
fi

# user ARG...: the ordinary user calls the program.
user() {
	# shellcheck disable=SC2086 # become is several words
	(cd "$dir/empty" && exec $become "$(command -v env)" -i HOME="$dir/home" PATH="$dir/path" TERM=dumb "$dir/tokentest" "$@")
}

# check NAME COMMAND...: it must succeed.
check() {
	local name=$1
	shift
	if ! "$@" >/dev/null; then
		echo "anywhere: $name: not as expected: $*" >&2
		exit 1
	fi
	echo "anywhere: $name"
}

# closed: what a closed standard output loses is an error.
closed() {
	local code=0
	user version >&- || code=$?
	test "$code" = 3
}
check "a closed standard output is an error" closed

agent=$(user version --json | jq -re .agent)
check "the program has an agent" test -n "$agent"
check "the program has at most 45 MB" test "$(stat -c %s "$dir/tokentest")" -le 45000000
user run -k "$dir/bzImage" --format json token_create >"$dir/run.json"
# shellcheck disable=SC2016 # $agent is jq's
check "cases run" jq -es --arg agent "$agent" '.[0] | .exit_code == 0 and .tool == $agent' "$dir/run.json"
# shellcheck disable=SC2016 # the machine's shell expands it
check "a program runs in a machine" test "$(user exec -q -k "$dir/bzImage" -- sh -c 'echo $((6 * 7))')" = 42
# shellcheck disable=SC2016 # the machine's shell expands it
printf '#!/bin/sh\necho "$1"\n' >"$dir/script"
chmod 755 "$dir/script"
check "a script has its arguments" test "$(user exec -q -k "$dir/bzImage" --with "$dir/script:/script" -- sh -c '/script seen')" = seen
check "the shell has u-root's commands" test "$(echo 'uname -s; exit' | user shell -q -k "$dir/bzImage")" = Linux
check "the built-in files can be printed" cmp -s <(user files vmtest.mk) scripts/vmtest.mk
check "it installs no Go, and finds none" sh -c "! ls -A '$dir/home' '$dir/home/.cache' | grep -i '^go'"

# restored: the time in a machine that was restored from a snapshot is that of the host.
restored() {
	local before guest
	user exec -q --snapshot=always -k "$dir/bzImage" -- sh -c : || return 1
	sleep 10
	before=$(date +%s)
	guest=$(user exec -q --snapshot=always -k "$dir/bzImage" -- "$(command -v date)" +%s)
	test "$guest" -ge "$before" && test "$guest" -le "$(date +%s)"
}
check "the clock of a restored machine is the host's" restored
