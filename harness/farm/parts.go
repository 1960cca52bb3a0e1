package farm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Offer queues parts. A part that is offered twice with the same attempt is queued once.
func (q *Queue) Offer(ctx context.Context, parts []*Part) error {
	made := map[Class]bool{}
	var sent []jetstream.PubAckFuture
	for _, p := range parts {
		if !made[p.Class] {
			if err := q.makeClass(ctx, p.Class); err != nil {
				return fmt.Errorf("make the queue %s: %w", p.Class, err)
			}
			made[p.Class] = true
		}
		text, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("encode a part: %w", err)
		}
		m := &nats.Msg{Subject: fmt.Sprintf("%s%s.%s.%d", workSubject, p.Class, p.Job, p.N), Data: text}
		f, err := q.js.PublishMsgAsync(m, jetstream.WithMsgID(fmt.Sprintf("%s/%d/%d", p.Job, p.N, p.Attempt)),
			jetstream.WithStallWait(callTimeout))
		if err != nil {
			return fmt.Errorf("queue part %d: %w", p.N, full(err))
		}
		sent = append(sent, f)
	}
	for i, f := range sent {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return fmt.Errorf("queue part %d: %w", parts[i].N, full(err))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(callTimeout):
			return fmt.Errorf("queue part %d: the farm does not confirm it", parts[i].N)
		}
	}
	return nil
}

// makeClass makes the queue of a class.
func (q *Queue) makeClass(ctx context.Context, c Class) error {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	taken := maxTaken
	info, err := q.js.AccountInfo(ctx)
	if err != nil {
		return err
	}
	if quota := info.Limits.MaxAckPending; quota > 0 {
		taken = quota
	}
	_, err = q.work.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: c.String(),
		FilterSubject: workSubject + c.String() + ".>", AckPolicy: jetstream.AckExplicitPolicy, AckWait: q.ackWait,
		MaxDeliver: -1, MaxAckPending: taken, InactiveThreshold: keepWork})
	return err
}

// ClassInfo is how a class stands.
type ClassInfo struct {
	Class
	Name    string `json:"name"`
	Waiting int    `json:"waiting"`
	Taken   int    `json:"taken"`
}

// Classes returns the classes that were ever asked for.
func (q *Queue) Classes(ctx context.Context) ([]ClassInfo, error) {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	list := q.work.ListConsumers(ctx)
	var out []ClassInfo
	for info := range list.Info() {
		if c, ok := ParseClass(info.Name); ok {
			out = append(out, ClassInfo{c, info.Name, int(info.NumPending), info.NumAckPending})
		}
	}
	return out, list.Err()
}

// Taken is a part that this worker has.
type Taken struct {
	Part *Part
	msg  jetstream.Msg
}

// Take waits for a part of a class; it returns nil if none comes. A message that is no part is dropped.
func (q *Queue) Take(ctx context.Context, c Class, wait time.Duration) (*Taken, error) {
	get, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	consumer, err := q.work.Consumer(get, c.String())
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(wait))
	if err != nil {
		return nil, err
	}
	for m := range batch.Messages() {
		p, err := Decode(m.Data())
		if err != nil {
			return nil, errors.Join(err, m.Term())
		}
		return &Taken{p, m}, nil
	}
	if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return nil, nil
}

// Again reports whether the part was given to a worker before.
func (t *Taken) Again() bool {
	m, err := t.msg.Metadata()
	return err != nil || m.NumDelivered > 1 || t.Part.Attempt > 0
}

// Beat says that the part is still worked on.
func (t *Taken) Beat() error { return t.msg.InProgress() }

// Back gives the part to another worker after a delay.
func (t *Taken) Back(delay time.Duration) error {
	if delay == 0 {
		return t.msg.Nak()
	}
	return t.msg.NakWithDelay(delay)
}

// Done takes the part out of the queue. It tries once: if the server is gone, the next worker finds the answer.
func (t *Taken) Done(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, callTimeout/2)
	defer stop()
	return t.msg.DoubleAck(ctx)
}

// Queued returns which parts of a job are in the queue, or at workers.
func (q *Queue) Queued(ctx context.Context, job string) (map[int]bool, error) {
	subjects, err := q.subjects(ctx, q.work, workSubject+"*."+job+".*")
	return numbers(subjects), err
}

// Cancel takes the parts of a job out of the queue, and stops the workers that have one.
func (q *Queue) Cancel(ctx context.Context, j *Job) error {
	j.State = Canceled
	if err := q.SetJob(ctx, j); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	err := q.work.Purge(ctx, jetstream.WithPurgeSubject(workSubject+"*."+j.ID+".*"))
	return errors.Join(err, q.nc.Publish(stopSubject+j.ID, nil), q.nc.FlushWithContext(ctx))
}

// OnStop calls then if the job is canceled, until stop is called.
func (q *Queue) OnStop(job string, then func()) (stop func(), err error) {
	s, err := q.nc.Subscribe(stopSubject+job, func(*nats.Msg) { then() })
	if err != nil {
		return nil, fmt.Errorf("listen for the end of a job: %w", err)
	}
	return func() { s.Unsubscribe() }, nil
}

// part is the last tokens of the subjects about one part.
func part(job string, n int) string { return job + "." + strconv.Itoa(n) }
