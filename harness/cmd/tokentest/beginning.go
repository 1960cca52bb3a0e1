package main

import (
	"github.com/spf13/pflag"

	"tokentest/harness/lab"
)

// snapshotFlag registers --snapshot with its default.
func snapshotFlag(fl *pflag.FlagSet, to *lab.SnapshotUse, usual lab.SnapshotUse) {
	*to = usual
	fl.Var(to, "snapshot", "start from a snapshot of the machine after its boot `WHEN`: "+
		"auto (if an earlier run stored one), always (make one if there is none) or never")
	fl.Lookup("snapshot").NoOptDefVal = string(lab.AlwaysRestore)
}

// entryFlag registers --boot.
func entryFlag(fl *pflag.FlagSet, to *lab.Entry) {
	fl.Var(to, "boot",
		"enter a bzImage `HOW`: direct (QEMU enters the ELF file in it), bzimage, or auto (directly if the kernel boots so)")
}
