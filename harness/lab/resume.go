package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"tokentest/cases"
	"tokentest/harness/lockfile"
	"tokentest/harness/result"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// A run that was ended half-way goes on by doing all over again what it did,
// without the machines: what each of them said was stored as it came, with
// checksums, and is taken in as if it came now. From the first machine that
// had not ended on there are real ones.

// Files of a run and of a boot that let it go on.
const (
	begunFile = result.BegunFile
	exitFile  = "exit.json"
)

// Begun is what a run needs to go on.
type Begun struct {
	Args  []string  `json:"args"` // of the command
	Dir   string    `json:"dir"`  // where it was given
	Start time.Time `json:"start,omitzero"`
}

// Begin notes what a run is, and keeps others from going on with it for as
// long as this process lives.
func Begin(dir string, b Begun) error {
	text, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode the command line: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(dir, begunFile), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("store %s: %w", begunFile, err)
	}
	return hold(dir)
}

// ErrStale says that what the machines said is no answer to what would be asked
// now.
var ErrStale = errors.New("the kernel, the cases or tokentest changed since that run; start a new one")

// ErrRunning is what Resume returns for a run whose process lives.
var ErrRunning = errors.New("it is still running")

// Resume reads what a run is that did not end, and takes it over.
func Resume(dir string) (*Begun, error) {
	b, err := ReadBegun(dir)
	if err != nil {
		return nil, err
	}
	return b, hold(dir)
}

// ReadBegun reads what a run is, and leaves it alone.
func ReadBegun(dir string) (*Begun, error) {
	text, err := os.ReadFile(filepath.Join(dir, begunFile))
	if err != nil {
		return nil, fmt.Errorf("read what the run was to be: %w", err)
	}
	b := &Begun{}
	if err := json.Unmarshal(text, b); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, begunFile), err)
	}
	return b, nil
}

// held keeps the lock's descriptor open until the process ends.
var held []*os.File

func hold(dir string) error {
	f, err := os.Open(filepath.Join(dir, begunFile))
	if err != nil {
		return fmt.Errorf("lock the run: %w", err)
	}
	if err := lockfile.TryLock(f); err != nil {
		f.Close()
		if errors.Is(err, lockfile.ErrLocked) {
			return ErrRunning
		}
		return fmt.Errorf("lock the run: %w", err)
	}
	held = append(held, f)
	return nil
}

// ending is how a boot ended, as the boot's directory keeps it.
type ending struct {
	vm.Exit
	Decide time.Duration
	Cut    bool // it was ended because the run was
}

// keepEnding stores how a boot ended. Without it, a run that goes on boots the
// machine again, so that a full disk costs no more than that.
func (s *session) keepEnding(dir string, exit vm.Exit) {
	text, err := json.Marshal(ending{exit, s.decide, s.interrupted != nil && s.interrupted()})
	if err == nil {
		err = renameio.WriteFile(filepath.Join(dir, exitFile), append(text, '\n'), 0o644)
	}
	if err != nil {
		s.trial.lab.log("%s: store %s: %v", s.trial.out.Ref, exitFile, err)
	}
}

// replays says whether a boot is there already.
func (t *trial) replays(dir string) bool {
	if !t.lab.Resume {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, "control.out"))
	return err == nil
}

// replay takes in what a machine said that was there before.
func (t *trial) replay(dir string, todo []*cases.Case, size int) *death {
	s := &session{trial: t, index: len(t.out.Boots), replayed: true, m: &vm.Machine{}, stop: func(error) {}}
	end, err := s.recall(dir, todo, size)
	if errors.Is(err, ErrStale) {
		t.stale = fmt.Errorf("%s: %w", dir, err)
		return &death{}
	}
	if err != nil {
		return &death{exit: vm.Exit{Fate: vm.Infra, Reason: fmt.Sprintf("go on with %s: %v", dir, err)}}
	}
	s.interrupted = func() bool { return end.Cut }
	d := s.end(end.Exit, dir)
	d.cut = end.Cut
	return d
}

// recall plays the stored channel.
func (s *session) recall(dir string, todo []*cases.Case, size int) (*ending, error) {
	if err := s.sameMachine(dir); err != nil {
		return nil, err
	}
	out, err := os.Open(filepath.Join(dir, "control.out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	sent, err := os.ReadFile(filepath.Join(dir, "control.in"))
	if err != nil {
		return nil, err
	}
	said := &echo{want: sent}
	s.port = struct {
		io.Reader
		io.Writer
	}{out, said}
	s.receive(todo, size)
	if said.differs {
		return nil, ErrStale
	}
	return s.ended(dir)
}

// ended reads how the machine ended; of one that had not, what its log says.
func (s *session) ended(dir string) (*ending, error) {
	end := &ending{Cut: true}
	text, err := os.ReadFile(filepath.Join(dir, exitFile))
	switch {
	case err == nil:
		if err := json.Unmarshal(text, end); err != nil {
			return nil, fmt.Errorf("read %s: %w", exitFile, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if s.decide = end.Decide; end.Cut {
		if errors.Is(s.wrong, wire.ErrCorrupt) {
			s.trial.lab.log("%s: %s: the last record is torn and is dropped", s.trial.out.Ref, dir)
		}
		s.wrong = nil
		end.Exit, err = vm.ExitFromLog(dir, !s.hello.IsZero(), s.trial.allow)
		end.Cut = end.Fate != vm.Panicked
	}
	return end, err
}

// sameMachine compares the digests of kernel and image with those of then.
func (s *session) sameMachine(dir string) error {
	then, err := os.ReadFile(filepath.Join(dir, digestsFile))
	if err != nil {
		return err
	}
	if now := s.digests(); string(then) != now {
		return ErrStale
	}
	return nil
}

// echo compares what is written with what was written before, as far as that went.
type echo struct {
	want    []byte
	differs bool
}

func (e *echo) Write(p []byte) (int, error) {
	n := min(len(p), len(e.want))
	e.differs = e.differs || !bytes.Equal(p[:n], e.want[:n])
	e.want = e.want[n:]
	return len(p), nil
}
