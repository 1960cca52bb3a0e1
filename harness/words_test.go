package harness_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// words are the members and methods that hold text for people.
var words = []string{"Reason", "Note", "Blame", "Why", "Explain", "Error", "Says", "Accel", "Text", "Rule"}

// readers are the functions of strings, besides those of regexp, that take text apart.
var readers = []string{
	"Contains", "ContainsAny", "Cut", "CutPrefix", "CutSuffix", "EqualFold", "Fields", "HasPrefix", "HasSuffix", "Index",
	"LastIndex",
	"Split", "SplitN", "SplitSeq", "TrimPrefix", "TrimSuffix",
}

// foreign are calls in which such a member holds the text of another program,
// or of the user, by file and member.
var foreign = map[string]string{
	"cases/draw/shrink.go Text":     "steps of a case file",
	"cases/reached.go Text":         "steps of a case file",
	"harness/kernel/build.go Error": "what a full disk makes of any error",
	"harness/lab/record.go Text":    "/proc/cpuinfo",
	"harness/guest/builtin.go Text": "/proc/kallsyms",
	"harness/result/judge.go Text":  "the output of a program of the user's",
	"harness/result/old.go Blame":   "records of older versions",
	"harness/result/old.go Accel":   "records of older versions",
}

// TestWordsAreForPeople finds code that takes a message apart which this program
// wrote: what a caller must know is a type.
func TestWordsAreForPeople(t *testing.T) {
	list, err := sources("..")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for i := range list {
		f := &list[i]
		for _, word := range wordsRead(f.file) {
			key := f.path + " " + word.member
			if used[key] = true; foreign[key] == "" {
				t.Errorf("%s: %s reads %s: make what it looks for a type", f.at(word.at), word.reader, word.member)
			}
		}
	}
	for key := range foreign {
		if !used[key] {
			t.Errorf("%s: nothing reads it any more; remove the entry", key)
		}
	}
}

type wordRead struct {
	at             token.Pos
	reader, member string
}

// wordsRead lists the calls of a file that take the words of a message apart.
func wordsRead(file *ast.File) []wordRead {
	var out []wordRead
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		reader, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !isReader(reader) {
			return true
		}
		for _, arg := range call.Args {
			if member := wordOf(arg); member != "" {
				out = append(out, wordRead{call.Pos(), reader.Sel.Name, member})
			}
		}
		return true
	})
	return out
}

// isReader reports whether a call is of a function of strings that reads text,
// of Sscanf, or of a method of a regular expression.
func isReader(f *ast.SelectorExpr) bool {
	of, ok := f.X.(*ast.Ident)
	switch {
	case ok && of.Name == "strings":
		return slices.Contains(readers, f.Sel.Name)
	case ok && of.Name == "fmt":
		return strings.HasPrefix(f.Sel.Name, "Sscan")
	}
	return strings.HasPrefix(f.Sel.Name, "FindString") || strings.HasPrefix(f.Sel.Name, "FindAllString") ||
		f.Sel.Name == "MatchString"
}

// wordOf is the member or method of words that an expression is, "" for none.
func wordOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok {
			if slices.Contains(words, f.Sel.Name) {
				return f.Sel.Name
			}
		}
		for _, arg := range e.Args {
			if member := wordOf(arg); member != "" {
				return member
			}
		}
	case *ast.SelectorExpr:
		if slices.Contains(words, e.Sel.Name) {
			return e.Sel.Name
		}
	case *ast.BinaryExpr:
		if member := wordOf(e.X); member != "" {
			return member
		}
		return wordOf(e.Y)
	}
	return ""
}

// TestWordsAreFound shows each form to the test above.
func TestWordsAreFound(t *testing.T) {
	for text, want := range map[string]string{
		`strings.HasPrefix(r.Reason, "control ")`:           "Reason",
		`strings.Contains(err.Error(), "tokentest ")`:       "Error",
		`strings.Cut(strings.ToLower(c.Why()), ": ")`:       "Why",
		`fmt.Sscanf(k.Note, "%d", &n)`:                      "Note",
		`form.FindStringSubmatch(s.Explain())`:              "Explain",
		`strings.TrimPrefix("a " + b.Blame, "the set-up ")`: "Blame",
		`strings.HasPrefix(ref, "deb:")`:                    "",
		`strings.Join(r.Reason, "a")`:                       "",
	} {
		e, err := parser.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		call := e.(*ast.CallExpr)
		got := ""
		if isReader(call.Fun.(*ast.SelectorExpr)) {
			got = wordOf(call.Args[0])
		}
		if got != want {
			t.Errorf("%s: found %q, want %q", text, got, want)
		}
	}
}
