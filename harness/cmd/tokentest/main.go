// Command tokentest boots Linux kernels under QEMU and checks that every bpf(2)
// call is allowed or denied, with the exact errno, as the bpffs delegation masks
// and the caller's capabilities require.
//
// The command is flags and calls: lab runs machines, result judges, report renders.
//
// Start with root in cmd.go, which lists the commands; each command has a file of
// its name. topics holds the pages of "tokentest help TOPIC".
package main

import (
	"os"

	"tokentest/harness/cli"
)

// self is the name that the tool was called by.
var self = "tokentest"

func main() {
	self = cli.Name(os.Args[0])
	os.Exit(run(os.Args[1:], os.Stdin, cli.Stdout(), os.Stderr))
}
