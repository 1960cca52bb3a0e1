package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"tokentest/harness/farm"
	"tokentest/harness/mutate"
)

// mutants tries some changes of a kernel.
func (l *Lab) mutants(ctx context.Context, t *Task) (*farm.Answer, error) {
	start := time.Now()
	text, err := t.Queue.GetBytes(ctx, t.Mutants)
	if err != nil {
		return nil, err
	}
	var tasks []*mutate.Task
	if err := json.Unmarshal(text, &tasks); err != nil || t.To > len(tasks) {
		return nil, fmt.Errorf("part %s.%d: read the changes of the kernel: %d of %d: %w", t.Job, t.N, t.To, len(tasks), err)
	}
	names, err := t.Queue.GetBytes(ctx, t.Cases)
	if err != nil {
		return nil, err
	}
	p, in, err := l.prepare(ctx, t)
	if err != nil {
		return nil, err
	}
	if in.Dir, err = os.MkdirTemp("", "tokentest-part-*"); err != nil {
		return nil, errors.Join(ErrHost, err)
	}
	defer os.RemoveAll(in.Dir)
	out, err := mutate.Try(ctx, in, p, strings.Split(string(names), "\n"), tasks[t.From:t.To])
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, errors.Join(ErrHost, err)
	}
	if text, err = json.Marshal(out); err != nil {
		return nil, fmt.Errorf("encode what became of the changes: %w", err)
	}
	a := &farm.Answer{Took: time.Since(start)}
	a.Outcomes, err = t.Queue.PutBytes(ctx, text, false)
	return a, err
}
