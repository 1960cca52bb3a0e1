#!/usr/bin/env bash
# Injects faults into the harness. Each must turn the run red, with the right
# exit code and message. If the harness stays green here, its results prove nothing.
set -u

kernel=${1:-deb:6.12}
bin=bin/tokentest
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=0
tried=0

command -v jq >/dev/null || { echo "canary: no jq: apt-get install -y jq" >&2; exit 3; }

# fault NAME CODE FILTER ARG...: the run must exit with CODE, and FILTER must hold
# for its JSON report (jq).
fault() {
	local name=$1 code=$2 filter=$3 got
	shift 3
	"$bin" run --quiet --kernel "$kernel" --format json --out "$out/$name" "$@" >"$out/$name.json" 2>"$out/$name.err"
	got=$?
	tried=$((tried + 1))
	if [ "$got" -eq "$code" ] && jq -es "$filter" "$out/$name.json" >/dev/null; then
		echo "canary: $name: red, as expected (exit $got)"
		return
	fi
	failed=$((failed + 1))
	echo "canary: $name: exit $got, want $code and $filter; output:"
	"$bin" report "$out/$name" --format pretty | cat - "$out/$name.err" | sed 's/^/    /'
}
one='.[0].kernels[0]'
wrong="[$one.cases[] | select(.status != \"pass\" and .status != \"skip\") | {status, kind: .cause.kind, fault}]"

fault wrong-pin 2 "$wrong == [{status: \"fail\", kind: \"step\", fault: \"expectation\"}]" cases/canary/wrong_pin.txt
fault wrong-control 2 "$wrong == [{status: \"broken\", kind: \"control step\", fault: \"expectation\"}]" cases/canary/wrong_control.txt
fault wrong-oracle 3 "$wrong | length > 0 and all(. == {status: \"fail\", kind: \"step\", fault: \"oracle\"})" \
	--lie-rule map_create/no-cap-net-admin 'map_create/any/owner/CAP_BPF/with'
fault unpinned-oracle 1 "$wrong | any(. == {status: \"fail\", kind: \"step\", fault: null})" \
	--lie-rule token_create/no-cap-bpf token_create/any/owner/CAP_NET_ADMIN/0
fault early-exit 3 "any($one.boots[]; .fate == \"lost\")" cases/canary/early_exit.txt nested_userns
fault panic 1 "any($one.boots[]; .fate == \"panicked\")" cases/canary/panic.txt nested_userns
# A baseline in which one map was refused for another reason: a changed decision is
# detected even if the oracle agrees with it. The copy has no seal, because a sealed
# baseline that was edited is refused.
gzip -dc results/baseline/suite.jsonl.gz | sed '1s/"records":{[^}]*},\{0,1\}//; /"case":"map_create.none.owner.none.without.prog_array"/s/"errno":1}/"errno":22}/' >"$out/baseline.jsonl"
if grep -q "\"ref\":\"$kernel\"" "$out/baseline.jsonl"; then
	# The run by itself would exit with 0: the comparison, which is on stderr, makes it 1.
	fault changed-decision 1 '.[0].exit_code == 0' \
		--baseline "$out/baseline.jsonl" --fail-on changed-decision 'map_create/none/owner/none/without'
	# It names only that case, and both answers.
	tried=$((tried + 1))
	"$bin" compare --quiet --baseline "$out/baseline.jsonl" "$out/changed-decision" --new-kernel "$kernel" --format json >"$out/compare.json"
	if jq -e '[.. | objects | select(.class? == "changed decision") | [.case, .base.got, .new.got]]
			== [["map_create/none/owner/none/without/prog_array", "EINVAL", "EPERM"]]' "$out/compare.json" >/dev/null; then
		echo "canary: compare: names the changed decision"
	else
		failed=$((failed + 1))
		echo "canary: compare: another change than EINVAL, then EPERM; output:"
		sed 's/^/    /' "$out/compare.json"
	fi
fi
fault corrupt-record 3 "any($one.boots[]; .corrupt)" --lie-corrupt 700 'map_create/any/owner/CAP_BPF'

# Removes each rule of the oracle in turn: at least one kernel must disagree, in the
# default suite or in a case that the suite leaves out. Those cases are slow
# (/proc/kallsyms), need much memory (limits) or a machine of their own (known_emfile),
# or cover the elements of maps (parity). The rules of settings.go need a kernel with
# such settings, and some rules are of the releases between the others.
hard=(--append lockdown=confidentiality)
for setting in net.core.bpf_jit_harden=2 kernel.kptr_restrict=1 kernel.yama.ptrace_scope=3; do
	hard+=(--append "sysctl.$setting")
done
tried=$((tried + 1))
if "$bin" run --quiet --format pretty --out "$out/rules" -k "$kernel" -k deb:7.3 -k deb:6.1 -k deb:5.10 >"$out/rules.txt" 2>&1 &&
	"$bin" run --quiet --format pretty --out "$out/more" -k "$kernel" parity_kallsyms known_emfile known_enfile limits limits_lsm parity_unpriv sys_bpf >>"$out/rules.txt" 2>&1 &&
	"$bin" run --quiet --format pretty --out "$out/hard" -k "$kernel" "${hard[@]}" jit_settings lockdown ptrace_scope speculation run_prog prog_info_addresses >>"$out/rules.txt" 2>&1 &&
	"$bin" run --quiet --format pretty --out "$out/nojit" -k "$kernel" --append sysctl.net.core.bpf_jit_enable=0 jit_settings >>"$out/rules.txt" 2>&1 &&
	"$bin" run --quiet --format pretty --out "$out/unguarded" -k "$kernel" --append mitigations=off verifier_types >>"$out/rules.txt" 2>&1 &&
	"$bin" run --quiet --format pretty --out "$out/between" -k deb:7.0 bpffs_mounts map_exclusive prog_signed >>"$out/rules.txt" 2>&1 &&
	"$bin" rules "$out/rules" "$out/more" "$out/hard" "$out/nojit" "$out/unguarded" "$out/between" >>"$out/rules.txt" 2>&1; then
	echo "canary: rules: $(tail -n 1 "$out/rules.txt")"
else
	failed=$((failed + 1))
	echo "canary: rules: no kernel disagrees if some rule is removed; output:"
	sed 's/^/    /' "$out/rules.txt"
fi

echo "canary: $((tried - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
