// Command bare is an init that powers off at once. Benchmarks compare the suite with
// a boot of it. It is no part of a test run; start with "tokentest bench".
package main

import "syscall"

func main() {
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}
