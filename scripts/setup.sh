#!/bin/sh
# Installs QEMU for x86 if it is missing, and checks the Go version. It asks no question, and prints nothing if nothing is
# missing. Exit status: 0 nothing is missing, 3 something is missing and could not be installed.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }

# go list rejects a go.mod that needs a newer Go, after the go command tried to fetch that toolchain.
if ! command -v go >/dev/null; then
	say "no go command: install Go $(sed -n 's/^go //p' go.mod) or newer"
	exit 3
elif ! lines=$(go list -m 2>&1); then
	say "the go command does not accept this module: $lines"
	exit 3
fi

if command -v qemu-system-x86_64 >/dev/null; then
	exit 0
fi

if command -v apt-get >/dev/null; then
	install='apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends qemu-system-x86'
elif command -v dnf >/dev/null; then
	install='dnf -qy install qemu-system-x86-core'
elif command -v pacman >/dev/null; then
	install='pacman -Sy --noconfirm qemu-system-x86'
elif command -v zypper >/dev/null; then
	install='zypper -nq install qemu-x86'
else
	say "qemu-system-x86_64 is missing: install QEMU's system emulator for x86"
	exit 3
fi

if [ "$(id -u)" = 0 ]; then
	root=
elif sudo -n true 2>/dev/null; then
	root='sudo -n'
else
	say "qemu-system-x86_64 is missing; run as root: $install"
	exit 3
fi

say "installing QEMU: $install"
if ! $root sh -c "$install" </dev/null >&2; then
	say "could not install QEMU"
	exit 3
fi
