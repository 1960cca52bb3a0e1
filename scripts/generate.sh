#!/usr/bin/env bash
# Rewrites cases/uapi/zenums.go and zlayout.go from include/uapi/linux/bpf.h of the
# releases for which the distribution has headers, and testdata/layout.txt from the
# BTF of a packaged kernel. Headers are unpacked, not installed.
set -eu

cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/tokentest" ./harness/cmd/tokentest

headers=()
for release in 5.10 6.1 6.12 7.2 7.3; do
	"$dir/tokentest" kernel header "$release" >"$dir/bpf-$release.h"
	headers+=("$release=$dir/bpf-$release.h")
done
kernel=$("$dir/tokentest" kernel fetch deb:7.3)
btf=$(awk 'NR == 1 { print $2 } $1 == "image" { print $2 }' <<<"$kernel" | paste -sd=)
cd cases/uapi
go run ./gen -btf "$btf" "${headers[@]}"
