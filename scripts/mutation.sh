#!/usr/bin/env bash
# Writes how many changes of one instruction of each kernel the cases notice.
#
# Usage: scripts/mutation.sh FILE KERNEL...
#
# For each kernel: all changes of permission checks with the default suite, and 500 changes chosen at random in the files
# that mutate looks at, with the default suite and with all cases. cases/survivors has the changes that are judged:
# RELEASE.txt those of permission checks, sample-RELEASE.txt those of the sample.
# RESULTS=DIR keeps the outcomes, and takes from there those of an earlier run of the same suite.
# FULL=0 leaves out the sample with all cases, which takes some twenty minutes.
# A kernel of FILE that is not named keeps what FILE says of it.
# Exit status: 0 nothing survives that is not judged; 1 something does; else that of tokentest mutate.
set -euo pipefail
cd "$(dirname "$0")/.."
to=$1
shift
new=$to.$$ worst=0
trap 'rm -f "$new"' EXIT

# part KERNEL LABEL NAME LIST ARGUMENT...: a heading, the scores and the survivors.
part() {
	local kernel=$1 label=$2 name=$3 list=$4
	shift 4
	local args=(--quiet --fetch-symbols --kernel "$kernel" "$@")
	[ ! -e "$list" ] || args+=(--expect "$list")
	[ -z "${RESULTS-}" ] || args+=(--results "$RESULTS/${kernel//[:\/]/-}-$label.jsonl")
	printf '\n## %s, %s\n\nOn %s, at commit %s.\n\n```\n' "$kernel" "$name" "$(date -u +%F)" "$(git rev-parse --short HEAD)"
	# The list of what is not reached is long, and cover has it.
	bin/tokentest mutate "${args[@]}" | sed '/^\(judged\|not reached\|unpatched\|no effect\):/,$d' || worst=$?
	printf '```\n'
}

# kept KERNEL: the parts of the old file about it.
kept() { awk -v of="## $1, " '/^## /{on = index($0, of) == 1} on' "$to"; }

all=()
[ ! -e "$to" ] || mapfile -t all < <(sed -n 's/^## \([^,]*\), .*/\1/p' "$to" | awk '!seen[$0]++')
for kernel; do
	[[ " ${all[*]} " == *" $kernel "* ]] || all+=("$kernel")
done
{
	echo '# What the cases notice'
	echo
	echo "Written by \`make mutation\`. Each change is one instruction of the kernel in a machine that starts from a snapshot. A"
	echo 'change has an effect if the cases execute it and it is not judged to show nothing; cases/survivors has the reasons.'
	for kernel in "${all[@]}"; do
		if [[ " $* " != *" $kernel "* ]]; then
			printf '\n'
			kept "$kernel" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
			continue
		fi
		release=${kernel#deb:}
		part "$kernel" gates 'permission checks, the default suite' "cases/survivors/$release.txt" --gates
		part "$kernel" sample '500 changes at random, the default suite' "cases/survivors/sample-$release.txt" --sample 500 --seed 1
		[ "${FULL-1}" = 0 ] ||
			part "$kernel" full '500 changes at random, --full' "cases/survivors/sample-$release.txt" --sample 500 --seed 1 --full
	done
} >"$new"
mv "$new" "$to"
exit "$worst"
