package step

import "embed"

// Sources are the files of this package. An agent that is built from other
// ones would speak of other programs.
//
//go:embed *.go
var Sources embed.FS
