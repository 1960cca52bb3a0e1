package textfile

import (
	"strings"
	"testing"
	"unicode/utf16"
)

// inUTF16 is a text in UTF-16, with the least significant byte first, after a mark.
func inUTF16(mark, text string) string {
	out := []byte(mark)
	for _, u := range utf16.Encode([]rune(text)) {
		out = append(out, byte(u), byte(u>>8))
	}
	return string(out)
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"about x\n# größer, 漢字, \ufffd\n": "",
		"\xef\xbb\xbfabout x\n":           "f.txt:1: the file begins with a byte order mark",
		inUTF16("\xff\xfe", "ab\n"):       "f.txt:1: the file is UTF-16",
		"\xfe\xff\x00a":                   "f.txt:1: the file is UTF-16",
		inUTF16("", "ab\ncd"):             "f.txt:1: the file is not text",
		"a\nb\n\x00":                      "f.txt:3: the file is not text",
		"a\ngr\xf6\xdfer\n":               "f.txt:2: the file is not UTF-8",
	} {
		err := Check("f.txt", []byte(text))
		if (err == nil) != (want == "") || err != nil && (!strings.HasPrefix(err.Error(), want) ||
			strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
