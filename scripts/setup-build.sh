#!/bin/sh
# Installs missing packages that a kernel build needs. It asks no question, and prints nothing if none is missing.
# Exit status: 0 nothing is missing, 3 something is missing and could not be installed.
set -eu

say() { echo "setup: $*" >&2; }

lost=
for pair in make:make gcc:gcc ld:binutils flex:flex bison:bison bc:bc perl:perl git:git pahole:pahole lz4:lz4 cpio:cpio; do
	command -v "${pair%%:*}" >/dev/null || lost="$lost ${pair##*:}"
done
for pair in gelf.h:libelf-dev openssl/opensslv.h:libssl-dev; do
	case $lost in *' gcc'*) lost="$lost ${pair##*:}" && continue ;; esac
	echo "#include <${pair%%:*}>" | gcc -fsyntax-only -x c - 2>/dev/null || lost="$lost ${pair##*:}"
done
if [ -z "$lost" ]; then
	exit 0
fi

if ! command -v apt-get >/dev/null; then
	say "missing packages for kernel builds:$lost (the names are Debian's)"
	exit 3
elif [ "$(id -u)" = 0 ]; then
	root=
elif sudo -n true 2>/dev/null; then
	root='sudo -n'
else
	say "missing packages for kernel builds:$lost; run as root: apt-get install -y$lost"
	exit 3
fi

# ccache is optional; it makes builds faster.
install="apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends$lost ccache"
say "installing packages for kernel builds: $install"
if ! $root sh -c "$install" </dev/null >&2; then
	say "the installation failed"
	exit 3
fi
