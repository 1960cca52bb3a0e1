package progress

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// The sequences that clear the rest of the row, and everything below.
const (
	clearRight = "\x1b[K"
	clearBelow = "\x1b[J"
)

// screen is the end of a terminal's output: lines that are drawn again and again, and above them
// what stays. It is safe for several goroutines.
//
// A library such as mpb takes each line for one row. A terminal that was made narrower has broken
// them into several, and the rows that nobody counted stay as rubbish.
type screen struct {
	w    io.Writer
	size func() (columns, rows int)
	// reflows says that the terminal breaks its lines again when it becomes narrower.
	reflows bool

	mu    sync.Mutex
	above bytes.Buffer // is printed above the lines by the next draw
	drawn []string     // the lines on the screen
	wide  int          // of the terminal then
}

// newScreen uses w, which is a terminal, or anything else in tests.
func newScreen(w io.Writer) *screen {
	return &screen{w: w, size: sizeOf(w), reflows: reflowing(os.Getenv)}
}

// sizeOf returns what measures a terminal.
func sizeOf(w io.Writer) func() (columns, rows int) {
	return func() (columns, rows int) {
		if f, ok := w.(interface{ Fd() uintptr }); ok {
			columns, rows, _ = term.GetSize(int(f.Fd())) // an error leaves zeros
		}
		return cmp.Or(columns, 80), cmp.Or(rows, 24)
	}
}

// reflowing reports whether the terminal breaks its lines again when it is resized, as nearly
// all do. The console of Linux, GNU screen and xterm itself do not.
func reflowing(env func(string) string) bool {
	name, _, _ := strings.Cut(env("TERM"), "-")
	return env("XTERM_VERSION") == "" && !slices.Contains([]string{"linux", "screen", "vt100", "vt220", "dumb"}, name)
}

// Write keeps whole lines to be printed above the lines of the screen.
func (s *screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.above.Write(text)
}

// draw prints what is new, and the lines that lines returns for a width and at most so many rows.
// It writes nothing if nothing has changed.
func (s *screen) draw(lines func(columns, rows int) []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	columns, rows := s.size()
	now := lines(columns, max(1, rows-1))
	if s.above.Len() == 0 && columns == s.wide && slices.Equal(now, s.drawn) {
		return
	}
	var out bytes.Buffer
	out.WriteString("\r") // the terminal may have echoed ^C
	if up := s.rows(columns); up > 0 {
		fmt.Fprintf(&out, "\x1b[%dA", up)
	}
	// Each line is written over what was there. To clear the screen first would push it into
	// the history of tmux if it begins in the first row.
	put := func(line string) {
		out.WriteString(line)
		if length := utf8.RuneCountInString(line); length == 0 || length%columns != 0 { // else it would clear the last column
			out.WriteString(clearRight)
		}
		out.WriteByte('\n')
	}
	for line := range strings.Lines(s.above.String()) {
		put(strings.TrimSuffix(line, "\n"))
	}
	s.above.Reset()
	for _, line := range now {
		put(line)
	}
	out.WriteString(clearBelow)
	s.drawn, s.wide = now, columns
	s.w.Write(out.Bytes()) // without a terminal there is nobody to tell
}

// rows is how many rows the drawn lines take on a terminal that now has so many columns.
func (s *screen) rows(columns int) int {
	n := 0
	for _, line := range s.drawn {
		n++
		if length := utf8.RuneCountInString(line); s.reflows && length > columns {
			n += (length - 1) / columns
		}
	}
	return n
}
