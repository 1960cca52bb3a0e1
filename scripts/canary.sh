#!/usr/bin/env bash
# Tells the harness lies. Each must turn the run red, with the right word and
# exit code; a harness that stays green here is worth nothing.
set -u

kernel=${1:-deb:6.12}
bin=bin/tokentest
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=0
told=0

# lie NAME CODE WORDS ARG...: the run must exit with CODE and print WORDS.
lie() {
	local name=$1 code=$2 words=$3 got
	shift 3
	"$bin" run --quiet --kernel "$kernel" --format pretty --out "$out/$name" "$@" >"$out/$name.txt" 2>&1
	got=$?
	told=$((told + 1))
	if [ "$got" -eq "$code" ] && tr -s '[:space:]' ' ' <"$out/$name.txt" | grep -qF -- "$words"; then
		echo "canary: $name: red as it must be (exit $got, \"$words\")"
		return
	fi
	failed=$((failed + 1))
	echo "canary: $name: exit $got, want $code and \"$words\"; it printed:"
	sed 's/^/    /' "$out/$name.txt"
}

lie wrong-pin 2 'the expectation EPERM contradicts both the kernel and the rules' cases/canary/wrong_pin.txt
lie wrong-control 2 'the expectation EPERM contradicts both the kernel and the rules' cases/canary/wrong_control.txt
lie wrong-oracle 3 'the rules are wrong, not the kernel' --lie-rule map_create/no-cap-net-admin 'map_create/any/owner/CAP_BPF/with'
lie early-exit 3 'lost' cases/canary/early_exit.txt nested_userns
lie panic 1 'panicked' cases/canary/panic.txt nested_userns
# A baseline in which one map was refused for another reason: also what is as the oracle says must be seen. It is not
# sealed, as older ones: a sealed one that was edited is refused.
gzip -dc results/baseline/suite.jsonl.gz | sed -e '1s/"records":{[^}]*},//' \
	-e '/"case":"map_create.none.owner.none.without.prog_array"/s/"errno":1}/"errno":22}/' >"$out/baseline.jsonl"
if grep -q "\"ref\":\"$kernel\"" "$out/baseline.jsonl"; then
	lie changed-decision 1 'CHANGED DECISION 1 case: EINVAL, then EPERM' --baseline "$out/baseline.jsonl" --fail-on changed-decision 'map_create/none/owner/none/without'
fi
lie corrupt-record 3 'checksum mismatch' --lie-corrupt 700 'map_create/any/owner/CAP_BPF'

# Each rule of the oracle is left out in turn: some kernel must disagree in the
# default suite, or, of what it leaves alone, in the cases for that: /proc/kallsyms
# takes a second to read, limits much memory, elements of maps are for parity, and known_emfile a machine.
told=$((told + 1))
if "$bin" run --quiet --format pretty --out "$out/rules" -k "$kernel" -k deb:7.3 -k deb:6.1 -k deb:5.10 >"$out/rules.txt" 2>&1 &&
	"$bin" run --quiet --format pretty --out "$out/more" -k "$kernel" parity_kallsyms known_emfile limits limits_lsm parity_unpriv >>"$out/rules.txt" 2>&1 &&
	"$bin" rules "$out/rules" "$out/more" >>"$out/rules.txt" 2>&1; then
	echo "canary: rules: $(tail -n 1 "$out/rules.txt")"
else
	failed=$((failed + 1))
	echo "canary: rules: some rule is held against no kernel; it printed:"
	sed 's/^/    /' "$out/rules.txt"
fi

echo "canary: $((told - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
