package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tokentest/cases"
	"tokentest/harness/farm"
	"tokentest/harness/lab"
	"tokentest/harness/result"
)

// answers takes the answers that are new.
func (r *run) answers(ctx context.Context) error {
	answered, err := r.queue.Answered(ctx, r.state.Job)
	if err != nil {
		return err
	}
	for _, n := range slices.Sorted(maps.Keys(answered)) {
		if n >= len(r.state.Parts) || r.have[n] != nil || r.givenUp[n] != nil {
			continue
		}
		if err := r.take(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// take reads the records of an answered part. Records that are damaged are made again.
func (r *run) take(ctx context.Context, n int) error {
	a, err := r.queue.Answer(ctx, r.state.Job, n)
	if err != nil || a == nil {
		return err
	}
	if a.GivenUp != "" {
		r.givenUp[n] = a
		r.log("%s, part %d: %s; tried on %s", r.refOf(n), n+1, a.GivenUp, strings.Join(a.Hosts, ", "))
		return nil
	}
	got, err := r.fetch(ctx, n, a, r.partDir(n))
	var damaged *farm.DamagedError
	if errors.As(err, &damaged) {
		r.log("%s, part %d: %v: it is done again", r.refOf(n), n+1, err)
		return r.queue.Forget(ctx, r.state.Job, n)
	}
	if err != nil {
		return err
	}
	r.have[n] = got
	r.fetched = append(r.fetched, a.Run)
	r.each(n, got)
	r.board.answered(n)
	return nil
}

func (r *run) partDir(n int) string { return filepath.Join(r.Dir, partsDir, strconv.Itoa(n)) }

// fetch reads the records of an answer. A part that an earlier attempt of this run fetched is read again: nothing
// says that it is whole.
func (r *run) fetch(ctx context.Context, n int, a *farm.Answer, dir string) (*result.Run, error) {
	archive, err := r.queue.GetBytes(ctx, a.Run)
	if err != nil {
		return nil, err
	}
	if err := farm.Unpack(archive, dir); err != nil {
		return nil, &farm.DamagedError{Digest: a.Run, Err: err}
	}
	got, err := (&result.Loader{Worlds: true}).Load(dir)
	if err != nil {
		return nil, &farm.DamagedError{Digest: a.Run, Err: err}
	}
	if err := r.fits(n, got); err != nil {
		return nil, &farm.DamagedError{Digest: a.Run, Err: err}
	}
	got.Part = &result.Part{I: n + 1, N: len(r.state.Parts), Plan: r.state.Job}
	return got, nil
}

// fits returns an error if a record is not that of the part.
func (r *run) fits(n int, got *result.Run) error {
	p := r.state.Parts[n]
	switch {
	case len(got.Gaps()) > 0:
		return errors.New(got.Gaps()[0])
	case len(got.Kernels) != 1 || got.Kernels[0].Ref != p.Kernel.Ref:
		return errors.New("it is of another kernel")
	}
	k := got.Kernels[0]
	if k.Digest != p.Kernel.Digest || k.Image != p.Image.Digest || k.ConfigDigest != p.Kernel.Config {
		return errors.New("it is of another image, or of another configuration")
	}
	have := map[string]bool{}
	for c := range k.All() {
		have[c.ID] = true
	}
	for _, c := range r.ordered(r.state.Of[n])[p.From:p.To] {
		if !have[c.ID] {
			return fmt.Errorf("it has no record of %s", c.ID)
		}
	}
	return nil
}

// each reports the results of a part.
func (r *run) each(n int, got *result.Run) {
	if r.Each == nil {
		return
	}
	of := map[string]*cases.Case{}
	for _, c := range r.ordered(r.state.Of[n]) {
		of[c.ID] = c
	}
	for c := range got.Kernels[0].All() {
		one := *c
		r.Each(lab.Result{Kernel: r.refOf(n), Of: of[c.ID], CaseResult: &one})
	}
}

// differing adds the later answers that differ from the first: the kernel is flaky. They are merged, so that a case has
// the worst of its results, and reported.
func (r *run) differing(ctx context.Context) (more []*result.Run, err error) {
	parts, err := r.queue.FlakyParts(ctx, r.state.Job)
	if err != nil {
		return nil, err
	}
	for _, n := range slices.Sorted(maps.Keys(parts)) {
		if n >= len(r.state.Parts) || r.have[n] == nil {
			continue
		}
		a, err := r.queue.Flaky(ctx, r.state.Job, n)
		if err != nil || a == nil {
			return nil, err
		}
		got, err := r.fetch(ctx, n, a, r.partDir(n)+"-again")
		if err != nil {
			r.log("%s, part %d: a second answer differs, and cannot be read: %v", r.refOf(n), n+1, err)
			continue
		}
		r.log("%s is flaky: %s and %s answered part %d differently: %s", r.refOf(n), name(r.have[n].Host), name(got.Host),
			n+1, difference(r.have[n], got))
		more = append(more, got)
	}
	return more, nil
}

func name(h *result.Host) string {
	if h == nil || h.Name == "" {
		return "a host"
	}
	return h.Name
}

// mostNamed is how many cases a line names.
const mostNamed = 3

// difference names the cases with other results.
func difference(a, b *result.Run) string {
	was := map[string]string{}
	text := func(c *result.CaseResult) string {
		return strings.TrimSpace(string(c.Status) + " " + c.Decision().String())
	}
	for c := range a.Kernels[0].All() {
		was[c.ID] = text(c)
	}
	var out []string
	more := 0
	for c := range b.Kernels[0].All() {
		switch now := text(c); {
		case was[c.ID] == now:
		case len(out) < mostNamed:
			out = append(out, fmt.Sprintf("%s %s or %s", c.ID, was[c.ID], now))
		default:
			more++
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("%d more", more))
	}
	return strings.Join(out, ", ")
}
