// Command bare is an init that powers off at once. Booting it is the yardstick that benchmarks are a ratio of.
package main

import "syscall"

func main() {
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}
