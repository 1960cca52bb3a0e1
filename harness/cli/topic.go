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

// Markdown is the opposite of Plain for a page that is only plain text: a line in capitals is a heading, and what is
// below it keeps its lines.
func Markdown(plain string) string {
	var out strings.Builder
	blocks := strings.Split(strings.Trim(plain, "\n"), "\n\n")
	for _, block := range blocks {
		title, body, _ := strings.Cut(block, "\n")
		if title == "" || title != strings.ToUpper(title) {
			out.WriteString(escape.Replace(strings.ReplaceAll(block, "\n", " ")) + "\n\n")
			continue
		}
		fmt.Fprintf(&out, "# %s\n```\n%s\n```\n\n", title, body)
	}
	return out.String()
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
	out := fmt.Sprintf("  %-*s", topicMargin-3, strings.ReplaceAll(first, "`", ""))
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
