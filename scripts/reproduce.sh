#!/usr/bin/env bash
# Checks that a release can be reproduced: it is made twice, from copies of the checkout in two places, the second time
# with an empty build cache and another environment, and all files must be equal. Usage: scripts/reproduce.sh VERSION.
set -eu
cd "$(dirname "$0")/.."

version=${1:?usage: scripts/reproduce.sh VERSION}
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp" && rm -rf "$tmp"' EXIT
for name in one another/place; do
	mkdir -p "$tmp/$name"
	git ls-files -z | xargs -0 tar -cf - | tar -xf - -C "$tmp/$name"
done
"$tmp/one/scripts/dist.sh" "$version" "$tmp/1"
echo "reproduce: once more, with an empty build cache" >&2
env GOCACHE="$tmp/cache" GOFLAGS=-tags=other GOAMD64=v3 CGO_ENABLED=1 TZ=Asia/Tokyo LANG=C \
	"$tmp/another/place/scripts/dist.sh" "$version" "$tmp/2"
if ! diff -r "$tmp/1" "$tmp/2"; then
	echo "reproduce: the two releases differ" >&2
	exit 1
fi
echo "reproduce: equal byte for byte"
