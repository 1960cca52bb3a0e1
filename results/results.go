// Package results embeds the schemas of what a run stores. Everything else here is data.
//
// Start with Files.
package results

import "embed"

// Files are the schemas, by their names below results/.
//
//go:embed *.schema.json
var Files embed.FS
