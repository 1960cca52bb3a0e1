#!/usr/bin/env bash
# mutants.sh KERNEL [NUMBER...]: boots a kernel with
# cases/testdata/mutants/6.12.patch once for each regression in the patch, and
# prints a table of which cases notice it. Exit code 1 if no failing case notices
# one of them.
#
#   bin/tokentest kernel build src:6.12+cases/testdata/mutants/6.12.patch
#   scripts/mutants.sh PATH/TO/bzImage
#
# The columns are the regression, what notices it, the number of failing cases, the
# rules that they name (at most three, the most frequent first), the first case,
# and what the regression is. What notices it is one of
#
#   case          a case of the default suite fails
#   only --full   no case of the default suite fails, but one of --full does
#   only control  cases are broken (a control, a set-up or the machine failed), and none fails
#   only exit     no case fails or is broken, but the exit code is 1: a report of the kernel
#   NOT           nothing
#
# A range such as 1200+map_type is one regression for each type. All of them are
# enabled together, and the line counts the types that notice theirs.
# ARGS adds arguments to each run. FULL=0 leaves out the runs with --full. LIST names
# another list than that of the 152, such as the one of mutate --source-patch.
set -u
cd "$(dirname "$0")/.." || exit 3
kernel=${1:?usage: scripts/mutants.sh KERNEL [NUMBER...]}
shift
list=${LIST:-cases/testdata/mutants/6.12.txt}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
all=0 passed=0 late=0

command -v jq >/dev/null || { echo "mutants: no jq: apt-get install -y jq" >&2; exit 3; }

# run NUMBER ARGUMENT...: writes the run's JSON report to $out/report and returns its exit code.
run() {
	local number=$1
	shift
	# shellcheck disable=SC2086 # ARGS is a list of words
	bin/tokentest run --quiet --format json --kernel "$kernel" --append "bpf_mutant=$number" --out "$out/run" "$@" ${ARGS:-} >"$out/report" 2>"$out/messages" </dev/null
	local code=$?
	rm -rf "$out/run"
	return $code
}
# wrong STATUS: the names of the cases with the status.
wrong() { jq -r --arg s "$1" '.kernels[].cases[] | select(.status == $s) | .case' "$out/report"; }
# rules STATUS: the rules that these cases name.
rules() {
	jq -r --arg s "$1" '[.kernels[].cases[] | select(.status == $s) | .cause.rule // "no rule"]
		| group_by(.) | sort_by(-length) | .[:3] | map(.[0]) | join(" ")' "$out/report"
}
# line NAME WHAT STATUS REGRESSION: a line of the table about the last run.
line() {
	wrong "$3" >"$out/wrong"
	local count types first
	count=$(grep -c . "$out/wrong")
	types=$(sed -n 's,.*/,,p' "$out/wrong" | sort -u | wc -l)
	first=$(head -n 1 "$out/wrong")
	[ "${1%+*}" = "$1" ] || count="$count of $types types"
	printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$count" "$(rules "$3")" "${first:--}" "$4"
}

if ! run 0; then
	echo "mutants: the kernel fails without a regression, so a failure with one proves nothing:"
	{ wrong fail; wrong broken; } | head -n 5
	exit 3
fi

while IFS=$'\t' read -r name what; do
	number=${name%%+*}
	[ $# -eq 0 ] || [[ " $* " == *" $number "* ]] || continue
	[ "$number" = "$name" ] || number=$((number + 99))
	all=$((all + 1))
	run "$number"
	code=$?
	if [ -n "$(wrong fail)" ]; then
		passed=$((passed + 1))
		line "$name" case fail "$what"
		continue
	fi
	weak=$(if [ -n "$(wrong broken)" ]; then
		line "$name" "only control" broken "$what"
	elif [ "$code" -eq 1 ]; then
		line "$name" "only exit" fail "$what"
	else
		line "$name" "NOT (exit code $code)" fail "$what"
	fi)
	[ "${FULL:-1}" = 0 ] || run "$number" --full
	if [ "${FULL:-1}" != 0 ] && [ -n "$(wrong fail)" ]; then
		passed=$((passed + 1)) late=$((late + 1))
		line "$name" "only --full" fail "$what"
		continue
	fi
	printf '%s\n' "$weak"
done <"$list"
[ "$late" -eq 0 ] || echo "mutants: $late of those that passed are seen only with --full"
echo "mutants: $passed passed, $((all - passed)) failed"
[ "$passed" -eq "$all" ]
