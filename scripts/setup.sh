#!/bin/sh
# Installs QEMU for x86 if it is missing, and checks the Go version. Usage: scripts/setup.sh [COMMAND...]: it also installs
# each COMMAND that is missing, from the package of that name. It asks no question, and prints nothing if nothing is
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

missing=
for command in qemu-system-x86_64 "$@"; do
	command -v "$command" >/dev/null || missing="$missing $command"
done
if [ -z "$missing" ]; then
	exit 0
fi

# packages QEMU-PACKAGE: the packages of the missing commands.
packages() {
	for command in $missing; do
		if [ "$command" = qemu-system-x86_64 ]; then printf ' %s' "$1"; else printf ' %s' "$command"; fi
	done
}
if command -v apt-get >/dev/null; then
	install="apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends$(packages qemu-system-x86)"
elif command -v dnf >/dev/null; then
	install="dnf -qy install$(packages qemu-system-x86-core)"
elif command -v pacman >/dev/null; then
	install="pacman -Sy --noconfirm$(packages qemu-system-x86)"
elif command -v zypper >/dev/null; then
	install="zypper -nq install$(packages qemu-x86)"
else
	say "missing:$missing; install it (qemu-system-x86_64 is QEMU's system emulator for x86)"
	exit 3
fi

if [ "$(id -u)" = 0 ]; then
	root=
elif sudo -n true 2>/dev/null; then
	root='sudo -n'
else
	say "missing:$missing; run as root: $install"
	exit 3
fi

say "installing$missing: $install"
if ! $root sh -c "$install" </dev/null >&2; then
	say "could not install$missing"
	exit 3
fi
