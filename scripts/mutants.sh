#!/usr/bin/env bash
# mutants.sh KERNEL [NUMBER...]: boots a kernel that carries
# cases/testdata/mutants/6.12.patch once for each regression in it, and says
# which case notices it. Exit code 1 where one passes unnoticed.
#
#   bin/tokentest kernel build src:6.12+cases/testdata/mutants/6.12.patch
#   scripts/mutants.sh PATH/TO/bzImage
#
# A range such as 1200+map_type stands for one regression a type; all of them
# are switched on together, and the line counts the types that noticed.
# ARGS adds arguments to each run, such as --full.
set -u
cd "$(dirname "$0")/.." || exit 3
kernel=${1:?usage: scripts/mutants.sh KERNEL [NUMBER...]}
shift
list=cases/testdata/mutants/6.12.txt
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
all=0 noticed=0

# run NUMBER: the run's KTAP in $out/ktap, and its exit code.
run() {
	# shellcheck disable=SC2086 # ARGS is words
	bin/tokentest run --quiet --format ktap --kernel "$kernel" --append "bpf_mutant=$1" --out "$out/run" ${ARGS:-} >"$out/ktap" 2>&1 </dev/null
	local code=$?
	rm -rf "$out/run"
	return $code
}

if ! run 0; then
	echo "mutants: the kernel does not pass without a regression, so that a failure would say nothing:"
	grep '^ *not ok' "$out/ktap" | head -n 5
	exit 3
fi

while IFS=$'\t' read -r name what; do
	number=${name%%+*}
	[ $# -eq 0 ] || [[ " $* " == *" $number "* ]] || continue
	[ "$number" = "$name" ] || number=$((number + 99))
	all=$((all + 1))
	run "$number"
	code=$?
	if [ "$code" -ne 0 ] && grep -q '^ *not ok' "$out/ktap"; then
		noticed=$((noticed + 1))
		count=$(grep -c '^ *not ok .*/' "$out/ktap")
		types=$(grep '^ *not ok .*/' "$out/ktap" | sed 's/ #.*//; s,.*/,,' | sort -u | wc -l)
		first=$(grep -m 1 '^ *not ok' "$out/ktap" | sed 's/^ *not ok [0-9]* //')
		printf '%s\tnoticed, exit %s, by %s cells (%s endings), first %s\t%s\n' "$name" "$code" "$count" "$types" "${first%% #*}" "$what"
	else
		printf '%s\tUNNOTICED (exit %s)\t%s\n' "$name" "$code" "$what"
	fi
done <"$list"
echo "mutants: $noticed passed, $((all - noticed)) failed"
[ "$noticed" -eq "$all" ]
