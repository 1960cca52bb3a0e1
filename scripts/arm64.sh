#!/usr/bin/env bash
# Checks that the program for linux/arm64 runs: its version, its cases and what it explains are those of the program for
# this machine. Usage: scripts/arm64.sh [PROGRAM]; without PROGRAM it builds one. It needs qemu-user-static.
set -eu
cd "$(dirname "$0")/.."

if ! command -v qemu-aarch64-static >/dev/null; then
	echo "arm64: skipped: no qemu-aarch64-static: apt-get install -y qemu-user-static" >&2
	exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
program=${1-}
if [ -z "$program" ]; then
	program=$dir/tokentest
	CGO_ENABLED=0 GOARCH=arm64 go build -o "$program" ./harness/cmd/tokentest
fi

# arm ARG...: the program for arm64.
arm() { HOME=$dir qemu-aarch64-static "$program" "$@"; }

arm version --json >"$dir/version"
grep -q '"platform": *"linux/arm64"' "$dir/version"
echo "arm64: version"
for command in "list cases" "explain token_create/any/owner/CAP_BPF/0" "explain --diff 6.12 7.3 token_create"; do
	# shellcheck disable=SC2086 # several words
	cmp <(arm $command) <(HOME=$dir bin/tokentest $command)
	echo "arm64: $command"
done
