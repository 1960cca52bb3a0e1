package mutate

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/scanner"
	"unicode"

	"tokentest/cases/uapi"
	"tokentest/harness/usage"
)

// SourceMutant is a change of the kernel's C source. Unlike a change of machine code a person can read it, and a
// compiler has to build it.
type SourceMutant struct {
	Number   int // that switches it on
	Operator Operator
	File     string
	Func     string
	Line     int
	Change   string // for people
	// Instead is what stands for the expression in the changed source.
	Instead string
	edit    *sourceEdit
}

// sourceEdit is an expression, as bytes of a file, that a switch can change in the ways of its mutants.
type sourceEdit struct {
	from, to int
	mutants  []*SourceMutant
}

// cToken is a token of C. Two characters of an operator are two tokens.
type cToken struct {
	text     string
	from, to int
}

// cFile is a source file, without what the preprocessor reads.
type cFile struct {
	name   string
	text   string
	tokens []cToken
}

// directive is a line for the preprocessor, with those that continue it.
var directive = regexp.MustCompile(`(?m)^[ \t]*#(?:[^\\\n]|\\\n|\\.)*`)

// readC reads a source file below the kernel's tree.
func readC(tree, name string) (*cFile, error) {
	text, err := os.ReadFile(filepath.Join(tree, name))
	if err != nil {
		return nil, usage.Errorf("read the kernel's source: %w", err)
	}
	f := &cFile{name: name, text: string(text)}
	var s scanner.Scanner
	s.Init(bytes.NewReader(directive.ReplaceAllFunc(text, func(d []byte) []byte {
		out := bytes.Repeat([]byte{' '}, len(d))
		for i, c := range d {
			if c == '\n' {
				out[i] = c
			}
		}
		return out
	})))
	s.Error = func(*scanner.Scanner, string) {} // C's constants are not Go's
	s.Mode = scanner.ScanIdents | scanner.ScanInts | scanner.ScanChars | scanner.ScanStrings | scanner.ScanComments |
		scanner.SkipComments
	for r := s.Scan(); r != scanner.EOF; r = s.Scan() {
		text := s.TokenText()
		f.tokens = append(f.tokens, cToken{text, s.Position.Offset, s.Position.Offset + len(text)})
	}
	return f, nil
}

func (f *cFile) is(n int, text string) bool {
	return n >= 0 && n < len(f.tokens) && f.tokens[n].text == text
}

// closes is the token that closes the bracket at token n, or the end of the file.
func (f *cFile) closes(n int) int {
	depth := 0
	for ; n < len(f.tokens); n++ {
		switch f.tokens[n].text {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			if depth--; depth == 0 {
				return n
			}
		}
	}
	return len(f.tokens)
}

// line is the line of a byte, from 1.
func (f *cFile) line(at int) int { return 1 + strings.Count(f.text[:at], "\n") }

// between is the text of tokens, up to and without token to.
func (f *cFile) between(from, to int) string { return f.text[f.tokens[from].from:f.tokens[to-1].to] }

// notNames stand before brackets in declarations, and are no names of functions.
var notNames = []string{"__acquires", "__releases", "__must_hold", "__attribute__", "__printf", "__section",
	"__aligned"}

// functions calls do for each function's body: the tokens from { up to }. Macros that define one, such as BPF_CALL_2,
// have its name as their first argument.
func (f *cFile) functions(do func(name string, from, to int, returnsStruct bool)) {
	begin, named := 0, -1 // of the declaration, and of the function's name
	for n := 0; n < len(f.tokens); n++ {
		switch f.tokens[n].text {
		case ";":
			begin, named = n+1, -1
		case "{":
			n = f.closes(n)
		case "(":
			if n > 0 && !slices.Contains(notNames, f.tokens[n-1].text) {
				named = n - 1
			}
			if n = f.closes(n); named < 0 || !f.is(n+1, "{") {
				continue
			}
			name := f.tokens[named].text
			if strings.ToUpper(name) == name {
				name = f.tokens[named+2].text
			}
			returns := map[string]bool{}
			for _, t := range f.tokens[begin:named] {
				returns[t.text] = true
			}
			body := f.closes(n + 1)
			do(name, n+1, body, returns["struct"] && !returns["*"])
			n = body
			begin, named = n+1, -1
		}
	}
}

// SourceMutants lists the changes of the source files in a kernel's tree, in the functions that the selection
// chooses.
func SourceMutants(tree string, files []string, s *Selection) ([]*SourceMutant, error) {
	var out []*SourceMutant
	for _, name := range files {
		f, err := readC(tree, name)
		if err != nil {
			return nil, err
		}
		f.functions(func(function string, from, to int, returnsStruct bool) {
			if s.chooses(function) {
				b := &cBody{cFile: f, function: function, returnsStruct: returnsStruct}
				b.statements(from, to)
				out = append(out, b.out...)
			}
		})
	}
	for i, m := range out {
		m.Number = i + 1
	}
	return out, nil
}

// inSource says which changes of the source at FILE:LINE a change of the machine code there may be. Whether a jump is
// taken if a condition is true or false, the compiler chose.
func inSource(tree, place string, o Operator) []string {
	file, number, _ := strings.Cut(place, ":")
	ms, err := SourceMutants(tree, []string{file}, &Selection{})
	if tree == "" || err != nil {
		return nil
	}
	jump := o == Always || o == Never
	var out []string
	for _, m := range ms {
		same := m.Operator == o || jump && (m.Operator == Always || m.Operator == Never)
		if same && strconv.Itoa(m.Line) == number {
			out = append(out, m.Change)
		}
	}
	return out
}

// cBody is one function.
type cBody struct {
	*cFile
	function      string
	returnsStruct bool
	out           []*SourceMutant
}

// change adds a place and what may stand there.
func (b *cBody) change(from, to int, ms ...*SourceMutant) {
	e := &sourceEdit{b.tokens[from].from, b.tokens[to-1].to, ms}
	for _, m := range ms {
		m.File, m.Func, m.Line, m.edit = b.name, b.function, b.line(e.from), e
		b.out = append(b.out, m)
	}
}

// statements looks at the tokens of a body.
func (b *cBody) statements(from, to int) {
	for n := from; n < to; n++ {
		switch t := b.tokens[n].text; {
		case t == "static" || t == "case" || strings.HasPrefix(t, "BUILD_BUG_ON"): // constants
			for n < to && !b.is(n, ";") && !b.is(n, ":") {
				n++
			}
		case t == "if" && b.is(n+1, "("):
			b.condition(n+2, b.closes(n+1))
		case t == "return":
			end := b.until(n+1, ";")
			if b.isCondition(n+1, end) {
				b.condition(n+1, end)
			} else if b.isCall(n+1, end) && !b.returnsStruct {
				b.call(n+1, end)
			}
		case slices.Contains(statusNames, t) && b.is(n+1, "=") && !b.is(n+2, "="):
			if end := b.until(n+2, ";"); b.isCall(n+2, end) {
				b.call(n+2, end)
			}
		case t == "-" && n+1 < to:
			b.constant(Errno, n, n+2, errnoNames, "-")
		case strings.HasPrefix(t, "CAP_"):
			b.constant(Capability, n, n+1, capabilityNames, "")
		}
	}
}

// statusNames are the variables in which the kernel's functions keep an errno.
var statusNames = []string{"err", "ret", "res", "rc"}

func (b *cBody) until(n int, text string) int {
	for ; n < len(b.tokens) && !b.is(n, text); n++ {
		if b.is(n, "(") || b.is(n, "{") {
			n = b.closes(n)
		}
	}
	return n
}

// isCall reports whether tokens are one call of a function, whose name is not that of a macro.
func (b *cBody) isCall(from, to int) bool {
	if to-from < 3 || !b.is(from+1, "(") || b.closes(from+1) != to-1 {
		return false
	}
	return strings.IndexFunc(b.tokens[from].text, unicode.IsUpper) < 0 && !b.fixed(from, to)
}

// isCondition reports whether tokens are an expression that is true or false. One that chooses may be anything.
func (b *cBody) isCondition(from, to int) bool {
	if b.until(from, "?") < to {
		return false
	}
	for n := from; n < to; n++ {
		switch {
		case b.is(n, "("):
			n = b.closes(n)
		case b.pair(n, "&") || b.pair(n, "|") || b.pair(n, "="), b.is(n, "!") && n == from, b.is(n, "!") && b.is(n+1, "="):
			return true
		}
	}
	return false
}

// pair reports whether token n begins an operator that is a character twice.
func (b *cBody) pair(n int, c string) bool {
	return b.is(n, c) && b.is(n+1, c) && b.tokens[n].to == b.tokens[n+1].from
}

// fixed reports whether the compiler must be able to decide an expression, since the code behind it may lack
// functions.
func (b *cBody) fixed(from, to int) bool {
	return slices.ContainsFunc(b.tokens[from:to], func(t cToken) bool {
		return t.text == "sizeof" || strings.HasPrefix(t.text, "IS_") || strings.HasPrefix(t.text, "CONFIG_") ||
			strings.HasPrefix(t.text, "__builtin") || strings.HasPrefix(t.text, "BITS_PER_")
	})
}

// condition changes each operand of a condition.
func (b *cBody) condition(from, to int) {
	start := from
	chooses := b.until(from, "?") < to // then it is one operand: ? binds less than && and ||
	for n := from; n <= to; n++ {
		switch {
		case n < to && (b.is(n, "(") || b.is(n, "{")):
			n = b.closes(n)
		case n == to || !chooses && (b.pair(n, "&") || b.pair(n, "|")):
			if start < n && !b.fixed(start, n) {
				text := b.between(start, n)
				b.change(start, n,
					&SourceMutant{Operator: Always, Instead: "true", Change: fmt.Sprintf("%s is true", brief(text))},
					&SourceMutant{Operator: Never, Instead: "false", Change: fmt.Sprintf("%s is false", brief(text))})
			}
			n++
			start = n + 1
		}
	}
}

// call changes the result of a call.
func (b *cBody) call(from, to int) {
	name := b.tokens[from].text
	b.change(from, to,
		&SourceMutant{Operator: Zero, Instead: "0", Change: fmt.Sprintf("the result of %s is 0", name)},
		&SourceMutant{Operator: One, Instead: "1", Change: fmt.Sprintf("the result of %s is 1", name)})
}

// constant exchanges a name of a list for the next one.
func (b *cBody) constant(o Operator, from, to int, names []string, sign string) {
	name := b.tokens[to-1].text
	if i := slices.Index(names, name); i >= 0 {
		other := names[(i+1)%len(names)]
		b.change(from, to, &SourceMutant{Operator: o, Instead: sign + other, Change: other + " instead of " + name})
	}
}

var capabilityNames, errnoNames = namesOf(capabilities), namesOf(errnos)

func namesOf[T uapi.Cap | uapi.Errno](list []T) (out []string) {
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// brief is a text in one line that is not long.
func brief(text string) string {
	const most = 60
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}
