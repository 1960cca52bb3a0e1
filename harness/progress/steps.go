package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Steps shows long steps outside of a run: on a terminal one line that is written again and again,
// elsewhere a line every half minute. It is safe for several goroutines; a nil Steps shows nothing.
type Steps struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	size     func() (columns, rows int)
	shown    bool // a line is on the terminal
	every    time.Duration
	text     string      // of the step that goes on, without a terminal
	next     *time.Timer // prints it
}

// NewSteps shows steps on w. With terminal, w must be a terminal itself.
func NewSteps(w io.Writer, terminal bool) *Steps {
	return &Steps{w: w, terminal: terminal, size: sizeOf(w), every: beat}
}

// Step shows what a step does and how far it is; "" ends it.
func (s *Steps) Step(text string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step(visible(text))
}

func (s *Steps) step(text string) {
	s.text = text
	switch {
	case text == "":
		s.clear()
		if s.next != nil {
			s.next.Stop()
			s.next = nil
		}
	case s.terminal:
		columns, _ := s.size()
		if line := []rune(text); len(line) >= columns { // the last column stays free: it would break the line
			text = string(line[:max(0, columns-1)])
		}
		fmt.Fprint(s.w, "\r", text, clearRight)
		s.shown = true
	case s.next == nil:
		s.next = time.AfterFunc(s.every, s.say)
	}
}

// say prints the step that goes on, also if it has not said anything for a while.
func (s *Steps) say() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == "" { // it ended meanwhile
		return
	}
	fmt.Fprintln(s.w, s.text)
	s.next.Reset(s.every)
}

// Clear takes the line away, for another line to be printed there. The next Step brings it back.
func (s *Steps) Clear() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

func (s *Steps) clear() {
	if s.shown {
		fmt.Fprint(s.w, "\r", clearRight)
		s.shown = false
	}
}
