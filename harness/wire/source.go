package wire

import "embed"

// Sources are the files of this package. Host and agent must be built from the same ones.
//
//go:embed codec.go mark.go names.go program.go source.go wire.go
var Sources embed.FS
