package repro

import "strings"

// columns is how long a line of C is.
const columns = 100

// glue is a blank at which a line does not break.
const glue = "\x01"

// fill writes a statement so that it fits the columns. It breaks after commas, and what follows stands below the
// parenthesis that is open. A newline in the text is a break of a statement that does not fit in one line.
func fill(in, text string) string {
	column := 8 * len(in)
	if one := strings.ReplaceAll(text, "\n", " "); column+len(one) <= columns {
		return in + strings.ReplaceAll(one, glue, " ")
	}
	out, line := in, ""
	open := []int{column + 8} // where what follows begins, for each parenthesis that is open
	for _, p := range pieces(text) {
		forced := strings.HasSuffix(p, "\n")
		p = strings.TrimSpace(p)
		if line != "" && column+1+len(p) > columns {
			out, line, column = out+line+"\n"+indent(open[len(open)-1]), "", open[len(open)-1]
		} else if line != "" {
			line, column = line+" ", column+1
		}
		open = parentheses(open, p, column)
		line, column = line+p, column+len(p)
		if forced {
			out, line, column = out+line+"\n"+indent(open[len(open)-1]), "", open[len(open)-1]
		}
	}
	return strings.ReplaceAll(out+line, glue, " ")
}

// pieces cuts a statement where it may be broken: after a comma and a blank that are not in a string or in braces, and
// at newlines.
func pieces(text string) []string {
	var out []string
	start, quoted, braces := 0, false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			braces++
		case c == '}':
			braces--
		case braces == 0 && (c == '\n' || c == ' ' && i > 0 && text[i-1] == ','):
			out, start = append(out, text[start:i+1]), i+1
		}
	}
	return append(out, text[start:])
}

// parentheses are the columns behind those that are open after a piece that begins at a column.
func parentheses(open []int, p string, column int) []int {
	quoted := false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(':
			open = append(open, column+i+1)
		case c == ')' && len(open) > 1:
			open = open[:len(open)-1]
		}
	}
	return open
}

// indent is white space up to a column.
func indent(column int) string {
	return strings.Repeat("\t", column/8) + strings.Repeat(" ", column%8)
}
