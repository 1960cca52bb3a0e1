package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"tokentest/harness/farm"
	"tokentest/harness/result"
)

// stateFile in a run's directory is what --resume needs of a run that a farm has. Only its owner may read it: it holds
// the farm's token. It is gone when the run is complete.
const stateFile = "farm.json"

// partsDir in a run's directory holds the parts until the run is complete.
const partsDir = "parts"

// state is the content of the stateFile.
type state struct {
	URL     string              `json:"url,omitempty"`
	Job     string              `json:"job"`
	Parts   []*farm.Part        `json:"parts"`
	Of      []int               `json:"of"`      // the index of each part's kernel
	Kernels []*result.KernelRun `json:"kernels"` // what is known of them without a machine
	Blobs   map[string]string   `json:"blobs"`   // the paths of what was stored, by digest
}

// readState reads the state of a run that is resumed. Without one the run begins.
func (r *run) readState() error {
	text, err := os.ReadFile(filepath.Join(r.Dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what the farm has of the run: %w", err)
	}
	r.state = &state{}
	if err := json.Unmarshal(text, r.state); err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(r.Dir, stateFile), err)
	}
	if len(r.state.Of) != len(r.state.Parts) || len(r.state.Kernels) != len(r.plan.Kernels) {
		return fmt.Errorf("read %s: it is not of this run", filepath.Join(r.Dir, stateFile))
	}
	if r.o.On.Local == 0 && r.o.On.URL == "" {
		r.o.On.URL = r.state.URL
	}
	return nil
}

// keep stores the state.
func (r *run) keep() error {
	text, err := json.Marshal(r.state)
	if err == nil {
		err = renameio.WriteFile(filepath.Join(r.Dir, stateFile), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep what the farm has of the run: %w", err)
	}
	return nil
}

// connect connects to the farm, and starts it if it is one of this host.
func (r *run) connect(ctx context.Context) (stop func(), err error) {
	url := r.o.On.URL
	if r.o.On.Local > 0 {
		if r.local, err = startLocal(r.Dir, r.o.On.Local, r.CacheDir, r.QEMU, false); err != nil {
			return nil, err
		}
		url = r.local.server.URL.String()
	}
	stop = func() {
		if r.queue != nil {
			r.queue.Close()
		}
		if r.local != nil {
			r.local.stop()
			if r.done {
				os.RemoveAll(r.local.dir)
			}
		}
	}
	u, err := farm.ParseURL(url)
	if err == nil {
		r.queue, err = farm.Open(ctx, u, farm.Options{Name: "tokentest run"})
	}
	if err != nil {
		stop()
		return nil, err
	}
	r.o.On.URL = u.String()
	return stop, nil
}

// newJob is the name of a job.
func newJob() string {
	b := make([]byte, 8)
	rand.Read(b)
	return hex.EncodeToString(b)
}
