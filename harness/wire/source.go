package wire

import "embed"

// Sources are the files of this package. An agent that is built from other
// ones would write other records.
//
//go:embed codec.go mark.go names.go program.go source.go wire.go
var Sources embed.FS
