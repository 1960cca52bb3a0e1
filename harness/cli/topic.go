package cli

import (
	"fmt"
	"strings"
)

// Plain is a page of Markdown for a terminal: headings in capitals, and tables without frames.
func Plain(markdown string) string {
	var out []string
	lines := strings.Split(markdown, "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "## "):
			line = strings.ToUpper(line[len("## "):])
		case strings.HasPrefix(line, "| ---"), i+1 < len(lines) && strings.HasPrefix(lines[i+1], "| ---"):
			continue
		case strings.HasPrefix(line, "| "):
			line = plainRow(line)
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// A page on a terminal: its width, and where the second cell of a row begins.
const (
	topicWidth  = 100
	topicMargin = 16
)

// plainRow is a row of a table for a terminal: two columns, or one below the other
// if the first cell is long.
func plainRow(row string) string {
	first, rest, _ := strings.Cut(strings.Trim(row, "| "), " | ")
	out := fmt.Sprintf("  %-*s", topicMargin-3, strings.Trim(first, "`"))
	col := len(out)
	if col >= topicMargin {
		col = topicWidth
	}
	for _, word := range strings.Fields(rest) {
		if col+1+len(word) > topicWidth {
			out += "\n" + strings.Repeat(" ", topicMargin-1)
			col = topicMargin - 1
		}
		out, col = out+" "+word, col+1+len(word)
	}
	return out
}
