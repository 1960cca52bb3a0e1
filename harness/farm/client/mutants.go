package client

import (
	"context"
	"encoding/json"
	"errors"

	"tokentest/harness/farm"
	"tokentest/harness/mutate"
)

// mostMutants is how many changes of a kernel a part has at most: its machine is saved once, and each takes seconds.
const mostMutants = 8

// Mutants has the farm try changes of a kernel; it is the Elsewhere of mutate.Options.
func (f *Farm) Mutants(ctx context.Context, w *mutate.Work, each func(task int, o *mutate.Outcome) error) error {
	ref := w.Plan.Kernels[0]
	g, out := w.Lab.Ready(ctx, ref, w.Plan)
	if out.Error != "" {
		return errors.New(out.Error)
	}
	base, names, err := ready(ctx, f.queue, g, ref, w.Plan.Cases, f.blobs)
	if err != nil {
		return err
	}
	files, err := texts(w.Plan, "", nil)
	if err != nil {
		return err
	}
	settings, err := settingsOf(&w.Lab, w.Plan, files).Encode()
	if err != nil {
		return err
	}
	tasks, err := json.Marshal(w.Tasks)
	if err != nil {
		return err
	}
	for _, b := range []struct {
		text []byte
		to   *string
	}{{names, &base.Cases}, {settings, &base.Settings}, {tasks, &base.Mutants}} {
		if *b.to, err = f.blob(ctx, b.text); err != nil {
			return err
		}
	}
	base.Class = farm.NewClass(f.build, "tcg", g.MiB())
	var parts []*farm.Part
	size := f.slice(ctx, len(w.Tasks))
	for from := 0; from < len(w.Tasks); from += size {
		p := base
		p.From, p.To = from, min(len(w.Tasks), from+size)
		parts = append(parts, &p)
	}
	return f.do(ctx, parts, func(i int, a *farm.Answer) error { return f.outcomes(ctx, parts[i], a, each) })
}

// slice is how many changes a part has: so few that each worker gets several parts.
func (f *Farm) slice(ctx context.Context, tasks int) int {
	places := 0
	if workers, err := f.queue.Workers(ctx, look); err == nil {
		for _, w := range workers {
			places += w.Jobs
		}
	}
	return min(mostMutants, max(1, tasks/(4*max(1, places))))
}

// outcomes takes what became of the changes of a part.
func (f *Farm) outcomes(
	ctx context.Context, p *farm.Part, a *farm.Answer, each func(task int, o *mutate.Outcome) error,
) error {
	text, err := f.queue.GetBytes(ctx, a.Outcomes)
	if err != nil {
		return err
	}
	var list []*mutate.Outcome
	if err := json.Unmarshal(text, &list); err != nil || len(list) != p.To-p.From {
		return &farm.DamagedError{Digest: a.Outcomes, Err: errors.New("it has not an outcome for each change")}
	}
	for i, o := range list {
		if err := each(p.From+i, o); err != nil {
			return err
		}
	}
	return nil
}
