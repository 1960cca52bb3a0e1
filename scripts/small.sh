#!/usr/bin/env bash
# Prints the flags of go build that keep the program small: without inlining in what is not worth the room that it takes,
# the farm, the web, the command line and what prints. A later flag wins over an earlier one.
set -eu
for packages in github.com/... golang.org/x/... vendor/... net/... crypto/... encoding/... html/... text/... go/... \
	debug/... math/big mime/... log/... archive/... tokentest/harness/cmd/... tokentest/harness/farm/... \
	tokentest/harness/report tokentest/harness/explain tokentest/harness/doctor tokentest/harness/repro \
	tokentest/harness/kernel tokentest/harness/runs; do
	echo "-gcflags=$packages=-l"
done
for packages in github.com/klauspost/... github.com/cilium/... golang.org/x/arch/...; do
	echo "-gcflags=$packages="
done
