#!/bin/sh
# Installs what building a kernel needs and this machine lacks. It asks no question and prints nothing when all is
# there. Exit status: 0 all there, 3 something is missing that it could not install.
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
	say "kernels cannot be built without:$lost (Debian's names)"
	exit 3
elif [ "$(id -u)" = 0 ]; then
	root=
elif sudo -n true 2>/dev/null; then
	root='sudo -n'
else
	say "kernels cannot be built without:$lost; run as root: apt-get install -y$lost"
	exit 3
fi

# ccache only makes it quicker.
install="apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends$lost ccache"
say "installing what builds a kernel: $install"
if ! $root sh -c "$install" </dev/null >&2; then
	say "could not install it"
	exit 3
fi
