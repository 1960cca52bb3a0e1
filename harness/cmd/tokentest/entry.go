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
		return errors.New("want auto, direct or bzimage")
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

// entryFlag registers --boot.
func entryFlag(fl *pflag.FlagSet, to *lab.Entry) {
	fl.Var((*entryValue)(to), "boot",
		"enter a bzImage `HOW`: direct (QEMU enters the ELF file in it), bzimage, or auto (directly if the kernel boots so)")
}
