// Package scripts contains shell scripts, and embeds the one file of them that users of the
// tool need in another tree.
//
// Start with README.md; the tests are here.
package scripts

import "embed"

// Files is vmtest.mk, by its name below scripts/.
//
//go:embed vmtest.mk
var Files embed.FS
