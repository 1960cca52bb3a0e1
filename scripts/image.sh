#!/usr/bin/env bash
# Makes a container image of a release (see dist.sh) as an OCI layout in DIR/image, without docker and without root: QEMU
# and what it needs from Debian's packages, which this host's apt verifies, and the program.
# Usage: scripts/image.sh VERSION [DIR [ARCH...]]. The image has no list of apt's sources: mount /etc/apt for deb: kernels.
set -eu
cd "$(dirname "$0")/.."
umask 022

version=${1:?usage: scripts/image.sh VERSION [DIR [ARCH...]]}
dir=${2:-dist}
shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- amd64
for command in apt-get dpkg-deb; do
	command -v $command >/dev/null || { echo "image: no $command: this needs Debian or a derived system" >&2; exit 3; }
done
made=$(git log -1 --format=%ct)
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp" && rm -rf "$tmp"' EXIT
packages='qemu-system-x86 apt debian-archive-keyring ca-certificates dash coreutils'

# A private state, in which nothing is installed, makes apt name everything that the packages need.
private() {
	apt-get -q -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::State::Lists="$apt/lists" \
		-o Dir::Cache="$apt/cache" -o Debug::NoLocking=1 -o APT::Install-Recommends=false -o APT::Sandbox::User=root \
		-o APT::Architecture="$arch" -o APT::Architectures="$arch" "$@"
}

# layer NAME: packs the tree NAME as a layer, NAME.tar.
layer() {
	tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$made" --format=posix \
		--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime -cf "$1.tar" .
}

rm -rf "$dir/image"
for arch; do
	apt=$tmp/$arch/apt root=$tmp/$arch/qemu program=$tmp/$arch/tokentest
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$root"/usr/{bin,sbin,lib,lib64} "$program/work"
	: >"$apt/status"
	echo "image: fetching the packages for $arch" >&2
	private update >"$tmp/log" 2>&1 || { cat "$tmp/log" >&2; exit 3; }
	# shellcheck disable=SC2086 # several words
	private -y --download-only install $packages >"$tmp/log" 2>&1 || { cat "$tmp/log" >&2; exit 3; }

	for name in bin sbin lib lib64; do
		ln -s "usr/$name" "$root/$name"
	done
	for package in "$apt"/cache/archives/*.deb; do
		dpkg-deb -x "$package" "$root"
	done
	find "$root/usr/share/doc" -type f ! -name copyright -delete
	rm -rf "$root"/usr/share/{man,info,locale,lintian,bug} "$root"/var/lib/dpkg/info
	mkdir -p "$root"/etc/apt "$root"/var/lib/dpkg
	: >"$root/var/lib/dpkg/status"
	mkdir -p "$root/tmp" "$root/root"
	chmod 1777 "$root/tmp"
	chmod 700 "$root/root"
	printf '%s\n' root:x:0:0:root:/root:/bin/sh _apt:x:42:65534::/nonexistent:/usr/sbin/nologin \
		nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin >"$root/etc/passwd"
	printf '%s\n' root:x:0: nogroup:x:65534: >"$root/etc/group"
	cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$tmp/certificates"
	mkdir -p "$root/etc/ssl/certs"
	cp "$tmp/certificates" "$root/etc/ssl/certs/ca-certificates.crt"
	layer "$root"

	scripts/install.sh "$dir/tokentest-$version-linux-$arch" "$program/usr" \
		"$dir/tokentest-$version-linux-$(dpkg --print-architecture)"
	layer "$program"
	go run ./scripts/ociimage "$dir/image" "$version" "$made" "$arch" "$root.tar" "$program.tar"
done
du -sh "$dir/image"
