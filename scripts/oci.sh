#!/usr/bin/env bash
# Packs a kernel into a container image, serves it from a registry on loopback, fetches it from there with an empty
# cache, and runs cases on it, then again without the registry. The second argument is the case.
set -eu
cd "$(dirname "$0")/.."

kernel=${1:-deb:6.12} case=${2:-token_create}
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
# shellcheck disable=SC2016 # the inner shell expands it
bin/tokentest kernel fetch --json "$kernel" |
  go run ./scripts/registry sh -eu -c '
    bin/tokentest run -f pretty --cache "$1" -o "$1/online" -k "oci:$2" "$3"
    bin/tokentest kernel fetch --cache "$1" --json "oci:$2" | sed "s/.*\"source\":\"\([^\"]*\)\".*/\1/" >"$1/name"' sh "$cache" '{}' "$case"
bin/tokentest run -f pretty --cache "$cache" --offline -o "$cache/offline" -k "oci:$(cat "$cache/name")" "$case"
bin/tokentest compare "$cache/online" "$cache/offline"
