#!/usr/bin/env bash
# Writes what of each kernel the default suite and all cases execute.
#
# Usage: scripts/cover.sh FILE KERNEL...
#
# It fetches the kernels' debug packages, about 350 MB each, and keeps 2 MB of each in the cache.
# cases/survivors/gates-RELEASE.txt has the reasons of permission checks that --full does not execute both ways.
# Exit status: 0 all cases are as expected, and each check has both ways or a reason; else that of tokentest cover.
set -eu
cd "$(dirname "$0")/.."
to=$1
shift
new=$to.$$ worst=0
trap 'rm -f "$new"' EXIT
{
	echo '# What the cases execute'
	echo
	echo "Written by \`make cover\` on $(date -u +%F), at commit $(git rev-parse --short HEAD). A side of a branch counts as executed if the jump and"
	echo 'the first instruction of the side were. A permission check is a call of capable, bpf_token_capable, security_bpf and'
	echo 'their like, or a use of a permission of the verifier.'
	for kernel; do
		for cases in '' --full; do
			echo
			echo "## $kernel, ${cases:-the default suite}"
			echo
			echo "\`\`\`"
			reasons=cases/survivors/gates-${kernel#deb:}.txt
			args=(--quiet --fetch-symbols --kernel "$kernel")
			[ -z "$cases" ] || args+=("$cases")
			[ -z "$cases" ] || [ ! -e "$reasons" ] || args+=(--expect "$reasons")
			bin/tokentest cover "${args[@]}" || worst=$?
			echo "\`\`\`"
		done
	done
} >"$new"
mv "$new" "$to"
exit "$worst"
