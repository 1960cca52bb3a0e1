// Package textfile refuses files that look like text in an editor and are none to a parser: those with a byte order
// mark, in UTF-16, or with binary data. One line says so, where a parser would complain of every line.
//
// Start with Check.
package textfile

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Check returns an error if the content of a file is not UTF-8 text without a byte order mark. name is the file, for
// the error.
func Check(name string, content []byte) error {
	switch {
	case bytes.HasPrefix(content, []byte("\xef\xbb\xbf")):
		return fmt.Errorf("%s:1: the file begins with a byte order mark: save it as UTF-8 without one", name)
	case bytes.HasPrefix(content, []byte("\xff\xfe")), bytes.HasPrefix(content, []byte("\xfe\xff")):
		return fmt.Errorf("%s:1: the file is UTF-16: save it as UTF-8", name)
	case bytes.IndexByte(content, 0) >= 0:
		return fmt.Errorf("%s:%d: the file is not text: it holds a zero byte", name,
			line(content, bytes.IndexByte(content, 0)))
	case !utf8.Valid(content):
		return fmt.Errorf("%s:%d: the file is not UTF-8: save it as that", name, line(content, invalid(content)))
	}
	return nil
}

// line is the line of a byte.
func line(content []byte, at int) int { return 1 + bytes.Count(content[:at], []byte("\n")) }

// invalid is the place of the first byte that is not UTF-8.
func invalid(content []byte) int {
	for i := 0; i < len(content); {
		r, n := utf8.DecodeRune(content[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(content)
}
