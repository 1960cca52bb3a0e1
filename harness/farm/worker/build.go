package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tokentest/harness/farm"
	"tokentest/harness/kernel"
)

// build builds the kernel of a part, or finds it in the cache, and stores it in the farm. A source that makes no kernel
// is an answer; what this host lacks is not.
func (l *Lab) build(ctx context.Context, t *Task) (*farm.Answer, error) {
	start := time.Now()
	text, err := t.Queue.GetBytes(ctx, t.Order)
	if err != nil {
		return nil, err
	}
	order := &kernel.Order{}
	if err := json.Unmarshal(text, order); err != nil {
		return nil, fmt.Errorf("read the order of a build: %w", err)
	}
	tell(t, "building "+order.Name)
	m := &kernel.Mirror{Borrow: l.Mirror, Fetch: t.Queue.GetFile, Options: kernel.Options{CacheDir: l.CacheDir,
		Offline: true, Log: l.Log, Build: kernel.BuildOptions{Jobs: l.Compiles}, Step: func(doing string) { tell(t, doing) }}}
	k, err := m.Build(ctx, order)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	made, files, err := kernel.OutcomeOf(k, err)
	var damaged *farm.DamagedError
	switch {
	case errors.As(err, &damaged):
		return nil, err
	case err != nil:
		return nil, errors.Join(ErrHost, err)
	}
	for digest, path := range files {
		if err := t.Queue.PutFile(ctx, digest, path, false); err != nil {
			return nil, err
		}
	}
	a := &farm.Answer{Took: time.Since(start), Made: made}
	if a.Decided = string(made.Fault); made.Kernel != nil {
		a.Decided = made.Kernel.Digest // the same source, configuration and tools make the same image
	}
	return a, t.Queue.PutNote(ctx, farm.KernelNote(order.Key), made)
}

func tell(t *Task, doing string) {
	if doing != "" {
		t.Tell(farm.Live{Stage: "build", Doing: doing})
	}
}
