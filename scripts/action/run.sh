#!/usr/bin/env bash
# A step of action.yml: it runs the cases, with annotations and a summary for GitHub. Its exit status is the verdict.
set -eu

# words TEXT: the words of a text that is quoted as in a shell, one a line. Nothing is expanded.
words() { printf '%s' "$1" | xargs -r printf '%s\n'; }

arguments=(--format github --out "$OUT")
while IFS= read -r reference; do
	arguments+=(--kernel "$reference")
done < <(words "$KERNEL")
while IFS= read -r word; do
	arguments+=("$word")
done < <(words "${ARGS-}"; words "${CASES-}")
echo "run=$OUT" >>"$GITHUB_OUTPUT"
exec "$PROGRAM" run "${arguments[@]}"
