package result

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Version is the version of run.json and records.jsonl.
const Version = 1

const (
	runFile     = "run.json"
	recordsFile = "records.jsonl"
)

// Store appends a run's records to its directory.
type Store struct {
	dir string
	f   *os.File
}

// record is one line of records.jsonl: a case, or the set-up of a world.
type record struct {
	Kernel int          `json:"kernel"`
	World  *WorldResult `json:"world,omitempty"`
	*CaseResult
}

// Create begins the records of a run in a directory that exists.
func Create(dir string) (*Store, error) { return create(dir, os.O_EXCL) }

// Recreate begins them anew, for a run that goes on from what its boots left.
func Recreate(dir string) (*Store, error) { return create(dir, os.O_TRUNC) }

func create(dir string, how int) (*Store, error) {
	f, err := os.OpenFile(filepath.Join(dir, recordsFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND|how, 0o644)
	if err != nil {
		return nil, fmt.Errorf("begin the run's records: %w", err)
	}
	return &Store{dir, f}, nil
}

// Append adds the cases of a kernel, and brings them to the disk.
func (s *Store) Append(kernel int, k *KernelRun) error {
	w := bufio.NewWriter(s.f)
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for i := range k.Worlds {
		if err := lines.Encode(record{Kernel: kernel, World: &k.Worlds[i]}); err != nil {
			return fmt.Errorf("write the run's records: %w", err)
		}
	}
	for c := range k.All() {
		if err := lines.Encode(record{Kernel: kernel, CaseResult: c}); err != nil {
			return fmt.Errorf("write the run's records: %w", err)
		}
	}
	if err := errors.Join(w.Flush(), s.f.Sync()); err != nil {
		return fmt.Errorf("write the run's records: %w", err)
	}
	return nil
}

// Close writes run.json and ends the records.
func (s *Store) Close(r *Run) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the run: %w", err)
	}
	tmp := filepath.Join(s.dir, runFile+".tmp")
	if err := os.WriteFile(tmp, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the run: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(s.dir, runFile)); err != nil {
		return fmt.Errorf("write the run: %w", err)
	}
	return s.f.Close()
}

// Load reads a run from its directory, all of it, as it was stored. A torn last
// record, as an interrupted write leaves it, is dropped.
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
	return r, l.records(r, filepath.Join(dir, recordsFile))
}

// LoadHead reads a run without its cases and worlds.
func LoadHead(dir string) (*Run, error) {
	text, err := os.ReadFile(filepath.Join(dir, runFile))
	if err != nil {
		return nil, fmt.Errorf("read the run: %w", err)
	}
	r := &Run{Dir: dir}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, runFile), err)
	}
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
