#!/usr/bin/env bash
# Writes the cases of a selection, or of the default suite, as C programs, runs them all in one machine, and compares the
# errno of each step with what the guest observed in a run of the same cases: repro.sh KERNEL [CASE...]. EVERY=N takes one
# case in N, CC is the compiler, ALSO has more compilers, one a line, that must have nothing to say, TREE is a tree of the
# kernel whose checkpatch.pl must have nothing to say but of the licence, and OUT is where everything is kept.
set -eu
cd "$(dirname "$0")/.."

kernel=$1
shift
out=${OUT:-$(mktemp -d)} every=${EVERY:-1} cc=${CC:-gcc}
rm -rf "$out/c" "$out/o" "$out/run" # of an earlier time
mkdir -p "$out/c" "$out/o"
bin/tokentest run -q -f ktap -k "$kernel" -o "$out/run" "$@" >"$out/run.ktap" || true # the check compares
go run ./scripts/reprocheck -names "$out/run" | awk -v n="$every" 'NR % n == 0' >"$out/names"
mapfile -t names <"$out/names"
bin/tokentest repro -k "${kernel#deb:}" --facts "$out/run" -o "$out/c" "${names[@]}" 2>"$out/refused" || [ $? = 2 ]

n=0
: >"$out/table" && : >"$out/protos" && : >"$out/jobs"
for file in "$out"/c/*.c; do
  id=$(sed -n '3s/^ \* //p' "$file")
  echo "int repro_$n(void);" >>"$out/protos"
  echo "{ \"$id\", repro_$n }," >>"$out/table"
  printf '%s\0' "$n" "$file" >>"$out/jobs"
  n=$((n + 1))
done
# shellcheck disable=SC2016 # the inner shell expands it
xargs -0 -P 2 -n 2 sh -c '$1 -Wall -Wextra -Werror -c -Dmain="repro_$3" -o "$2/o/$3.o" "$4"' sh "$cc" "$out" <"$out/jobs"
while read -r also; do
  [ "$also" ] || continue
  # shellcheck disable=SC2086 # a compiler may have options
  printf '%s\0' "$out"/c/*.c | xargs -0 -P 2 -n 50 $also -Wall -Wextra -Werror -fsyntax-only
  echo "$also: nothing to say of $n programs"
done <<<"${ALSO:-}"
if [ "${TREE:-}" ]; then
  printf '%s\0' "$out"/c/*.c | xargs -0 -P 2 -n 50 "$TREE/scripts/checkpatch.pl" --no-tree --terse --no-summary -f \
    >"$out/checkpatch" || true
  grep -v SPDX-License-Identifier "$out/checkpatch" && exit 1
  echo "checkpatch.pl: nothing to say of $n programs but of the licence"
fi
cat >"$out/all.c" <<C
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
$(cat "$out/protos")
static const struct { const char *name; int (*run)(void); } all[] = {
$(cat "$out/table")
};
int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) {
		int status;

		printf("# case %s\n", all[i].name);
		if (!fork())
			exit(all[i].run());
		wait(&status);
		printf("# exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	return 0;
}
C
"$cc" -o "$out/all" "$out/all.c" "$out"/o/*.o
bin/tokentest exec -q -k "$kernel" -- "$out/all" >"$out/tap" 2>"$out/tap.err"
echo "$kernel: ${#names[@]} cases, $(grep -c '^tokentest: write' "$out/refused" || true) not written"
go run ./scripts/reprocheck "$out/run" <"$out/tap"
