package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"tokentest/harness/farm"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// Farm is a farm that a command uses for one thing after another: builds, runs, changes of a kernel. They end with the
// command.
type Farm struct {
	queue *farm.Queue
	url   string
	build string
	dir   string // of files that workers may need again
	log   func(format string, args ...any)
	local *local

	mu      sync.Mutex
	job     farm.Job
	blobs   map[string]string // the paths of what was stored, by digest
	events  uint64            // the next one to read
	said    bool              // that kernels are built here
	sources sync.Mutex        // held while an order is made and its sources are stored
}

// Use are the settings of Open.
type Use struct {
	CacheDir, QEMU string
	Name           string // what uses the farm, for farm status
	Log            func(format string, args ...any)
}

// Open connects to the farm, and starts it if it is one of this host. It returns nil if the target is none.
func (t *Target) Open(ctx context.Context, u Use) (f *Farm, err error) {
	if t.text == "" {
		return nil, nil
	}
	f = &Farm{url: t.URL, log: u.Log, blobs: map[string]string{}, job: newFarmJob(u.Name)}
	if f.build, err = farm.Build(); err != nil {
		return nil, err
	}
	if f.dir, err = os.MkdirTemp("", "tokentest-farm-*"); err != nil {
		return nil, fmt.Errorf("make a place for what the farm gets: %w", err)
	}
	if t.Local > 0 {
		if f.local, err = startLocal(f.dir, t.Local, u.CacheDir, u.QEMU, kernelTools(ctx) != ""); err != nil {
			return nil, errors.Join(err, os.RemoveAll(f.dir))
		}
		f.url = f.local.server.URL.String()
	}
	where, err := farm.ParseURL(f.url)
	if err == nil {
		f.queue, err = farm.Open(ctx, where, farm.Options{Name: "tokentest " + u.Name})
	}
	if err != nil {
		f.Close(ctx)
		return nil, err
	}
	f.url = where.String()
	if f.local != nil {
		err = f.attend(ctx, t.Local)
	}
	return f, err
}

// attend waits until the workers of a farm of this host are there, so that there is a number of builders.
func (f *Farm) attend(ctx context.Context, n int) error {
	for end := time.Now().Add(startWithin); ; {
		workers, err := f.queue.Workers(ctx, look)
		if err == nil && len(workers) >= n {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil || f.local.running() < n {
			err = fmt.Errorf("start the workers of this host's farm: %d of %d are there", len(workers), n)
			f.Close(ctx)
			return err
		}
	}
}

// startWithin is how long a worker may take to start.
const startWithin = 60 * time.Second

func newFarmJob(name string) farm.Job {
	return farm.Job{ID: newJob(), Host: lab.ThisHost().Name, Kernels: []string{name}, Start: time.Now().UTC(),
		State: farm.Wanted}
}

// kernelTools are the tools that build kernels on this host; "" is none.
func kernelTools(ctx context.Context) string {
	id, err := kernel.Tools(ctx)
	if err != nil {
		return "" // a build says what is missing
	}
	return id
}

// Close ends the use of the farm. If ctx has ended, what workers still do for it is canceled.
func (f *Farm) Close(ctx context.Context) {
	if f == nil {
		return
	}
	after, stop := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer stop()
	if f.queue != nil {
		f.end(after, ctx.Err() != nil)
		f.queue.Close()
	}
	if f.local != nil {
		f.local.stop()
	}
	os.RemoveAll(f.dir)
}

// end says that the job has ended, if it ever began.
func (f *Farm) end(ctx context.Context, canceled bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.job.Parts == 0:
	case canceled:
		f.queue.Cancel(ctx, &f.job) // workers that do not hear it finish for nothing
	default:
		f.job.State = farm.Ended
		f.queue.SetJob(ctx, &f.job) // only farm status shows it
	}
}

// CheckHost returns an error that says what this host lacks.
func (f *Farm) CheckHost(l *lab.Lab) error { return (&Target{URL: f.url, text: f.url}).CheckHost(l) }

// Run runs a plan on the farm, as lab.Lab.Run does here. When ctx ends the run is canceled.
func (f *Farm) Run(ctx context.Context, l *lab.Lab, p *plan.Plan, args []string) (*result.Run, error) {
	texts, err := texts(p, "", nil)
	if err != nil {
		return l.Record(p, args), err
	}
	return Run(ctx, l, p, args, Options{On: Target{URL: f.url, text: f.url}, Texts: texts, Inner: true})
}

// blob stores bytes in the farm, and keeps them here until the farm is closed.
func (f *Farm) blob(ctx context.Context, text []byte) (digest string, err error) {
	if digest, err = f.queue.PutBytes(ctx, text, false); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(f.dir, "blob-*")
	if err != nil {
		return "", fmt.Errorf("keep a blob for the farm: %w", err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("keep a blob for the farm: %w", err)
	}
	f.own(digest, file.Name())
	return digest, nil
}

// own keeps the path of a blob, which is stored again if a worker finds it damaged.
func (f *Farm) own(digest, path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blobs[digest] = path
}

// number gives parts their numbers, and says how many there are.
func (f *Farm) number(ctx context.Context, parts []*farm.Part) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range parts {
		p.Job, p.Build, p.N = f.job.ID, f.build, f.job.Parts
		f.job.Parts++
	}
	return f.queue.SetJob(ctx, &f.job)
}

// do offers parts and calls each with each answer, until all have one. Parts that the queue lost are offered again.
func (f *Farm) do(ctx context.Context, parts []*farm.Part, each func(i int, a *farm.Answer) error) error {
	if err := f.number(ctx, parts); err != nil {
		return err
	}
	of := map[int]int{} // the index of each part that has no answer
	for i, p := range parts {
		of[p.N] = i
	}
	lost := time.Time{}
	away := false
	for len(of) > 0 {
		err := f.answers(ctx, of, each)
		if err == nil && time.Since(lost) > lookLost {
			lost = time.Now()
			err = errors.Join(f.repair(ctx), f.offer(ctx, parts, of))
		}
		var final *finalError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &final):
			return final.error
		case err != nil && !away:
			f.log("the farm does not answer, and is asked again: %v", err)
		case err == nil && away:
			f.log("the farm answers again")
		}
		away = err != nil
		if f.local != nil && f.local.running() == 0 {
			return errors.New("all workers of this host's farm ended")
		}
		select {
		case <-ctx.Done():
		case <-time.After(look):
		}
	}
	return nil
}

// finalError is an error that stays if the farm is asked again.
type finalError struct{ error }

// answers takes the answers to the parts that have none yet.
func (f *Farm) answers(ctx context.Context, of map[int]int, each func(i int, a *farm.Answer) error) error {
	answered, err := f.queue.Answered(ctx, f.job.ID)
	if err != nil {
		return err
	}
	for n := range answered {
		i, wanted := of[n]
		if !wanted {
			continue
		}
		a, err := f.queue.Answer(ctx, f.job.ID, n)
		if err != nil || a == nil {
			return err
		}
		if a.GivenUp != "" {
			return &finalError{fmt.Errorf("%s; tried on %s", a.GivenUp, strings.Join(a.Hosts, ", "))}
		}
		err = each(i, a)
		var damaged *farm.DamagedError
		if errors.As(err, &damaged) {
			f.log("part %d: %v: it is done again", n+1, err)
			if err := f.queue.Forget(ctx, f.job.ID, n); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return &finalError{err}
		}
		delete(of, n)
	}
	return nil
}

// offer offers the parts that are neither queued nor answered.
func (f *Farm) offer(ctx context.Context, parts []*farm.Part, of map[int]int) error {
	return offerLost(ctx, f.queue, f.job.ID, parts, func(p *farm.Part) bool {
		_, open := of[p.N]
		return open
	})
}

// repair stores the blobs again that workers found damaged, and says which hosts failed.
func (f *Farm) repair(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	events, next, err := f.queue.Events(ctx, f.job.ID, f.events)
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, e := range events {
		switch path := f.blobs[e.Blob]; {
		case e.Kind == farm.Failed:
			f.log("host %s failed: %s; another one takes its part", e.Host, e.Why)
		case e.Kind != farm.Damaged || done[e.Blob]:
		case path == "":
			err := fmt.Errorf("the farm lost what an earlier command stored there (%.12s): start again", e.Blob)
			return &finalError{errors.Join(err, f.queue.Drop(ctx, e.Blob))} // then it is stored anew
		default:
			if err := f.queue.PutFile(ctx, e.Blob, path, true); err != nil {
				return err
			}
			done[e.Blob] = true
			f.log("stored %.12s again: host %s got it damaged", e.Blob, e.Host)
		}
	}
	f.events = next
	return nil
}
