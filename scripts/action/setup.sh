#!/usr/bin/env bash
# A step of action.yml: it installs QEMU if it is missing, lets the job use KVM, and builds tokentest unless PROGRAM
# names one.
set -eu

if [ -z "${PROGRAM-}" ]; then
	here=$(cd "$(dirname "$0")/../.." && pwd)
	make -s -C "$here" setup build >&2
	PROGRAM=$here/bin/tokentest
elif ! command -v qemu-system-x86_64 >/dev/null; then
	sudo sh -c 'apt-get -q update && apt-get -qy install --no-install-recommends qemu-system-x86' >&2
fi
if [ -e /dev/kvm ] && [ ! -w /dev/kvm ]; then
	sudo chmod 666 /dev/kvm || echo "/dev/kvm stays closed: guests are emulated" >&2
fi
"$PROGRAM" --version >&2
echo "program=$(realpath "$PROGRAM")" >>"$GITHUB_OUTPUT"
