package step

import "embed"

// Sources are the files of this package. An agent that is built from other
// ones would speak of other programs.
//
//go:embed attr.go commands.go defects.go enums.go limits.go lsm.go mount.go options.go parity.go shapes.go source.go step.go
var Sources embed.FS
