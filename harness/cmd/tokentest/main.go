// Command tokentest boots Linux kernels under QEMU and checks that every
// bpf(2) call is allowed or denied, with the exact errno, as the bpffs
// delegation masks and the caller's capabilities dictate.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
