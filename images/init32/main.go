// Command init32 is the program of the actors of 32 bits, which init starts. It is no PID 1: it has the part of the
// agent that an actor needs, so that it is small.
//
// Start with main.
package main

import (
	"fmt"
	"os"

	"tokentest/harness/guest"
)

// buildID names the sources, as that of init.
var buildID string

func main() {
	if guest.IsOwnProgram() {
		os.Exit(guest.OwnProgram())
	}
	if err := guest.Part(); err != nil {
		fmt.Fprintf(os.Stderr, "init32 %s: %v\n", buildID, err)
	}
}
