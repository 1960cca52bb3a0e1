package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"tokentest/cases"
	"tokentest/cases/draw"
	"tokentest/harness/choose"
	"tokentest/harness/farm"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/vm"
	"tokentest/images"
)

// Lab runs parts with the machines of this host, and builds kernels.
type Lab struct {
	CacheDir string
	QEMU     string
	Jobs     int    // machines of a part at a time
	Compiles int    // files that are compiled at a time; 0 means one for each processor
	Mirror   string // a git repository whose objects builds use; "" is none
	Log      func(format string, args ...any)
}

// Do does a part.
func (l *Lab) Do(ctx context.Context, t *Task) (*farm.Answer, error) {
	switch {
	case t.Order != "":
		return l.build(ctx, t)
	case t.Mutants != "":
		return l.mutants(ctx, t)
	}
	return l.cases(ctx, t)
}

// cases runs a part in a directory of its own, which is gone afterwards.
func (l *Lab) cases(ctx context.Context, t *Task) (*farm.Answer, error) {
	start := time.Now()
	dir, err := os.MkdirTemp("", "tokentest-part-*")
	if err != nil {
		return nil, errors.Join(ErrHost, err)
	}
	defer os.RemoveAll(dir)
	p, in, err := l.prepare(ctx, t)
	if err != nil {
		return nil, err
	}
	in.Dir = dir
	in.Progress = follow(t.Tell)
	r, err := in.Run(ctx, p, []string{"tokentest", "worker"})
	if err != nil {
		return nil, errors.Join(ErrHost, err)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if why := hostFailed(r); why != "" {
		return nil, fmt.Errorf("%w: %s", ErrHost, why)
	}
	a := &farm.Answer{Took: time.Since(start), Decided: decided(r), Accel: r.Kernels[0].AccelName}
	archive, err := farm.Pack(dir)
	if err != nil {
		return nil, errors.Join(ErrHost, err)
	}
	if a.Run, err = t.Queue.PutBytes(ctx, archive, false); err != nil {
		return nil, err
	}
	return a, nil
}

// prepare makes the plan and the lab of a part.
func (l *Lab) prepare(ctx context.Context, t *Task) (*plan.Plan, *lab.Lab, error) {
	text, err := t.Queue.GetBytes(ctx, t.Settings)
	if err != nil {
		return nil, nil, err
	}
	s, err := farm.DecodeSettings(text)
	if err != nil {
		return nil, nil, err
	}
	list, err := t.Queue.GetBytes(ctx, t.Cases)
	if err != nil {
		return nil, nil, err
	}
	names, part := strings.Split(string(list), "\n"), *t.Part
	if part.Mutants != "" { // its numbers are those of changes
		part.From, part.To = 0, len(names)
	}
	p, known, err := Expand(ctx, &part, s, names)
	if err != nil {
		return nil, nil, err
	}
	in := &lab.Lab{CacheDir: l.CacheDir, QEMU: l.QEMU, Jobs: l.Jobs, Log: l.Log, Accel: s.Accel, Append: s.Append,
		Deadline: s.Deadline, Entry: lab.Entry(s.Entry), Isolate: lab.Isolation(s.Isolate), Allow: s.Allow, Lists: s.Lists,
		AllowEmpty: s.AllowEmpty, Flags: s.Flags, Offline: true, Known: known}
	if in.Given, err = l.fetch(ctx, t); err != nil {
		return nil, nil, err
	}
	return p, in, nil
}

// fetch gets the kernel and the image into this host's caches.
func (l *Lab) fetch(ctx context.Context, t *Task) (map[string]lab.Given, error) {
	k, err := kernel.Import(ctx, t.Kernel, kernel.Options{CacheDir: l.CacheDir, Log: l.Log}, t.Queue.GetFile)
	if err != nil {
		return nil, err
	}
	img, err := images.Adopt(ctx, t.Image.Name, t.Image.Digest, t.Image.BuildID, images.Options{CacheDir: l.CacheDir,
		Log: l.Log}, func(path string) error { return t.Queue.GetFile(ctx, t.Image.Digest, path) })
	if err != nil {
		return nil, err
	}
	return map[string]lab.Given{t.Kernel.Ref: {Kernel: k, Image: img}}, nil
}

// Expand makes the plan of a part from the list of its kernel's cases, and returns the defects that random worlds can
// trigger. No file of this host is read.
func Expand(ctx context.Context, part *farm.Part, s *farm.Settings, list []string) (*plan.Plan, []cases.Known, error) {
	if part.To > len(list) {
		return nil, nil, fmt.Errorf("part %s.%d: it ends with case %d of %d", part.Job, part.N, part.To, len(list))
	}
	mine := list[part.From:part.To]
	random := choose.Worlds{Count: part.Worlds, Seed: part.Seed, Given: true}
	r := plan.Request{Kernels: []string{part.Kernel.Ref}, Batch: s.Batch, Seed: part.Seed, Texts: s.Files}
	if r.Texts == nil {
		r.Texts = map[string]string{}
	}
	if random.Count > 0 {
		r.Extend = random.Draw
	}
	own := map[string]bool{} // groups that are not built in
	for i := range random.Count {
		own[draw.Name(random.Seed, i)] = true
	}
	for name := range r.Texts {
		r.Args = append(r.Args, name)
		if name == plan.Stdin {
			name = plan.StdinFile
		}
		own[cases.GroupOf(name)] = true
	}
	slices.Sort(r.Args)
	for _, id := range mine {
		group, _, _ := strings.Cut(id, "/")
		if !own[group] && !slices.Contains(r.Args, group) {
			r.Args = append(r.Args, group)
		}
	}
	p, err := plan.Load(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	if err := p.Narrow(map[string][]string{part.Kernel.Ref: mine}); err != nil {
		return nil, nil, err
	}
	return p, random.Known, holds(p, part, mine)
}

// holds returns an error if a case of the part is not in the plan.
func holds(p *plan.Plan, part *farm.Part, want []string) error {
	have := map[string]bool{}
	for _, c := range p.Of(part.Kernel.Ref) {
		have[c.ID] = true
	}
	for _, id := range want {
		if !have[id] {
			return fmt.Errorf("part %s.%d: this tokentest has no case %s", part.Job, part.N, id)
		}
	}
	return nil
}

// hostFailed says how the host failed, if nothing was decided for that reason.
func hostFailed(r *result.Run) string {
	k := r.Kernels[0]
	if k.Error != "" {
		return k.Error
	}
	for _, b := range k.Boots {
		if b.Fate != vm.Infra {
			return ""
		}
	}
	if len(k.Boots) == 0 {
		return ""
	}
	return k.Boots[0].Reason
}

// decided digests what the kernel decided, without times, numbers of machines and measurements.
func decided(r *result.Run) string {
	h := sha256.New()
	for c := range r.Kernels[0].All() {
		fmt.Fprintf(h, "%s %s", c.ID, c.Status)
		for i := range c.Steps {
			s := &c.Steps[i]
			values := s.Got.Values
			if s.Measured {
				values = nil
			}
			fmt.Fprintf(h, " %s", result.StepAnswer(s.Got.Errno, values))
		}
		fmt.Fprintln(h)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// tellEvery is how often a worker says how far a part is.
const tellEvery = time.Second

// follow turns the progress of a lab into messages, not too many.
func follow(tell func(farm.Live)) func(lab.Progress) {
	var mu sync.Mutex
	var stage string
	var last time.Time
	return func(p lab.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Wrong != nil {
			tell(farm.Live{Wrong: p.Wrong})
			return
		}
		if p.Stage == stage && p.Began == "" && time.Since(last) < tellEvery {
			return
		}
		stage, last = p.Stage, time.Now()
		tell(farm.Live{Stage: p.Stage, Began: p.Began, Done: p.Done, Failed: p.Failed})
	}
}

// FreeMiB is the memory that each of a worker's parts may have.
func FreeMiB(jobs int) int { return lab.FreeMiB() / max(1, jobs) }
