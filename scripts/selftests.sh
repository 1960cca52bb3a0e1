#!/usr/bin/env bash
# Builds the kernel's own test_progs, with no other tests than token and unpriv_bpf_disabled, and runs them on a kernel:
# selftests.sh TREE KERNEL. TREE is a tree of the kernel's sources, of which only links are made. KERNEL is a kernel
# with BTF, best one with the configuration of the selftests (scripts/configs.sh has the row selftests). OUT is where
# everything is kept; BTF is a file with the BTF of a kernel, if not that of KERNEL; CLANG is the compiler for BPF, JOBS how many files are compiled at a time.
#
# It needs clang for BPF (16 or newer), libelf-dev, zlib1g-dev and rsync.
set -eu
cd "$(dirname "$0")/.."

[ $# = 2 ] || { echo "usage: scripts/selftests.sh TREE KERNEL" >&2; exit 2; }
tree=$(realpath "$1") kernel=$2
out=$(realpath -m "${OUT:-results/runs/selftests}")
clang=${CLANG:-clang-19}
suffix=${clang#clang}

# A tree of links, in which the other tests are missing: the Makefile takes every file of prog_tests and of progs.
rm -rf "$out"
mkdir -p "$out/src"
cp -as "$tree/tools" "$out/src/tools"
for dir in "$tree"/*; do
  [ -e "$out/src/${dir##*/}" ] || ln -s "$dir" "$out/src/"
done
bpf=$out/src/tools/testing/selftests/bpf
find "$bpf/prog_tests" -name '*.c' ! -name token.c ! -name unpriv_bpf_disabled.c -delete
find "$bpf/progs" -name '*.c' ! -name btf_data.c ! -name priv_map.c ! -name priv_prog.c ! -name token_lsm.c \
  ! -name dummy_st_ops_success.c ! -name test_unpriv_bpf_disabled.c -delete

[ "${BTF:-}" ] || bin/tokentest exec -q -k "$kernel" -- cat /sys/kernel/btf/vmlinux >"$out/btf"
make -C "$bpf" -j "${JOBS:-2}" "CLANG=$clang" "LLC=llc$suffix" "LLVM_CONFIG=llvm-config$suffix" \
  "LLVM_STRIP=llvm-strip$suffix" "OPT=opt$suffix" "VMLINUX_BTF=${BTF:-$out/btf}" LSKELS= LSKELS_EXTRA= LINKED_SKELS= \
  TRUNNER_EXTRA_FILES= feature-llvm=0 test_progs >"$out/log" 2>&1 || { tail -n 20 "$out/log" >&2; exit 3; }
bin/tokentest exec --parse auto -k "$kernel" -- "$bpf/test_progs" -t token,unpriv_bpf_disabled
