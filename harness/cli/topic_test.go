package cli

import (
	"strings"
	"testing"
)

// A page on a terminal has headings in capitals and no frame of a table.
func TestPlain(t *testing.T) {
	const page = "One.\n\n## Two\n\n| code | meaning |\n| --- | --- |\n| `0`, `1` | all | more |\n| " +
		"`long-long-word` | x |\n\n    tokentest run\n"
	want := "One.\n\nTWO\n\n  0, 1          all | more\n  long-long-word\n                x\n\n    tokentest run\n"
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

// A heading without an own line in capitals is text, and text is no markup.
func TestMarkdown(t *testing.T) {
	const page = "A * file_name\n# of text.\n\nLINES\n  about TEXT  what *it*\n              shows\n\nSTEPS\n  one\n"
	want := "A \\* file\\_name # of text.\n\n# LINES\n```\n  about TEXT  what *it*\n              shows\n```\n\n" +
		"# STEPS\n```\n  one\n```\n\n"
	if got := Markdown(page); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
