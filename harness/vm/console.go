package vm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"tokentest/harness/splat"
)

// How many bytes of a console are kept: its start and its end, so that a guest that
// floods it fills neither the disk nor the memory.
const (
	headMax = 12 << 20
	tailMax = 4 << 20
)

// console stores and classifies what the kernel prints.
type console struct {
	mu   sync.Mutex
	log  *boundedLog
	scan splat.Scanner
	copy io.Writer
	err  error // the first failure to store
}

func newConsole(f *os.File, copy io.Writer, start time.Time) *console {
	return &console{
		log:  &boundedLog{w: f, head: headMax, tail: tailMax},
		scan: splat.Scanner{Now: func() time.Duration { return time.Since(start) }},
		copy: copy,
	}
}

// Write takes the next bytes of the console. It never fails: a full disk must not stop
// the guest, so close returns the error.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.log.Write(p); err != nil && c.err == nil {
		c.err = err
	}
	c.scan.Write(p)
	if c.copy != nil {
		if _, err := c.copy.Write(p); err != nil {
			c.copy = nil
		}
	}
	return len(p), nil
}

// dying reports whether the kernel says that it is dead.
func (c *console) dying() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.scan.Dying()
}

// size is how much the console has printed.
func (c *console) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.n
}

// close ends the log. It returns what the log held, whether the guest printed
// anything, and why the log is incomplete.
func (c *console) close() (r splat.Report, heard bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r = c.scan.Close()
	err = errors.Join(c.err, c.log.Close())
	for i := range r.Findings {
		r.Findings[i].Offset = c.log.offset(r.Findings[i].Offset)
	}
	return r, c.log.n > 0, err
}

// boundedLog writes the start of a stream to w as it comes, and its end when it is
// closed.
type boundedLog struct {
	w          io.WriteCloser
	head, tail int64
	n          int64 // bytes of the stream
	ring       []byte
	cut        int64 // bytes left out; known once closed
	note       string
}

func (l *boundedLog) Write(p []byte) (int, error) {
	whole := len(p)
	room := min(max(l.head-l.n, 0), int64(len(p)))
	l.n += int64(whole)
	l.keep(p[room:])
	if room == 0 {
		return whole, nil
	}
	if _, err := l.w.Write(p[:room]); err != nil {
		return whole, fmt.Errorf("write console log: %w", err)
	}
	return whole, nil
}

// keep stores the last bytes that do not fit into the head: up to twice the tail, so
// that it seldom moves them.
func (l *boundedLog) keep(p []byte) {
	l.ring = append(l.ring, p...)
	if over := int64(len(l.ring)) - l.tail; over > l.tail {
		l.ring = append(l.ring[:0], l.ring[over:]...)
	}
}

// Close writes the end, after a line that says how much is missing.
func (l *boundedLog) Close() error {
	over := max(int64(len(l.ring))-l.tail, 0)
	l.ring = l.ring[over:]
	l.cut = max(l.n-l.head-int64(len(l.ring)), 0)
	if l.cut > 0 {
		l.note = fmt.Sprintf("\n\n*** tokentest: %d bytes of the console are left out here ***\n\n", l.cut)
	}
	_, err := io.WriteString(l.w, l.note+string(l.ring))
	return errors.Join(err, l.w.Close())
}

// offset converts an offset in the stream to one in the closed log.
func (l *boundedLog) offset(at int64) int64 {
	switch {
	case l.cut == 0 || at < l.head:
		return at
	case at < l.head+l.cut:
		return l.head
	}
	return at - l.cut + int64(len(l.note))
}
