// Command init is PID 1 of the test machine: it mounts the file systems, loads the
// kernel's modules and starts the agent.
//
// It runs no case; package guest does. Start with main; setup.go prepares the
// machine.
package main

import (
	"os"

	"golang.org/x/sys/unix"

	"tokentest/harness/guest"
	"tokentest/harness/library"
	"tokentest/harness/wire"
)

// buildID names the sources that this program was built from; package images links it in.
var buildID string

func main() {
	if library.Is() {
		library.Main()
		return
	}
	if guest.IsOwnProgram() {
		os.Exit(guest.OwnProgram())
	}
	if guest.IsModprobe() {
		os.Exit(guest.Modprobe(os.Args[1:]))
	}
	if guest.IsActor() {
		runActor()
		return
	}
	run()
	powerOff()
}

// run prepares the machine, says on the kernel's log what could not be done,
// and runs the agent.
func run() {
	changes := setUp()
	log := openLog()
	log.printf("init %s", buildID)
	for _, c := range changes {
		if c.Errno != 0 {
			log.printf("init: %s %s %s: %s", c.Kind, c.Name, c.To, c.Errno)
		}
	}
	if err := guest.Main(buildID, changes); err != nil {
		log.complain(wire.AgentPrefix+"%v", err)
	}
}

// runActor is this program as an actor's process.
func runActor() {
	if err := guest.Main(buildID, nil); err != nil {
		openLog().complain("actor: %v", err)
	}
}

// powerOff ends the machine. PID 1 must not return: the kernel would panic.
func powerOff() {
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
