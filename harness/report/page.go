package report

import (
	"bufio"
	"strings"
	"unicode/utf8"
)

// style is a terminal's way to stress a word.
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

// page wraps words between a margin and a width.
type page struct {
	w     *bufio.Writer
	width int
	color bool
}

// paint puts text in a style. It is done last: a code has no width.
func (p *page) paint(s style, text string) string {
	if !p.color || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// para writes words behind a lead, and breaks lines to the margin. What is
// longer than a line keeps one for itself. Each break is marked with tail.
func (p *page) para(lead string, s style, margin int, words []string, tail string) {
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

// labelled is where the text behind a fact's label begins.
const labelled = 11

// fact writes one labelled fact.
func (p *page) fact(f fact) {
	tail := ""
	if f.command {
		tail = ` \`
	}
	lead := "  " + f.label
	lead += strings.Repeat(" ", max(1, labelled-len(lead)))
	p.para(lead, dim, labelled, f.words, tail)
}

// head writes a line that begins a paragraph: a word that is stressed, then text.
func (p *page) head(word string, s style, text string) {
	words := strings.Fields(clean(text))
	if len(words) > 0 {
		word += " "
	}
	p.para(word, s, 2, words, "")
}

// blank sets paragraphs apart.
func (p *page) blank() { p.w.WriteByte('\n') }
