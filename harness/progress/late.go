package progress

import (
	"fmt"
	"time"
)

// Late holds back notes for a while, so that notes about quick steps do not mix with the output
// of a program. After that it prints the notes that it held back.
func Late(note func(format string, args ...any), after time.Duration) func(string, ...any) {
	start := time.Now()
	var kept []string
	return func(format string, args ...any) {
		kept = append(kept, fmt.Sprintf(format, args...))
		if time.Since(start) < after {
			return
		}
		for _, line := range kept {
			note("tokentest: %s", line)
		}
		kept = nil
	}
}
