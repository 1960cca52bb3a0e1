// Command pack writes the images that tokentest embeds into images/builtin: "make build" runs
// it before it builds the command.
//
// It holds nothing but a call; start with Pack in package images.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"tokentest/cases/step"
	"tokentest/harness/wire"
	"tokentest/images"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := images.Options{Source: ".", Shared: images.Shared{"cases/step": step.Sources, "harness/wire": wire.Sources},
		Log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	if err := images.Pack(ctx, o, "images/builtin"); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}
