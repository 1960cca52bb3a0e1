#!/usr/bin/env bash
# mutants.sh KERNEL [NUMBER...]: boots a kernel with
# cases/testdata/mutants/6.12.patch once for each regression in the patch, and
# prints which case detects it. Exit code 1 if one is not detected.
#
#   bin/tokentest kernel build src:6.12+cases/testdata/mutants/6.12.patch
#   scripts/mutants.sh PATH/TO/bzImage
#
# A range such as 1200+map_type is one regression for each type. All of them are
# enabled together, and the line counts the types that detect theirs.
# ARGS adds arguments to each run, such as --full.
set -u
cd "$(dirname "$0")/.." || exit 3
kernel=${1:?usage: scripts/mutants.sh KERNEL [NUMBER...]}
shift
list=cases/testdata/mutants/6.12.txt
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
all=0 detected=0

command -v jq >/dev/null || { echo "mutants: no jq: apt-get install -y jq" >&2; exit 3; }

# run NUMBER: writes the run's JSON report to $out/report and returns its exit code.
run() {
	# shellcheck disable=SC2086 # ARGS is a list of words
	bin/tokentest run --quiet --format json --kernel "$kernel" --append "bpf_mutant=$1" --out "$out/run" ${ARGS:-} >"$out/report" 2>"$out/messages" </dev/null
	local code=$?
	rm -rf "$out/run"
	return $code
}
# failed: the names of the cases that failed or broke.
failed() { jq -r '.kernels[].cases[] | select(.status == "fail" or .status == "broken") | .case' "$out/report"; }

if ! run 0; then
	echo "mutants: the kernel fails without a regression, so a failure with one proves nothing:"
	failed | head -n 5
	exit 3
fi

while IFS=$'\t' read -r name what; do
	number=${name%%+*}
	[ $# -eq 0 ] || [[ " $* " == *" $number "* ]] || continue
	[ "$number" = "$name" ] || number=$((number + 99))
	all=$((all + 1))
	run "$number"
	code=$?
	failed >"$out/failed"
	if [ "$code" -ne 0 ] && [ -s "$out/failed" ]; then
		detected=$((detected + 1))
		count=$(grep -c / "$out/failed")
		types=$(sed -n 's,.*/,,p' "$out/failed" | sort -u | wc -l)
		printf '%s\tdetected, exit %s, by %s cells (%s types), first %s\t%s\n' "$name" "$code" "$count" "$types" "$(head -n 1 "$out/failed")" "$what"
	else
		printf '%s\tNOT DETECTED (exit %s)\t%s\n' "$name" "$code" "$what"
	fi
done <"$list"
echo "mutants: $detected passed, $((all - detected)) failed"
[ "$detected" -eq "$all" ]
