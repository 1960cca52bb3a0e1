package cli

import (
	"strings"
	"testing"
)

// A page on a terminal has headings in capitals and no frame of a table.
func TestPlain(t *testing.T) {
	const page = "One.\n\n## Two\n\n| code | meaning |\n| --- | --- |\n| `0` | all | more |\n| " +
		"`long-long-word` | x |\n\n    tokentest run\n"
	want := "One.\n\nTWO\n\n  0             all | more\n  long-long-word\n                x\n\n    tokentest run\n"
	if got := Plain(page); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	long := plainRow("| word | "+strings.Repeat("word ", 60)+"|") + "\n"
	for line := range strings.Lines(long) {
		if len(line) > topicWidth+1 {
			t.Errorf("%d columns: %q", len(line), line)
		}
	}
}
