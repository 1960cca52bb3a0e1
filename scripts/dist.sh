#!/usr/bin/env bash
# Makes a release in dist/: static programs for linux/amd64 and linux/arm64, their bill of materials (CycloneDX) and
# checksums. The same commit and the same Go make the same bytes. Usage: scripts/dist.sh VERSION [DIR]. The variable DAY
# is the day of the commit, for the manual pages.
set -eu
cd "$(dirname "$0")/.."

version=${1:?usage: scripts/dist.sh VERSION [DIR]}
dir=${2:-dist}
mkdir -p "$dir"
dir=$(realpath "$dir")

# No value is empty: an empty one lets the user's "go env -w" through.
export CGO_ENABLED=0 GO111MODULE=on GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT=nofieldtrack GOFIPS140=off GOFLAGS=-trimpath GOWORK=off
go run ./images/pack
about=tokentest/harness/builtin
rm -f "$dir"/tokentest-"$version"* "$dir"/SHA256SUMS
mapfile -t small < <(scripts/small.sh)
for arch in amd64 arm64; do
	GOOS=linux GOARCH=$arch go build -buildvcs=false -pgo=off "${small[@]}" \
		-ldflags "-s -w -buildid= -E tokentest/harness/cli.Start -X $about.version=$version -X $about.day=${DAY-}" \
		-o "$dir/tokentest-$version-linux-$arch" ./harness/cmd/tokentest
done
go run ./scripts/sbom "$version" >"$dir/tokentest-$version.cdx.json"
cd "$dir"
sha256sum tokentest-"$version"* >SHA256SUMS
ls -l tokentest-"$version"* SHA256SUMS
