// Program is compiled by a test, which reads its debug information.
package main

import "os"

func main() {
	if len(os.Args) > 2 {
		println(half(len(os.Args)))
	}
	println(asked(len(os.Args)))
}

// half is small enough to be inlined.
func half(n int) int { return n / 2 }

//go:noinline
func asked(n int) int {
	if n > 1 {
		return half(n)
	}
	return -1
}
