package kconfig

import "io/fs"

// Files returns the built-in fragments, by their names below kconfig/.
func Files() fs.FS { return builtin }
