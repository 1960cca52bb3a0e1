package result

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Version is the version of run.json and records.jsonl.
const Version = 1

const (
	runFile     = "run.json"
	recordsFile = "records.jsonl"
	// InvocationFile holds the command that a run can be resumed with.
	InvocationFile = "begun.json"
)

// Store appends a run's records to its directory.
type Store struct {
	dir    string
	f      *os.File
	n      int // records
	digest hash.Hash
	anew   bool // they take the place of others when they are all there
}

// record is one line of records.jsonl: a case, or the set-up of a world.
type record struct {
	Kernel int          `json:"kernel"`
	World  *WorldResult `json:"world,omitempty"`
	*CaseResult
	// N numbers the records of a run, from 1 on. Sum is the CRC-32C of all of
	// the line that precedes its own member, in hexadecimal.
	N   int    `json:"n,omitempty"`
	Sum string `json:"sum,omitempty"`
}

// Create begins the records of a run in a directory that exists.
func Create(dir string) (*Store, error) {
	return create(dir, recordsFile, os.O_EXCL)
}

// Recreate begins them anew, for a run that goes on from what its boots left.
// Those that are there stay until Close.
func Recreate(dir string) (*Store, error) {
	s, err := create(dir, recordsFile+temporary, os.O_TRUNC)
	if err == nil {
		s.anew = true
	}
	return s, err
}

// temporary ends the names of files that are not whole yet.
const temporary = ".tmp"

func create(dir, name string, how int) (*Store, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND|how, 0o644)
	if err != nil {
		return nil, fmt.Errorf("begin the run's records: %w", err)
	}
	return &Store{dir: dir, f: f, digest: sha256.New()}, nil
}

// Append adds the cases of a kernel, and brings them to the disk. A kernel
// that no plan has cases for is planned to have those that it has.
func (s *Store) Append(kernel int, k *KernelRun) error {
	k.Planned = cmp.Or(k.Planned, k.Len())
	w := bufio.NewWriter(io.MultiWriter(s.f, s.digest))
	lines := recordWriter{w: w, n: s.n}
	for i := range k.Worlds {
		lines.write(record{Kernel: kernel, World: &k.Worlds[i]})
	}
	for c := range k.All() {
		lines.write(record{Kernel: kernel, CaseResult: c})
	}
	if s.n = lines.n; lines.err == nil {
		lines.err = errors.Join(w.Flush(), s.f.Sync())
	}
	if lines.err != nil {
		return fmt.Errorf("write the run's records: %w", lines.err)
	}
	return nil
}

// recordWriter writes records with their numbers, and keeps the first error.
type recordWriter struct {
	w    *bufio.Writer
	n    int
	line bytes.Buffer
	err  error
}

func (w *recordWriter) write(r record) {
	if w.err != nil {
		return
	}
	w.line.Reset()
	e := json.NewEncoder(&w.line)
	e.SetEscapeHTML(false)
	if w.err = e.Encode(r); w.err != nil {
		return
	}
	w.n++
	_, w.err = w.w.Write(sealed(w.line.Bytes(), w.n))
}

// Close writes run.json with the seal of the records, and ends them.
func (s *Store) Close(r *Run) error {
	r.Records = &Seal{s.n, hex.EncodeToString(s.digest.Sum(nil))}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the run: %w", err)
	}
	if err := s.settle(); err != nil {
		return fmt.Errorf("write the run's records: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(s.dir, runFile), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the run: %w", err)
	}
	return nil
}

// settle ends the records. Where they take the place of others, run.json is
// none until it is that of the new ones.
func (s *Store) settle() error {
	err := s.f.Close()
	if err != nil || !s.anew {
		return err
	}
	if err := os.Remove(filepath.Join(s.dir, runFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(s.f.Name(), filepath.Join(s.dir, recordsFile))
}

// Abandon ends records that come to nothing; those that they were to take the
// place of stay.
func (s *Store) Abandon() error {
	err := s.f.Close()
	if s.anew {
		err = errors.Join(err, os.Remove(s.f.Name()))
	}
	return err
}

// Load reads a run from its directory, all of it, as it was stored. What is
// damaged or missing is in the run's Damage and its kernels' Absent.
func Load(dir string) (*Run, error) {
	r, err := (&Loader{Worlds: true}).Load(dir)
	if err != nil {
		return nil, err
	}
	for _, k := range r.Kernels {
		k.unpack()
	}
	return r, nil
}

// Load reads a run from its directory.
func (l *Loader) Load(dir string) (*Run, error) {
	r, err := LoadHead(dir)
	if err != nil {
		return nil, err
	}
	if err := l.records(r, filepath.Join(dir, recordsFile)); err != nil {
		return nil, err
	}
	r.resumable()
	return r, nil
}

// resumable notes that a run which is not whole can be made so.
func (r *Run) resumable() {
	if begun(r.Dir) && (r.Interrupted || len(r.Gaps()) > 0) {
		r.Resume = []string{r.Dir}
	}
}

func begun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, InvocationFile))
	return err == nil
}

// UnendedError says that a run has not ended, and so has no run.json: it is
// under way, or was killed.
type UnendedError struct{ Dir string }

func (e *UnendedError) Error() string {
	const text = "the run in %s has not ended; if it was killed, tokentest run --resume %s completes it"
	return fmt.Sprintf(text, e.Dir, e.Dir)
}

// LoadHead reads a run without its cases and worlds.
func LoadHead(dir string) (*Run, error) {
	text, err := os.ReadFile(filepath.Join(dir, runFile))
	if errors.Is(err, fs.ErrNotExist) && begun(dir) {
		return nil, &UnendedError{dir}
	}
	if err != nil {
		return nil, fmt.Errorf("read the run: %w", err)
	}
	r := &Run{Dir: dir}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, runFile), err)
	}
	r.complete()
	return r, r.usable(filepath.Join(dir, runFile))
}

// usable refuses a record that this program does not understand. A newer one
// of the same version has members that are ignored.
func (r *Run) usable(path string) error {
	if r.Version < 1 || r.Version > Version {
		return fmt.Errorf("read %s: it has version %d, this program reads up to %d: a newer tokentest wrote it, and reads it", path, r.Version, Version)
	}
	return nil
}
