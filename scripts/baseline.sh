#!/usr/bin/env bash
# baseline.sh FILE KERNEL...: runs the default suite on the kernels, shows what
# changed since FILE was written, and rewrites FILE. A run with a failure is not
# stored.
set -eu
cd "$(dirname "$0")/.."

file=$1
shift
kernels=()
for k in "$@"; do kernels+=(--kernel "$k"); done

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bin/tokentest run "${kernels[@]}" --out "$dir/run" --format pretty
if [ -e "$file" ]; then bin/tokentest compare --baseline "$file" "$dir/run"; fi
mkdir -p "$(dirname "$file")"
bin/tokentest compare --write-baseline "$file" "$dir/run"
