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

	"tokentest/harness/lockfile"
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
	dir      string
	f        *os.File
	n        int // records
	digest   hash.Hash
	replaces bool // Close replaces the records that are there
}

// record is one line of records.jsonl: a case, or the set-up of a world.
type record struct {
	Kernel int          `json:"kernel"`
	World  *WorldResult `json:"world,omitempty"`
	*CaseResult
	// N numbers the records of a run, from 1. Sum is the CRC-32C, in hexadecimal, of
	// everything in the line before it.
	N   int    `json:"n,omitempty"`
	Sum string `json:"sum,omitempty"`
}

// Create starts the records of a run in a directory, which must exist and have none.
func Create(dir string) (*Store, error) {
	return create(dir, recordsFile, os.O_EXCL)
}

// Recreate starts the records of a resumed run. The records that are there stay until
// Close.
func Recreate(dir string) (*Store, error) {
	s, err := create(dir, recordsFile+temporary, os.O_TRUNC)
	if err == nil {
		s.replaces = true
	}
	return s, err
}

// temporary ends the names of incomplete files.
const temporary = ".tmp"

func create(dir, name string, how int) (*Store, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND|how, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create the run's records: %w", err)
	}
	return &Store{dir: dir, f: f, digest: sha256.New()}, nil
}

// Append adds the cases of a kernel and syncs them to the disk; kernel is its index in
// Run.Kernels. It sets Planned if it is 0.
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

// recordWriter numbers and writes records, and keeps the first error.
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

// Close ends the records and writes run.json with their seal.
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

// settle closes the records. If they replace others, it removes run.json, which Close writes
// again: run.json never describes other records.
func (s *Store) settle() error {
	err := s.f.Close()
	if err != nil || !s.replaces {
		return err
	}
	if err := os.Remove(filepath.Join(s.dir, runFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(s.f.Name(), filepath.Join(s.dir, recordsFile))
}

// Abandon drops the records. If they were to replace others, those stay.
func (s *Store) Abandon() error {
	err := s.f.Close()
	if s.replaces {
		err = errors.Join(err, os.Remove(s.f.Name()))
	}
	return err
}

// Load reads a complete run from its directory. Run.Damage and KernelRun.Absent say what is
// damaged or missing.
func Load(dir string) (*Run, error) {
	r, err := (&Loader{Worlds: true}).Load(dir)
	if err != nil {
		return nil, err
	}
	for _, k := range r.Kernels {
		k.Unpack()
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

// resumable sets Resume if the run is incomplete and can be completed.
func (r *Run) resumable() {
	if hasInvocation(r.Dir) && (r.Interrupted || len(r.Gaps()) > 0) {
		r.Resume = []string{r.Dir}
	}
}

// hasInvocation reports whether the run in a directory can be resumed.
func hasInvocation(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, InvocationFile))
	return err == nil
}

// Running reports whether the process of a run holds the lock on its InvocationFile.
func Running(dir string) bool {
	f, err := os.Open(filepath.Join(dir, InvocationFile))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(lockfile.TryLock(f), lockfile.ErrLocked)
}

// UnendedError means that a run has not ended, and so has no run.json: it is running, or
// was killed.
type UnendedError struct{ Dir string }

func (e *UnendedError) Error() string {
	if Running(e.Dir) {
		return fmt.Sprintf("the run in %s is still running", e.Dir)
	}
	const text = "the run in %s has not ended; if it was killed, tokentest run --resume %s completes it"
	return fmt.Sprintf(text, e.Dir, e.Dir)
}

// LoadHead reads a run from its directory, without cases and worlds.
func LoadHead(dir string) (*Run, error) {
	text, err := os.ReadFile(filepath.Join(dir, runFile))
	if errors.Is(err, fs.ErrNotExist) && hasInvocation(dir) {
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

// usable returns an error for a record that this program does not understand. It ignores
// unknown members of the same version.
func (r *Run) usable(path string) error {
	if r.Version == 0 {
		return fmt.Errorf("read %s: it has no version: it is no record of a run", path)
	}
	if r.Version < 0 || r.Version > Version {
		return fmt.Errorf("read %s: it has version %d, but this tokentest reads versions up to %d: use a newer one",
			path, r.Version, Version)
	}
	return nil
}
