package report

import (
	"bufio"
	"strings"
	"unicode/utf8"
)

// style is the parameter of a terminal's escape sequence for a style.
type style string

// The styles that pretty uses.
const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "1;31"
	green  style = "32"
	yellow style = "33"
	purple style = "35"
)

// textWriter wraps words between a margin and a width.
type textWriter struct {
	w     *bufio.Writer
	width int
	color bool
}

// paint puts text in a style. Call it after wrapping, because a code has no width.
func (p *textWriter) paint(s style, text string) string {
	if !p.color || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// para writes words after a lead and wraps them at the margin. A word that is longer than a
// line gets its own line. tail marks each break.
func (p *textWriter) para(lead string, s style, margin int, words []string, tail string) {
	trimmed := strings.TrimLeft(lead, " ")
	p.w.WriteString(lead[:len(lead)-len(trimmed)] + p.paint(s, trimmed))
	col, first := utf8.RuneCountInString(lead), true
	for i, word := range words {
		n := utf8.RuneCountInString(word)
		room := p.width - col
		if i < len(words)-1 {
			room -= len(tail)
		}
		if !first && 1+n > room {
			p.w.WriteString(tail + "\n" + strings.Repeat(" ", margin))
			col, first = margin, true
		}
		if !first {
			p.w.WriteByte(' ')
			col++
		}
		p.w.WriteString(word)
		col, first = col+n, false
	}
	p.w.WriteByte('\n')
}

// labelled is the column where the text after a label begins.
const labelled = 11

// field writes a label and its text.
func (p *textWriter) field(f field) {
	tail := ""
	if f.command {
		tail = ` \`
	}
	lead := "  " + f.label
	lead += strings.Repeat(" ", max(1, labelled-len(lead)))
	p.para(lead, dim, labelled, f.words, tail)
}

// head writes the first line of a paragraph: a word in a style, then text.
func (p *textWriter) head(word string, s style, text string) {
	words := strings.Fields(clean(text))
	if len(words) > 0 {
		word += " "
	}
	p.para(word, s, 2, words, "")
}

// blank writes an empty line.
func (p *textWriter) blank() { p.w.WriteByte('\n') }
