#!/bin/sh
# Installs what `make vmtest` needs and this machine lacks: QEMU for x86. Go it only looks at. It asks no question and
# prints nothing when all is there. Exit status: 0 all there, 3 something is missing that it could not install.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }

# go list refuses a go.mod that is too new, after the go command has tried to fetch the toolchain that it asks for.
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
	say "no qemu-system-x86_64: install QEMU's system emulator for x86"
	exit 3
fi

if [ "$(id -u)" = 0 ]; then
	root=
elif sudo -n true 2>/dev/null; then
	root='sudo -n'
else
	say "no qemu-system-x86_64 and no right to install it; run as root: $install"
	exit 3
fi

say "installing QEMU: $install"
if ! $root sh -c "$install" </dev/null >&2; then
	say "could not install QEMU"
	exit 3
fi
