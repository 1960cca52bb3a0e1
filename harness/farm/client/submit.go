package client

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tokentest/cases"
	"tokentest/harness/farm"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// submit resolves the kernels here, stores what workers need by its digest, and makes the parts. Nothing is queued yet:
// what is missing is offered afterwards.
func (r *run) submit(ctx context.Context) error {
	r.state = &state{URL: r.o.On.URL, Job: newJob(), Blobs: map[string]string{}}
	if err := os.MkdirAll(filepath.Join(r.Dir, partsDir), 0o755); err != nil {
		return fmt.Errorf("make a place for the parts: %w", err)
	}
	settings, err := r.settings(ctx)
	if err != nil {
		return err
	}
	build, err := farm.Build()
	if err != nil {
		return err
	}
	for i, ref := range r.plan.Kernels {
		g, out := r.Ready(ctx, ref, r.plan)
		r.state.Kernels = append(r.state.Kernels, out)
		if out.Error != "" {
			continue
		}
		if err := r.kernel(ctx, i, g, farm.Part{Job: r.state.Job, Build: build, Settings: settings}); err != nil {
			return err
		}
	}
	if r.o.On.Local > 0 {
		r.state.URL = "" // another one when it is resumed
	}
	if err := r.keep(); err != nil {
		return err
	}
	return r.queue.SetJob(ctx, r.job(farm.Wanted))
}

// job describes the run for the farm.
func (r *run) job(s farm.JobState) *farm.Job {
	return &farm.Job{ID: r.state.Job, Host: r.record.Host.Name, Kernels: r.plan.Kernels, Parts: len(r.state.Parts),
		Start: time.Now().UTC(), State: s}
}

// kernel stores what workers need for a kernel, and cuts its cases into parts.
func (r *run) kernel(ctx context.Context, index int, g lab.Given, p farm.Part) error {
	about, names, err := ready(ctx, r.queue, g, r.plan.Kernels[index], r.ordered(index), r.state.Blobs)
	if err != nil {
		return err
	}
	p.Kernel, p.Image = about.Kernel, about.Image
	if p.Cases, err = r.blob(ctx, names); err != nil {
		return err
	}
	p.Class = farm.NewClass(p.Build, r.Accel, g.MiB())
	p.Seed, p.Worlds = r.plan.Seed, r.o.Worlds
	most := r.o.PartTime
	if most == 0 {
		most = DefaultPartTime
	}
	ref := r.plan.Kernels[index]
	for _, s := range r.plan.Slices(ref, plan.CostOf(ref), most.Nanoseconds()) {
		one := p
		one.N, one.From, one.To = len(r.state.Parts), s.From, s.To
		r.state.Parts = append(r.state.Parts, &one)
		r.state.Of = append(r.state.Of, index)
	}
	return nil
}

// ready stores a kernel and its image in the farm, names them in a part, and returns the list of cases. It adds the
// paths of what it stored to blobs.
func ready(ctx context.Context, q *farm.Queue, g lab.Given, ref string, of []*cases.Case, blobs map[string]string) (
	p farm.Part, names []byte, err error,
) {
	var files map[string]string
	if p.Kernel, files, err = g.Kernel.Portable(); err != nil {
		return p, nil, err
	}
	p.Kernel.Ref = ref
	p.Image = farm.Image{Name: g.Image.Name(), Digest: g.Image.Digest, BuildID: g.Image.BuildID}
	files[g.Image.Digest] = g.Image.Path
	for digest, path := range files {
		if err := q.PutFile(ctx, digest, path, false); err != nil {
			return p, nil, err
		}
		blobs[digest] = path
	}
	list := make([]string, len(of))
	for i, c := range of {
		list[i] = c.ID
	}
	return p, []byte(strings.Join(list, "\n")), nil
}

// ordered are the cases of a kernel, in the order in which they are cut into parts.
func (r *run) ordered(index int) []*cases.Case { return plan.ByWorld(r.plan.Of(r.plan.Kernels[index])) }

// blob stores bytes in the farm, and in the run's directory until it is complete.
func (r *run) blob(ctx context.Context, text []byte) (digest string, err error) {
	if digest, err = r.queue.PutBytes(ctx, text, false); err != nil {
		return "", err
	}
	path := filepath.Join(r.Dir, partsDir, "blob-"+digest)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return "", fmt.Errorf("keep a blob of the run: %w", err)
	}
	r.state.Blobs[digest] = path
	return digest, nil
}

// settings stores what all parts have in common.
func (r *run) settings(ctx context.Context) (digest string, err error) {
	text, err := settingsOf(r.Lab, r.plan, r.o.Texts).Encode()
	if err != nil {
		return "", err
	}
	return r.blob(ctx, text)
}

func settingsOf(l *lab.Lab, p *plan.Plan, texts map[string]string) *farm.Settings {
	return &farm.Settings{Batch: p.Batch, Accel: l.Accel, Append: l.Append, Deadline: l.Deadline, Entry: string(l.Entry),
		Isolate: string(l.Isolate), Allow: l.Allow, Lists: l.Lists, AllowEmpty: l.AllowEmpty, Flags: l.Flags, Files: texts}
}

// offerMissing offers the parts without an answer that the queue has lost.
func (r *run) offerMissing(ctx context.Context) error {
	return offerLost(ctx, r.queue, r.state.Job, r.state.Parts, func(p *farm.Part) bool {
		return r.have[p.N] == nil && r.givenUp[p.N] == nil
	})
}

// offerLost offers the open parts of a job that are neither in the queue nor answered: a queue that lost one costs
// time, and never a result. It asks for the queue first: a part that is answered in between is then in one of both.
func offerLost(
	ctx context.Context, q *farm.Queue, job string, parts []*farm.Part, open func(p *farm.Part) bool,
) error {
	queued, err := q.Queued(ctx, job)
	if err != nil {
		return err
	}
	answered, err := q.Answered(ctx, job)
	if err != nil {
		return err
	}
	var lost []*farm.Part
	for _, p := range parts {
		if !queued[p.N] && !answered[p.N] && open(p) {
			lost = append(lost, p)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	err = q.Offer(ctx, lost)
	for _, p := range lost {
		p.Attempt++ // of the next time
	}
	return err
}

// repair stores the blobs again that workers found damaged.
func (r *run) repair(ctx context.Context) error {
	events, next, err := r.queue.Events(ctx, r.state.Job, r.events)
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, e := range events {
		switch path := r.state.Blobs[e.Blob]; {
		case e.Kind == farm.Failed:
			r.log("%s: host %s failed: %s; another one takes its part", r.refOf(e.N), e.Host, e.Why)
		case e.Kind != farm.Damaged || path == "" || done[e.Blob]:
		default:
			if err := r.queue.PutFile(ctx, e.Blob, path, true); err != nil {
				return err
			}
			done[e.Blob] = true
			r.log("stored %s again: host %s got it damaged", e.Blob[:12], e.Host)
		}
	}
	r.events = next
	return nil
}

// refOf is the kernel of a part.
func (r *run) refOf(n int) string {
	if n < 0 || n >= len(r.state.Parts) {
		return "a part"
	}
	return r.state.Parts[n].Kernel.Ref
}

// missing is the result of a case that no worker answered: its part was given up, or the run is not complete.
func (r *run) missing(index int, stop result.Stop) func(id string) result.CaseResult {
	reason := map[string]string{}
	of := r.ordered(index)
	for n, a := range r.givenUp {
		if p := r.state.Parts[n]; r.state.Of[n] == index {
			for _, c := range of[p.From:p.To] {
				reason[c.ID] = fmt.Sprintf("%s; tried on %s", a.GivenUp, strings.Join(a.Hosts, ", "))
			}
		}
	}
	return func(id string) result.CaseResult {
		if why := reason[id]; why != "" {
			return result.NewResult(id, result.Broken, result.Cause{Kind: result.Unanswered, Fate: "infra"}, why, -1)
		}
		return result.NewResult(id, result.Interrupted, result.Cause{Kind: result.NotTried}, stop.Case(), -1)
	}
}
