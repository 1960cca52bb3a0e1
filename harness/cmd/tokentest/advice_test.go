package main

import (
	"bytes"
	"strings"
	"testing"

	"tokentest/harness/result"
)

// TestAdvice makes usage errors: each is one line that names the help once.
func TestAdvice(t *testing.T) {
	for _, args := range []string{
		"nosuch", "topics", "list nosuch", "run --nosuch", "explain", "explain --diff 6.12", "compare x", "exec",
		"bisect x",
	} {
		var out bytes.Buffer
		code := run(strings.Fields(args), nil, &out, &out)
		said := out.String()
		if code != result.ExitUsage || strings.Count(said, "\n") != 1 || strings.Count(said, "; see tokentest") != 1 {
			t.Errorf("%s: exit code %d, and it says %q", args, code, said)
		}
	}
}
