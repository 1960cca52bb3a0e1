package cases

import "io/fs"

// Files returns the built-in case files, by their names below cases/.
func Files() fs.FS { return files }
