package farm

import (
	"fmt"
	"sync"

	"tokentest/harness/cachedir"
)

// Build identifies this program by its bytes: parts of one build are for workers of the same one, because records of
// two builds do not belong together.
var Build = sync.OnceValues(func() (string, error) {
	sum, err := cachedir.Digest("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	return sum[:16], nil
})
