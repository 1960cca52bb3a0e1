package vm

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"tokentest/harness/cachedir"
)

// Snapshot is a machine's state after its boot, from which other machines start.
type Snapshot struct {
	Path   string `json:"-"`                 // the state's file
	Digest string `json:"digest"`            // SHA-256 of that file, in hexadecimal
	Size   int64  `json:"size"`              // of that file, in bytes
	Serial bool   `json:"serial"`            // the agent uses the serial port, not virtio
	TSC    int    `json:"tsc"`               // kHz of the host's time stamp counter, by which the guest's clock runs
	ByName bool   `json:"by_name,omitempty"` // QEMU opens the file by a name: see monitor.save
	// Said is everything that the agent had sent by then.
	Said []byte `json:"said"`
}

// stateSuffix ends the name of a state's file.
const stateSuffix = ".state"

// Snapshots is a directory of snapshots. SnapshotName gives their names.
type Snapshots struct {
	Dir string
	// Max is how many bytes they may take together; 0 means maxSnapshots.
	Max int64
}

// maxSnapshots has room for about twenty machines of the usual size.
const maxSnapshots = 2 << 30

// SnapshotName returns a name for what the machine's state depends on: QEMU, its
// arguments, and the contents of kernel and image, of which the caller passes digests.
func (m *Machine) SnapshotName(contents ...string) (string, error) {
	r, err := m.resolve()
	if err != nil {
		return "", err
	}
	qemu, err := qemuIdentity(r.QEMU)
	if err != nil {
		return "", err
	}
	r.Kernel, r.Initrd, r.Dir, r.Monitor, r.Restore = "kernel", "initrd", "dir", false, nil
	r.Trace, r.Blocks, r.Patches = nil, nil, nil
	r.TSC = 0 // a measurement varies; Get compares it
	host := ""
	if r.Accel == KVM {
		host = hostProcessor()
	}
	all := append([]string{"3", qemu, host}, append(contents, argv(r)...)...)
	sum := sha256.Sum256([]byte(strings.Join(all, "\x00")))
	return hex.EncodeToString(sum[:16]), nil
}

// hostProcessor describes what the state of a guest under KVM depends on, for the guest has the
// host's processor (-cpu host): its model and features, and the host's kernel.
func hostProcessor() string {
	decide := []string{"vendor_id", "cpu family", "model", "model name", "stepping", "microcode", "flags"}
	var out []string
	text, _ := os.ReadFile("/proc/cpuinfo")
	first, _, _ := strings.Cut(string(text), "\n\n")
	for line := range strings.Lines(first) {
		name, _, _ := strings.Cut(line, "\t")
		if slices.Contains(decide, name) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.Join(append(out, strings.TrimSpace(string(release))), "\n")
}

// qemuIdentity is different for each build of QEMU.
func qemuIdentity(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find qemu: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("find qemu: %w", err)
	}
	return fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano()), nil
}

func (s Snapshots) path(name string) string { return filepath.Join(s.Dir, name) }

// Get returns a snapshot. It returns nil if there is none, if its state is incomplete, or
// if the host's clock had another frequency when it was made. Verify checks the state
// itself.
func (s Snapshots) Get(name string) *Snapshot {
	text, err := os.ReadFile(s.path(name) + ".json")
	if err != nil {
		return nil
	}
	out := &Snapshot{Path: s.path(name) + stateSuffix}
	info, err := os.Stat(out.Path)
	if json.Unmarshal(text, out) != nil || err != nil || info.Size() != out.Size || !sameTSC(out.TSC, HostTSC()) {
		return nil
	}
	now := time.Now()
	os.Chtimes(out.Path, now, now) // if that fails, prune removes it sooner
	return out
}

// Verify reads the state and compares its digest. That takes about as long as a machine
// takes to load it, so the caller can do both at once.
func (s *Snapshot) Verify() error {
	got, err := cachedir.Digest(s.Path)
	if err != nil {
		return fmt.Errorf("verify the snapshot: %w", err)
	}
	if got != s.Digest {
		return fmt.Errorf("verify the snapshot %s: its digest is %s, want %s", s.Path, got, s.Digest)
	}
	return nil
}

// Drop removes the snapshot.
func (s *Snapshot) Drop() {
	base := strings.TrimSuffix(s.Path, stateSuffix)
	Snapshots{Dir: filepath.Dir(base)}.Drop(filepath.Base(base))
}

// Drop removes a snapshot.
func (s Snapshots) Drop(name string) {
	os.Remove(s.path(name) + ".json")
	os.Remove(s.path(name) + stateSuffix)
}

// Put saves a running machine, whose Monitor must be set, under a name and returns the
// snapshot. said is everything that its agent has sent. The machine stands still meanwhile.
func (s Snapshots) Put(name string, m *Machine, said []byte) (*Snapshot, error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("create the snapshot directory: %w", err)
	}
	tmp, err := os.CreateTemp(s.Dir, "tmp-*")
	if err != nil {
		return nil, fmt.Errorf("save the machine: %w", err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	byName, err := m.save(tmp)
	if err != nil {
		return nil, err
	}
	serial := m.boot.control.port() == serialPort
	out := &Snapshot{Path: s.path(name) + stateSuffix, Said: said, Serial: serial, TSC: HostTSC(), ByName: byName}
	if err := out.measure(tmp.Name()); err != nil {
		return nil, err
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("save the machine: %w", err)
	}
	err = errors.Join(os.Rename(tmp.Name(), out.Path), renameio.WriteFile(s.path(name)+".json", text, 0o644))
	if err != nil {
		return nil, fmt.Errorf("save the machine: %w", err)
	}
	s.prune(name)
	return out, nil
}

// measure fills in size and digest from a file.
func (s *Snapshot) measure(path string) error {
	info, err := os.Stat(path)
	if err == nil {
		s.Size = info.Size()
		s.Digest, err = cachedir.Digest(path)
	}
	if err != nil {
		return fmt.Errorf("save the machine: %w", err)
	}
	return nil
}

// prune removes the least recently used snapshots until the rest fits, and the temporary
// files of killed processes.
func (s Snapshots) prune(keep string) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return
	}
	var states []fs.FileInfo
	room := cmp.Or(s.Max, maxSnapshots)
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case err != nil:
		case strings.HasPrefix(e.Name(), "tmp-") && time.Since(info.ModTime()) > time.Hour:
			os.Remove(filepath.Join(s.Dir, e.Name()))
		case strings.HasSuffix(e.Name(), stateSuffix):
			states = append(states, info)
			room -= info.Size()
		}
	}
	slices.SortFunc(states, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range states {
		if name := strings.TrimSuffix(info.Name(), stateSuffix); room < 0 && name != keep {
			room += info.Size()
			s.Drop(name)
		}
	}
}

// save writes the state of a running machine that has a monitor.
func (m *Machine) save(to *os.File) (byName bool, err error) {
	if m.boot == nil || m.boot.monitor == nil {
		return false, errors.New("save the machine: Monitor is not set")
	}
	mon, err := newMonitor(m.boot.monitor)
	m.boot.monitor = nil
	if err != nil {
		return false, err
	}
	defer mon.close()
	return mon.save(to)
}
