#!/usr/bin/env bash
# Writes what a guest under emulation spends its instructions on: until its first case, and in the default suite.
#
# Usage: scripts/profile.sh FILE KERNEL...
#
# A plugin of QEMU counts the instructions of each function of the kernel. The guest's clock counts instructions as well,
# so these figures do not depend on the host or its load; the seconds do. KERNEL must be one that is entered directly, for
# x86-64: then its functions lie where /proc/kallsyms says. Needs gcc and jq.
#
# Exit status: 0 written; 3 something is missing or a run failed.
set -eu
cd "$(dirname "$0")/.."
to=$1
shift
tt=$PWD/bin/tokentest
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "profile: $*" >&2; exit 3; }
command -v gcc >/dev/null || fail "no gcc: apt-get install -y gcc"
command -v jq >/dev/null || fail "no jq: apt-get install -y jq"
[ -x "$tt" ] || fail "no bin/tokentest: run make build"
gcc -shared -fPIC -O2 -Wall -Wextra -Wno-unused-parameter -o "$work/counter.so" scripts/profile/counter.c || fail "gcc failed"

cat >"$work/qemu" <<'END'
#!/bin/sh
here=$(dirname "$0")
case " $* " in
*" -kernel "*) exec qemu-system-x86_64 "$@" -icount shift=0 -plugin "$here/counter.so,symbols=$here/symbols,out=$here/counts" ;;
esac
exec qemu-system-x86_64 "$@"
END
chmod +x "$work/qemu"

# counts NAME CASE...: stores what a machine with these cases counts as NAME.
counts() {
	local name=$1
	shift
	"$tt" --quiet run --kernel "$kernel" --accel tcg --boot direct --snapshot=never --jobs 1 --qemu "$work/qemu" \
		--out "$work/run-$name" "$@" >"$work/log" </dev/null 2>&1 || { cat "$work/log" >&2; fail "$kernel: the run failed"; }
	mv "$work/counts" "$work/$name"
	rm -rf "$work/run-$name"
}

# table: the sums, and the functions with most instructions, of lines as the plugin writes them.
table() {
	sort -rn | awk -F'\t' '
	$4 == "(address spaces)" { spaces = $2; next }
	{ insns += $1; blocks += $2; new += $3; line[++n] = $0 }
	END {
		printf "%.0f million instructions in %.0f million blocks, %.0f thousand blocks translated, ", insns / 1e6, blocks / 1e6, new / 1e3
		printf "%d changes of the address space.\n\n| instructions | share | blocks translated | function |\n| ---: | ---: | ---: | --- |\n", spaces
		for (i = 1; i <= 20 && i <= n; i++) {
			split(line[i], f, "\t")
			printf "| %.1f million | %.1f %% | %d | %s |\n", f[1] / 1e6, 100 * f[1] / insns, f[3], f[4]
		}
	}'
}

# takes NAME CASE...: the nanoseconds of the boot and of the cases on one machine, which counts nothing.
takes() {
	local name=$1
	shift
	"$tt" --quiet run --kernel "$kernel" --accel tcg --boot direct --snapshot=never --jobs 1 --out "$work/run-$name" \
		--format json "$@" >"$work/json" 2>"$work/log" </dev/null || { cat "$work/log" >&2; fail "$kernel: the run failed"; }
	rm -rf "$work/run-$name"
	jq -r '.kernels[0].boots[0] | "\(.boot) \(.decide)"' "$work/json"
}

# floor: a sentence about how long the default suite takes on one machine, and its scenarios for the first and the second time.
floor() {
	rm -rf "$work/once" "$work/twice"
	mkdir "$work/once" "$work/twice"
	"$tt" list cases | grep -v '(with --full)$' | awk '/^[a-z0-9_]+ / { print $1 }' | while read -r name; do
		file=cases/scenario/$name.txt
		[ ! -e "$file" ] || cp "$file" "$work/once/$name.txt"
	done
	for file in "$work"/once/*; do
		cp "$file" "$work/twice/a_${file##*/}"
		cp "$file" "$work/twice/b_${file##*/}"
	done
	{ takes all; takes once "$work"/once/*; takes twice "$work"/twice/*; } | awk '
	NR == 1 { boot = $1; all = $2 }
	NR == 2 { once = $2 }
	NR == 3 { twice = $2 }
	END {
		printf "On one machine: the boot %.1f s, the default suite %.1f s. ", boot / 1e9, all / 1e9
		printf "Its scenarios alone: %.1f s for the first time, %.1f s again.\n", once / 1e9, (twice - once) / 1e9
		printf "With two processors a run of a new kernel takes at least %.1f s, and one from a snapshot %.1f s.\n",
			(boot + all / 2) / 1e9, all / 2 / 1e9
	}'
}

{
	echo '# What a guest spends its instructions on'
	echo
	echo "Written by \`make profile\` on $(date -u +%F), at commit $(git rev-parse --short HEAD). Each guest is emulated, and entered"
	echo 'directly. "(user)" is the agent and its actors. A block that runs for the first time in a machine is translated, and'
	echo 'after a change of the address space QEMU searches for each block and each page again.'
	for kernel; do
		"$tt" --quiet exec --kernel "$kernel" --boot direct -- cat /proc/kallsyms >"$work/all" </dev/null || fail "$kernel: no symbols"
		grep -v '\[' "$work/all" >"$work/symbols" # those of modules have no fixed place
		counts first nothing_delegated
		counts suite
		printf '\n## %s, in seconds\n\n' "$kernel"
		floor
		printf '\n## %s, boot and one case\n\n' "$kernel"
		table <"$work/first"
		printf '\n## %s, the other cases of the default suite\n\n' "$kernel"
		awk -F'\t' -v OFS='\t' '
		NR == FNR { insns[$4] += $1; blocks[$4] += $2; new[$4] += $3; next }
		{ i[$4] += $1; b[$4] += $2; t[$4] += $3 }
		END { for (f in i) print i[f] - insns[f], b[f] - blocks[f], t[f] - new[f], f }' "$work/first" "$work/suite" | table
	done
} >"$work/new"
mv "$work/new" "$to"
