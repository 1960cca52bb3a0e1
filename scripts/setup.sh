#!/bin/sh
# Installs QEMU if it is missing, and checks the Go version. Usage: scripts/setup.sh [--kernel REF] [COMMAND...]: QEMU
# is that of the architecture in REF (deb:6.12/ARCH), or else of this host. It also installs each COMMAND that is
# missing, from the package of that name. It asks no question, and prints nothing if nothing is missing. Exit status: 0
# nothing is missing, 3 something is missing and could not be installed.
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

arch=$(uname -m)
if [ "${1-}" = --kernel ]; then
	case $2 in
	deb:*/*)
		arch=${2#*/}
		arch=${arch%%:*}
		;;
	esac
	shift 2
fi

# qemu DISTRIBUTION...: QEMU's program and package; of several distributions the first one that has a row. A test of
# harness/arch writes the table. An architecture without a row has none: tokentest says so.
qemu() {
	for id in "$@"; do
		while read -r names program of package; do
			case ",$names," in *",$arch,"*) if [ "$id" = "$of" ]; then
				echo "$program $package"
				return
			fi ;; esac
		done <scripts/packages.txt
	done
}
program=$(qemu debian)
program=${program% *}

missing=
for command in $program "$@"; do
	command -v "$command" >/dev/null || missing="$missing $command"
done
if [ -z "$missing" ]; then
	exit 0
fi

# packages DISTRIBUTION: the packages of the missing commands.
packages() {
	# shellcheck source=/dev/null # it is the host's
	version=$(. "${OS_RELEASE:-/etc/os-release}" 2>/dev/null && echo "${VERSION_ID-}") || version=
	package=$(qemu "$1$version" "$1")
	for command in $missing; do
		if [ "$command" = "$program" ]; then printf ' %s' "${package#* }"; else printf ' %s' "$command"; fi
	done
}
if command -v apt-get >/dev/null; then
	install="apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends$(packages debian)"
elif command -v dnf >/dev/null; then
	install="dnf -qy install$(packages fedora)"
elif command -v pacman >/dev/null; then
	install="pacman -Sy --noconfirm$(packages arch)"
elif command -v zypper >/dev/null; then
	install="zypper -nq install$(packages suse)"
else
	say "missing:$missing; install it ($program is QEMU's system emulator)"
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
