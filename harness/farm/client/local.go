package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"tokentest/harness/child"
	"tokentest/harness/farm"
	"tokentest/harness/farm/server"
)

// local is a farm on this host: a server in this process, and workers that end with it.
type local struct {
	dir    string
	server *server.Server
	end    context.CancelFunc
	alive  atomic.Int32
	ended  chan struct{} // closed when all workers have ended
}

// localDir is the directory of such a farm in that of the run: a run that is resumed finds its parts there.
const localDir = "farm"

// startLocal starts a server and its workers, which may build kernels.
func startLocal(dir string, workers int, cacheDir, qemu string, builds bool) (*local, error) {
	f := &local{dir: filepath.Join(dir, localDir), ended: make(chan struct{})}
	var err error
	if f.server, err = server.Start(server.Options{Listen: "127.0.0.1:0", Store: f.dir}); err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, f.end = context.WithCancel(context.Background())
	program, err := os.Executable()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("find this program: %w", err), f.stop())
	}
	// A worker without KVM takes the parts that need it, too: they fail with a reason, and do not wait for ever.
	args := []string{"worker", "--jobs", "1", "--can", "kvm,tcg"}
	if builds {
		args[len(args)-1] += ",build"
	}
	if cacheDir != "" {
		args = append(args, "--cache", cacheDir)
	}
	if qemu != "" {
		args = append(args, "--qemu", qemu)
	}
	started := 0
	for i := range workers {
		c := child.Command(ctx, program, args...)
		log, err := os.Create(filepath.Join(f.dir, fmt.Sprintf("worker%d.log", i+1)))
		if err != nil {
			break
		}
		c.Stdout, c.Stderr = log, log
		c.Env = append(os.Environ(), farm.Variable+"="+f.server.URL.String())
		if err = c.Start(); err != nil {
			log.Close()
			break
		}
		started++
		f.alive.Add(1)
		go func() {
			c.Wait() // its log says how it ended
			log.Close()
			if f.alive.Add(-1) == 0 {
				close(f.ended)
			}
		}()
	}
	if started < workers {
		return nil, errors.Join(fmt.Errorf("start a worker: %d of %d were started", started, workers), f.stop())
	}
	return f, nil
}

// running is how many workers have not ended.
func (f *local) running() int { return int(f.alive.Load()) }

// stop ends the workers and the server.
func (f *local) stop() error {
	if f.end != nil {
		f.end()
	}
	if f.running() > 0 {
		<-f.ended
	}
	f.server.Stop()
	return nil
}
