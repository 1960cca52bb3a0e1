#!/usr/bin/env bash
# Prints the flags of go build that keep the program small: without inlining in what is not worth the room that it takes,
# the libraries of the farm, the web and the command line. A later flag wins over an earlier one.
set -eu
for packages in github.com/... golang.org/x/... vendor/... net/... crypto/... encoding/... html/... text/... go/... \
	debug/... math/big; do
	echo "-gcflags=$packages=-l"
done
for packages in github.com/klauspost/... github.com/cilium/... golang.org/x/arch/...; do
	echo "-gcflags=$packages="
done
