package farm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// wrongSequence is JetStream's code for a publication that expects another last message of its subject.
const wrongSequence jetstream.ErrorCode = 10071

// PutAnswer stores the answer to a part if there is none. If there is one it returns that: the first answer counts. The
// caller must not take the part out of the queue before this returns without an error.
func (q *Queue) PutAnswer(ctx context.Context, a *Answer) (earlier *Answer, err error) {
	err = q.publish(ctx, answerSubject+part(a.Job, a.N), a, jetstream.WithExpectLastSequencePerSubject(0))
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != wrongSequence {
		return nil, err
	}
	if earlier, err = q.Answer(ctx, a.Job, a.N); err != nil {
		return nil, err
	}
	if earlier == nil {
		return nil, fmt.Errorf("read the answer to part %d: it is gone", a.N)
	}
	if earlier.Worker == a.Worker && earlier.Run == a.Run {
		return nil, nil // it was stored, and only the confirmation was lost
	}
	return earlier, nil
}

// PutFlaky stores an answer that differs from the first one.
func (q *Queue) PutFlaky(ctx context.Context, a *Answer) error {
	return q.publish(ctx, flakySubject+part(a.Job, a.N), a)
}

// Answer returns the answer to a part; nil if there is none.
func (q *Queue) Answer(ctx context.Context, job string, n int) (*Answer, error) {
	return q.answer(ctx, answerSubject+part(job, n))
}

// Flaky returns a later answer to a part that differs from the first one; nil if there is none.
func (q *Queue) Flaky(ctx context.Context, job string, n int) (*Answer, error) {
	return q.answer(ctx, flakySubject+part(job, n))
}

func (q *Queue) answer(ctx context.Context, subject string) (*Answer, error) {
	a := &Answer{}
	if found, err := q.last(ctx, subject, a); err != nil || !found {
		return nil, err
	}
	return a, nil
}

// Answered returns which parts of a job have an answer.
func (q *Queue) Answered(ctx context.Context, job string) (map[int]bool, error) {
	subjects, err := q.subjects(ctx, q.records, answerSubject+job+".*")
	return numbers(subjects), err
}

// FlakyParts returns which parts of a job have answers that differ.
func (q *Queue) FlakyParts(ctx context.Context, job string) (map[int]bool, error) {
	subjects, err := q.subjects(ctx, q.records, flakySubject+job+".*")
	return numbers(subjects), err
}

// Forget removes the answer to a part, so that the part can be done again: its records are damaged.
func (q *Queue) Forget(ctx context.Context, job string, n int) error {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	return q.records.Purge(ctx, jetstream.WithPurgeSubject(answerSubject+part(job, n)))
}

// AddEvent stores an event.
func (q *Queue) AddEvent(ctx context.Context, e *Event) error {
	e.At = time.Now().UTC()
	return q.publish(ctx, fmt.Sprintf("%s%s.%s", eventSubject, part(e.Job, e.N), e.Kind), e)
}

// Tries counts the workers that began a part and did not give it back.
func (q *Queue) Tries(ctx context.Context, job string, n int) (int, error) {
	subjects, err := q.subjects(ctx, q.records, eventSubject+part(job, n)+".*")
	count := func(k EventKind) int { return int(subjects[eventSubject+part(job, n)+"."+string(k)]) }
	return count(Started) - count(Returned), err
}

// Events returns what happened to the parts of a job, or of all jobs if it is "*", from a sequence number on, and the
// number after the last event.
func (q *Queue) Events(ctx context.Context, job string, from uint64) (out []Event, next uint64, err error) {
	for next = max(from, 1); ; {
		get, stop := context.WithTimeout(ctx, callTimeout)
		m, err := q.records.GetMsg(get, next, jetstream.WithGetMsgSubject(eventSubject+job+".>"))
		stop()
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return out, next, nil
		}
		if err != nil {
			return out, next, fmt.Errorf("read the farm's events: %w", err)
		}
		next = m.Sequence + 1
		var e Event
		if err := decode(m.Data, &e); err != nil {
			continue // of another version
		}
		out = append(out, e)
	}
}

// Tell sends a message about a job to its client, if that listens.
func (q *Queue) Tell(job string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	return q.nc.Publish(liveSubject+job, text)
}

// Listen calls take for each message about a job, until stop is called.
func (q *Queue) Listen(job string, take func(text []byte)) (stop func(), err error) {
	s, err := q.nc.Subscribe(liveSubject+job, func(m *nats.Msg) { take(m.Data) })
	if err != nil {
		return nil, fmt.Errorf("listen to the job: %w", err)
	}
	return func() { s.Unsubscribe() }, nil
}

// WorkerInfo is what a worker says about itself.
type WorkerInfo struct {
	Can
	ID     string    `json:"id"`
	Host   string    `json:"host"`
	PID    int       `json:"pid"`
	Jobs   int       `json:"jobs"`
	Doing  []string  `json:"doing,omitempty"` // JOB.N
	Done   int       `json:"done"`
	Failed int       `json:"failed,omitempty"`
	Since  time.Time `json:"since"`
}

// AnswerWho answers the question who works here, until stop is called.
func (q *Queue) AnswerWho(info func() WorkerInfo) (stop func(), err error) {
	s, err := q.nc.Subscribe(whoSubject, func(m *nats.Msg) {
		if text, err := json.Marshal(info()); err == nil {
			m.Respond(text) // who asks no longer listens if this fails
		}
	})
	if err != nil {
		return nil, fmt.Errorf("answer who works here: %w", err)
	}
	return func() { s.Unsubscribe() }, nil
}

// Workers asks who works here, and waits for the answers.
func (q *Queue) Workers(ctx context.Context, wait time.Duration) ([]WorkerInfo, error) {
	inbox := nats.NewInbox()
	s, err := q.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask for workers: %w", err)
	}
	defer s.Unsubscribe()
	if err := q.nc.PublishRequest(whoSubject, inbox, nil); err != nil {
		return nil, fmt.Errorf("ask for workers: %w", err)
	}
	ctx, stop := context.WithTimeout(ctx, wait)
	defer stop()
	var out []WorkerInfo
	for {
		m, err := s.NextMsgWithContext(ctx)
		if err != nil {
			break // the time is over
		}
		var w WorkerInfo
		if json.Unmarshal(m.Data, &w) == nil && w.ID != "" {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b WorkerInfo) int { return strings.Compare(a.Host+" "+a.ID, b.Host+" "+b.ID) })
	return out, nil
}
