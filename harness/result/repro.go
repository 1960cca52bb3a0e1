package result

import (
	"fmt"
	"path/filepath"
	"strings"
)

// ReproFile is where the directory of a run has a case as a C program, for the kernel with an index. Not every case has
// one.
func ReproFile(dir string, kernel int, id string) string {
	return filepath.Join(dir, "repro", fmt.Sprintf("%d-%s.c", kernel, strings.ReplaceAll(id, "/", "-")))
}
