package main

import (
	"errors"

	"github.com/spf13/pflag"

	"tokentest/harness/lab"
)

// entryValue is the value of --boot.
type entryValue lab.Entry

const autoEntry = "auto"

func (v *entryValue) Set(text string) error {
	switch e := lab.Entry(text); {
	case text == autoEntry:
		*v = entryValue(lab.AutoEntry)
	case e == lab.DirectEntry, e == lab.BzImageEntry:
		*v = entryValue(e)
	default:
		return errors.New("must be auto, direct or bzimage")
	}
	return nil
}

func (v *entryValue) String() string {
	if *v == entryValue(lab.AutoEntry) {
		return autoEntry
	}
	return string(*v)
}

func (v *entryValue) Type() string { return "string" }

// snapshotValue is the value of --snapshot.
type snapshotValue lab.SnapshotUse

const neverRestore = "never"

func (v *snapshotValue) Set(text string) error {
	switch u := lab.SnapshotUse(text); {
	case text == neverRestore:
		*v = snapshotValue(lab.NeverRestore)
	case u == lab.AutoRestore, u == lab.AlwaysRestore:
		*v = snapshotValue(u)
	default:
		return errors.New("must be auto, always or never")
	}
	return nil
}

func (v *snapshotValue) String() string {
	if *v == snapshotValue(lab.NeverRestore) {
		return neverRestore
	}
	return string(*v)
}

func (v *snapshotValue) Type() string { return "string" }

// snapshotFlag registers --snapshot with its default.
func snapshotFlag(fl *pflag.FlagSet, to *lab.SnapshotUse, usual lab.SnapshotUse) {
	*to = usual
	fl.Var((*snapshotValue)(to), "snapshot", "start from a snapshot of the machine after its boot `WHEN`: "+
		"auto (if an earlier run stored one), always (make one if there is none) or never")
	fl.Lookup("snapshot").NoOptDefVal = string(lab.AlwaysRestore)
}

// entryFlag registers --boot.
func entryFlag(fl *pflag.FlagSet, to *lab.Entry) {
	fl.Var((*entryValue)(to), "boot",
		"enter a bzImage `HOW`: direct (QEMU enters the ELF file in it), bzimage, or auto (directly if the kernel boots so)")
}
