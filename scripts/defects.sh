#!/usr/bin/env bash
# Writes results/defects: for each defect of scripts/defects a C program and a report in the form of the kernel's
# Documentation/admin-guide/reporting-issues.rst. A person reads and sends it. With TREE, a tree of the kernel, its
# get_maintainer.pl names the receivers.
set -eu
cd "$(dirname "$0")/.."

out=results/defects
mkdir -p "$out"
rm -f "$out"/*.mail "$out"/*.c
for text in scripts/defects/*.txt; do
  name=$(basename "$text" .txt)
  field() { sed -n "1,/^\$/s/^$1: //p" "$text"; }
  if [ -f "scripts/defects/$name.c" ]; then
    cp "scripts/defects/$name.c" "$out/$name.c"
  elif [ "$(field Case)" ]; then
    release=$(field Release)
    bin/tokentest repro "$(field Case)" -k "${release:-6.12}" >"$out/$name.c"
  fi
  {
    echo "Subject: $(field Subject)"
    for file in $(field Files); do
      if [ "${TREE:-}" ]; then
        (cd "$TREE" && perl scripts/get_maintainer.pl --no-git --no-git-fallback --no-rolestats -f "$file")
      else
        echo "(scripts/get_maintainer.pl -f $file)"
      fi
    done | awk '!seen[$0]++ { printf "%s%s", NR == 1 ? "To: " : ",\n    ", $0 } END { print "" }'
    echo
    sed '1,/^$/d' "$text"
    [ -z "$(field Link)" ] || printf '\nLink: %s\n' "$(field Link)" # it is reported already
    if [ -f "$out/$name.c" ]; then
      printf '\nTo see it: cc -Wall %s.c && ./a.out, as root on a machine that may crash.\n\n' "$name"
      cat "$out/$name.c"
    fi
  } >"$out/$name.mail"
  printf '%s: %s\n' "$name" "$(field Judged)"
done | tee "$out/README"
