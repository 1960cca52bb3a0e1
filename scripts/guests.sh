#!/usr/bin/env bash
# Runs the unit tests of the guest's packages as programs of other architectures, s390x (big-endian) first, with qemu-user
# where it is installed. What it cannot run it names. Usage: scripts/guests.sh [GOARCH...].
set -eu
cd "$(dirname "$0")/.."

# user GOARCH: the program of qemu-user for it.
user() {
	local name=$1 suffix
	case $1 in
	arm64) name=aarch64 ;;
	386) name=i386 ;;
	loong64) name=loongarch64 ;;
	esac
	for suffix in -static ''; do
		command -v "qemu-$name$suffix" && return
	done
	return 1
}

[ $# -gt 0 ] || set -- s390x arm64 riscv64 ppc64le arm 386
for goarch in "$@"; do
	if ! emulator=$(user "$goarch"); then
		echo "guests: $goarch: skipped: no qemu-user for it: apt-get install -y qemu-user-static" >&2
		continue
	fi
	echo "guests: $goarch"
	CGO_ENABLED=0 GOARCH=$goarch go test -vet=off -exec "$emulator" ./cases/step ./harness/wire ./harness/bodies \
		./harness/guest ./images/init
done
