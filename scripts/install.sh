#!/usr/bin/env bash
# Copies a program, its manual pages, its completion for bash, zsh and fish, and vmtest.mk below PREFIX; or removes them.
# Usage: scripts/install.sh PROGRAM PREFIX [RUN], or scripts/install.sh --remove PREFIX. RUN is a program of the same
# version that runs here, if PROGRAM is for another architecture.
set -eu
umask 022

program=${1:?usage: scripts/install.sh PROGRAM PREFIX [RUN]}
prefix=${2:?usage: scripts/install.sh PROGRAM PREFIX [RUN]}
run=${3:-$program}
share=$prefix/share

if [ "$program" = --remove ]; then
	rm -f "$prefix/bin/tokentest" "$share"/man/man1/tokentest{,-*}.1.gz "$share/bash-completion/completions/tokentest" \
		"$share/zsh/site-functions/_tokentest" "$share/fish/vendor_completions.d/tokentest.fish" "$share/tokentest/vmtest.mk"
	rmdir "$share/tokentest" 2>/dev/null || true
	exit
fi

# The pages and the completion name the program as it was called.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
ln -s "$(realpath "$run")" "$tmp/tokentest"
PATH=$tmp:$PATH

install -D -m 755 "$program" "$prefix/bin/tokentest"
tokentest man "$tmp/man"
install -d "$share/man/man1"
for page in "$tmp"/man/*.1; do
	gzip -9nc "$page" >"$share/man/man1/$(basename "$page").gz"
done
install -d "$share/bash-completion/completions" "$share/zsh/site-functions" "$share/fish/vendor_completions.d" \
	"$share/tokentest"
tokentest completion bash >"$share/bash-completion/completions/tokentest"
tokentest completion zsh >"$share/zsh/site-functions/_tokentest"
tokentest completion fish >"$share/fish/vendor_completions.d/tokentest.fish"
tokentest files vmtest.mk >"$share/tokentest/vmtest.mk"
