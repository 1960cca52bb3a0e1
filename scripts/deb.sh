#!/usr/bin/env bash
# Makes a Debian package from each program of a release (see dist.sh), with the same bytes each time.
# Usage: scripts/deb.sh VERSION [DIR]
set -eu
cd "$(dirname "$0")/.."

version=${1:?usage: scripts/deb.sh VERSION [DIR]}
dir=${2:-dist}
command -v dpkg-deb >/dev/null || { echo "deb: no dpkg-deb; install dpkg" >&2; exit 3; }
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# Debian's version begins with a digit and has no hyphen: a tag does that, a commit alone gets its date.
case $version in
v[0-9]*) debian=${version#v} ;;
[0-9]*.*) debian=$version ;;
*) debian=0~git$(TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M --format=%cd).$version ;;
esac
debian=${debian//-/+}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
run=$dir/tokentest-$version-linux-$(dpkg --print-architecture)
rm -f "$dir"/tokentest_*.deb
for arch in amd64 arm64; do
	root=$tmp/$arch
	scripts/install.sh "$dir/tokentest-$version-linux-$arch" "$root/usr" "$run"
	# Debian wants zsh's completions elsewhere.
	mkdir "$root/usr/share/zsh/vendor-completions"
	mv "$root/usr/share/zsh/site-functions/_tokentest" "$root/usr/share/zsh/vendor-completions/"
	rmdir "$root/usr/share/zsh/site-functions"
	install -D -m 644 LICENSE "$root/usr/share/doc/tokentest/copyright"
	mkdir "$root/DEBIAN"
	(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
	cat >"$root/DEBIAN/control" <<-END
		Package: tokentest
		Version: $debian
		Architecture: $arch
		Maintainer: ${MAINTAINER:-tokentest developers <tokentest@localhost>}
		Installed-Size: $(du -k --apparent-size -s "$root/usr" | cut -f1)
		Section: devel
		Priority: optional
		Depends: qemu-system-x86
		Recommends: apt, bc, binutils, bison, cpio, flex, gcc, git, libelf-dev, libssl-dev, lz4, make, pahole, perl
		Suggests: debian-archive-keyring, gdb
		Description: check on real kernels what a BPF token allows
		 tokentest boots Linux kernels under QEMU and runs BPF-token cases inside user
		 namespaces. It checks that each bpf(2) call is allowed or denied, with the exact
		 errno, and that the kernel stays healthy.
		 .
		 The recommended packages build kernels from source.
	END
	dpkg-deb --root-owner-group -Zxz --build "$root" "$dir/tokentest_${debian}_$arch.deb" >/dev/null
	echo "$dir/tokentest_${debian}_$arch.deb"
done
(cd "$dir" && sha256sum tokentest[-_]* >SHA256SUMS)
