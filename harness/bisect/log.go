package bisect

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Question is what a bisection asks. It heads the log, so that a search can go
// on after a crash, and with nothing else than its directory.
type Question struct {
	Good      string   `json:"good"`
	Bad       string   `json:"bad"`
	Patterns  []string `json:"cases"`
	Full      bool     `json:"full,omitempty"`
	When      string   `json:"when"`           // any or all
	As        string   `json:"as,omitempty"`   // the run whose decisions are good
	Ends      bool     `json:"ends,omitempty"` // boot both ends, too
	Repeat    int      `json:"repeat"`
	Every     bool     `json:"every,omitempty"` // every version, not one of each release
	Config    string   `json:"config,omitempty"`
	Fragments []string `json:"fragments,omitempty"`
	Without   []string `json:"without,omitempty"`
	Make      []string `json:"make,omitempty"`
}

// flags are the flags of the command that ask the question.
func (q *Question) flags() []string {
	out := []string{"--good", q.Good, "--bad", q.Bad}
	for _, f := range []struct {
		name  string
		given bool
	}{{"--full", q.Full}, {"--ends", q.Ends}, {"--every", q.Every}} {
		if f.given {
			out = append(out, f.name)
		}
	}
	when, repeat := q.When, strconv.Itoa(q.Repeat)
	if when == "any" {
		when = ""
	}
	if q.Repeat <= 1 {
		repeat = ""
	}
	for _, f := range []struct {
		name   string
		values []string
	}{{"--when", []string{when}}, {"--as", []string{q.As}}, {"--repeat", []string{repeat}},
		{"--config", []string{q.Config}},
		{"--fragment", q.Fragments}, {"--without", q.Without}, {"--make", q.Make}} {
		for _, v := range f.values {
			if v != "" {
				out = append(out, f.name, v)
			}
		}
	}
	return out
}

const logFile = "bisect.jsonl"

// Log is the file of a search. A line is written whole and brought to the disk
// before the next candidate is tried.
type Log struct{ f *os.File }

// NewLog begins a log in a directory that exists.
func NewLog(dir string, q *Question) (*Log, error) {
	f, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("begin the bisection's log: %w", err)
	}
	l := &Log{f}
	return l, l.write(q)
}

func (l *Log) write(v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = l.f.Write(append(text, '\n'))
	}
	if err = errors.Join(err, l.f.Sync()); err != nil {
		return fmt.Errorf("write the bisection's log: %w", err)
	}
	return nil
}

// Add writes down a test.
func (l *Log) Add(t Test) error { return l.write(t) }

// Close closes the file.
func (l *Log) Close() error { return l.f.Close() }

// Resume reads a log and goes on at its end. A last line that was cut off is
// dropped: its candidate is tried again.
func Resume(dir string) (*Log, *Question, []Test, error) {
	path := filepath.Join(dir, logFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the bisection's log: %w", err)
	}
	q, tests, end, err := read(f)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Log{f}, q, tests, nil
}

func read(f io.Reader) (q *Question, tests []Test, end int64, err error) {
	in := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if q == nil {
				return nil, nil, 0, errors.New("line 1: the question was not written whole")
			}
			return q, tests, end, nil
		}
		if err != nil {
			return nil, nil, 0, err
		}
		if q == nil {
			q = &Question{}
			err = json.Unmarshal(line, q)
		} else {
			var t Test
			err = json.Unmarshal(line, &t)
			tests = append(tests, t)
		}
		if err != nil {
			return nil, nil, 0, fmt.Errorf("line %d: %w", n, err)
		}
		end += int64(len(line))
	}
}
