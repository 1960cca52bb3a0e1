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
	"slices"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"tokentest/cases"
	"tokentest/harness/lockfile"
	"tokentest/harness/result"
	"tokentest/harness/shell"
	"tokentest/harness/usage"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// Resume replays an interrupted run from its stored boots: what each machine sent was
// stored as it came, with checksums, and is read as if it came now. After the last stored
// boot, real machines run the cases that have no result.

// Files that a run can be resumed from: one in the run's directory, one in each boot's.
const (
	invocationFile = result.InvocationFile
	exitFile       = "exit.json"
)

// Invocation is the command that started a run.
type Invocation struct {
	Program string    `json:"program,omitempty"` // the name that it was called by
	Args    []string  `json:"args"`              // without the program's name
	Dir     string    `json:"dir"`               // the working directory
	Start   time.Time `json:"start,omitzero"`
	// Failed says why the run could not be stored.
	Failed string `json:"failed,omitempty"`
}

// room is the size of an invocationFile: on a full disk, the reason of a failure fits in, because the file does not
// grow.
const room = 4 << 10

// encode returns the content of an invocationFile.
func (b *Invocation) encode() ([]byte, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode the command line: %w", err)
	}
	return append(text, bytes.Repeat([]byte("\n"), max(1, room-len(text)))...), nil
}

// keepFailure writes into a run's invocationFile why it could not be stored. It does what it can: the error itself is
// reported already.
func keepFailure(dir string, why error) {
	b, err := ReadInvocation(dir)
	if err != nil {
		return // this is no run of Begin
	}
	b.Failed = why.Error()
	text, err := b.encode()
	if err != nil || len(text) != room {
		return
	}
	f, err := os.OpenFile(filepath.Join(dir, invocationFile), os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	f.WriteAt(text, 0)
}

// Begin stores the invocation in the run's directory, and locks the run until this process
// ends.
func Begin(dir string, b Invocation) error {
	text, err := b.encode()
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(dir, invocationFile), text, 0o644); err != nil {
		return fmt.Errorf("store %s: %w", invocationFile, err)
	}
	return hold(dir)
}

// ErrStale means that the stored boots do not answer what the run would ask now.
var ErrStale = errors.New("the kernel, the cases or tokentest changed since that run; start a new one")

// ErrRunning is what Begin and Resume return for a run that another process has locked.
var ErrRunning = errors.New("it is still running")

// Resume reads the invocation of an unfinished run, and locks the run until this process
// ends.
func Resume(dir string) (*Invocation, error) {
	b, err := ReadInvocation(dir)
	if err != nil {
		return nil, err
	}
	return b, hold(dir)
}

// Again reports whether dir has a run of the command line args, which --again continues. An attempt that ended before
// it stored its command leaves an empty directory, which Again removes. A run of another command line is an error.
func Again(dir string, args []string) (bool, error) {
	b, err := ReadInvocation(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, usage.Errorf("--again: %s has no run, and is not empty: name another directory with --out", dir)
		}
		return false, nil
	}
	if errors.Is(err, unix.ENOTDIR) {
		return false, usage.Errorf("--again: %s is no directory: name another one with --out", dir)
	}
	if err == nil && !slices.Equal(withoutAgain(b.Args), withoutAgain(args)) {
		err = usage.Errorf("--again: %s is of another command line, %s: repeat that, or name another directory with --out",
			dir, shell.Join(append([]string{"tokentest"}, b.Args...)...))
	}
	return err == nil, err
}

// withoutAgain leaves out the flag that only later attempts may have.
func withoutAgain(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--again" })
}

// ReadInvocation reads the invocation of a run, without a lock.
func ReadInvocation(dir string) (*Invocation, error) {
	text, err := os.ReadFile(filepath.Join(dir, invocationFile))
	if err != nil {
		return nil, fmt.Errorf("read the command of the run: %w", err)
	}
	b := &Invocation{}
	if err := json.Unmarshal(text, b); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, invocationFile), err)
	}
	return b, nil
}

// held keeps the locks until the process ends.
var held []*os.File

func hold(dir string) error {
	f, err := os.Open(filepath.Join(dir, invocationFile))
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

// ending is how a boot ended, as exitFile stores it.
type ending struct {
	vm.Exit
	Decide time.Duration
	Cut    bool // the run was interrupted in this boot
}

// keepEnding stores how a boot ended. If that fails, a resumed run boots the machine again.
func (s *session) keepEnding(dir string, exit vm.Exit) {
	text, err := json.Marshal(ending{exit, s.decide, s.interrupted != nil && s.interrupted()})
	if err == nil {
		err = renameio.WriteFile(filepath.Join(dir, exitFile), append(text, '\n'), 0o644)
	}
	if err != nil {
		s.trial.lab.log("%s: store %s: %v", s.trial.out.Ref, exitFile, err)
	}
}

// replays reports whether a boot is stored.
func (t *trial) replays(dir string) bool {
	if !t.lab.Resume {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, "control.out"))
	return err == nil
}

// replay reads a stored boot.
func (t *trial) replay(dir string, todo []*cases.Case, size int) *bootOutcome {
	s := &session{trial: t, index: len(t.out.Boots), replayed: true, m: &vm.Machine{}, stop: func(error) {}}
	s.recallBegan(dir)
	end, err := s.recall(dir, todo, size)
	if errors.Is(err, ErrStale) {
		t.stale = fmt.Errorf("%s: %w", dir, err)
		return &bootOutcome{}
	}
	if err != nil {
		return &bootOutcome{exit: vm.Exit{Fate: vm.Infra, Reason: fmt.Sprintf("resume from %s: %v", dir, err)}}
	}
	s.interrupted = func() bool { return end.Cut }
	d := s.end(end.Exit, dir)
	d.cut = end.Cut
	return d
}

// recall reads the stored channel as if the machine sent it now.
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
	got := &comparer{want: sent}
	s.port = struct {
		io.Reader
		io.Writer
	}{out, got}
	s.receive(todo, size)
	if got.differs {
		return nil, ErrStale
	}
	return s.ended(dir)
}

// ended reads how the machine ended. If its program ended before it, the log says how.
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
			s.trial.lab.log("%s: %s: the last record is incomplete and is dropped", s.trial.out.Ref, dir)
		}
		s.wrong = nil
		end.Exit, err = vm.ExitFromLog(dir, !s.hello.IsZero(), s.trial.allow)
		end.Cut = end.Fate != vm.Panicked
	}
	return end, err
}

// sameMachine compares the digests of kernel and image with those of the stored boot.
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

// comparer compares what is written with what was sent before, as far as that goes.
type comparer struct {
	want    []byte
	differs bool
}

func (c *comparer) Write(p []byte) (int, error) {
	n := min(len(p), len(c.want))
	c.differs = c.differs || !bytes.Equal(p[:n], c.want[:n])
	c.want = c.want[n:]
	return len(p), nil
}
