package farm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The streams and the bucket, and the subjects in them. Each subject ends with a job and mostly a part of it.
const (
	WorkStream    = "TOKENTEST_WORK"
	recordsStream = "TOKENTEST_RECORDS"
	blobsBucket   = "TOKENTEST_BLOBS"

	workSubject   = "tokentest.work."   // CLASS.JOB.N
	answerSubject = "tokentest.answer." // JOB.N
	flakySubject  = "tokentest.flaky."  // JOB.N
	eventSubject  = "tokentest.event."  // JOB.N.KIND
	jobSubject    = "tokentest.job."    // JOB

	liveSubject = "tokentest.live." // JOB; not stored
	stopSubject = "tokentest.stop." // JOB; not stored
	whoSubject  = "tokentest.who"   // a question to every worker; not stored
)

// AckWait is how long a worker may be silent before its part is offered to others.
const AckWait = 30 * time.Second

const (
	keepWork    = 7 * 24 * time.Hour
	keepRecords = 30 * 24 * time.Hour
	maxInFlight = 256     // parts that are published and not yet stored
	maxTaken    = 100_000 // parts of a class that workers have at a time
	callTimeout = 10 * time.Second
	readyWithin = 30 * time.Second // the streams of a cluster that is choosing a leader
)

// Queue is a connection to a farm.
type Queue struct {
	nc            *nats.Conn
	js            jetstream.JetStream
	work, records jetstream.Stream
	blobs         jetstream.ObjectStore
	ackWait       time.Duration
}

// Options are how to connect.
type Options struct {
	Name    string        // for the server's log
	Forever bool          // wait for a server that is not there
	AckWait time.Duration // of classes that this connection makes; 0 means AckWait
}

// Open connects to a farm, and makes its streams if they do not exist.
func Open(ctx context.Context, u *URL, o Options) (*Queue, error) {
	options := []nats.Option{nats.Name(o.Name), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond),
		nats.RetryOnFailedConnect(o.Forever), nats.Timeout(callTimeout), nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(3)}
	switch {
	case u.Team != "":
		options = append(options, nats.UserInfo(u.Team, u.Token))
	case u.Token != "":
		options = append(options, nats.Token(u.Token))
	}
	if u.TLS {
		options = append(options, nats.Secure(u.tls()))
	}
	nc, err := nats.Connect(u.servers(), options...)
	if err != nil {
		return nil, u.explain(err)
	}
	q := &Queue{nc: nc, ackWait: o.AckWait}
	if q.ackWait == 0 {
		q.ackWait = AckWait
	}
	if q.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(maxInFlight)); err == nil {
		err = q.prepare(ctx, o.Forever)
	}
	if err != nil {
		nc.Close()
		return nil, u.explain(err)
	}
	return q, nil
}

// Close ends the connection.
func (q *Queue) Close() { q.nc.Close() }

// prepare makes the streams. While a cluster chooses a leader that fails, so it tries again.
func (q *Queue) prepare(ctx context.Context, forever bool) error {
	deadline := time.Now().Add(readyWithin)
	for {
		err := q.streams(ctx)
		if err == nil || ctx.Err() != nil || !forever && time.Now().After(deadline) {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (q *Queue) streams(ctx context.Context) error {
	replicas := 1
	if q.nc.ConnectedClusterName() != "" {
		replicas = 3
	}
	var err error
	q.work, err = q.stream(ctx, jetstream.StreamConfig{Name: WorkStream, Subjects: []string{workSubject + ">"},
		Retention: jetstream.WorkQueuePolicy, Duplicates: 10 * time.Minute, MaxAge: keepWork, Replicas: replicas,
		Discard: jetstream.DiscardNew})
	if err != nil {
		return err
	}
	q.records, err = q.stream(ctx, jetstream.StreamConfig{Name: recordsStream, MaxAge: keepRecords, Replicas: replicas,
		Subjects: []string{answerSubject + ">", flakySubject + ">", eventSubject + ">", jobSubject + ">"},
		Discard:  jetstream.DiscardNew}) // no direct reads: a follower of a cluster may not have an answer yet
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	q.blobs, err = q.js.ObjectStore(ctx, blobsBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		q.blobs, err = q.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: blobsBucket, TTL: keepRecords,
			Replicas: replicas, Compression: true})
	}
	return err
}

// stream finds or makes a stream.
func (q *Queue) stream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	s, err := q.js.Stream(ctx, c.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = q.js.CreateStream(ctx, c)
	}
	return s, err
}

// pause waits, and returns early with an error if ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Job is what a client says about a job.
type Job struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	Kernels []string  `json:"kernels"`
	Parts   int       `json:"parts"`
	Start   time.Time `json:"start"`
	State   JobState  `json:"state"`
}

// JobState is how a job stands.
type JobState string

// The states of a job.
const (
	Wanted   JobState = "wanted"
	Ended    JobState = "ended"
	Canceled JobState = "canceled"
)

// SetJob stores what a client says about a job.
func (q *Queue) SetJob(ctx context.Context, j *Job) error {
	return q.publish(ctx, jobSubject+j.ID, j)
}

// Job returns what was last said about a job; nil if nothing was.
func (q *Queue) Job(ctx context.Context, id string) (*Job, error) {
	j := &Job{}
	if found, err := q.last(ctx, jobSubject+id, j); err != nil || !found {
		return nil, err
	}
	return j, nil
}

// Jobs returns the jobs, the oldest first.
func (q *Queue) Jobs(ctx context.Context) ([]Job, error) {
	subjects, err := q.subjects(ctx, q.records, jobSubject+"*")
	if err != nil {
		return nil, err
	}
	var out []Job
	for subject := range subjects {
		j, err := q.Job(ctx, strings.TrimPrefix(subject, jobSubject))
		if err != nil {
			return nil, err
		}
		if j != nil {
			out = append(out, *j)
		}
	}
	return out, nil
}

// publish stores a value under a subject.
func (q *Queue) publish(ctx context.Context, subject string, v any, options ...jetstream.PublishOpt) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", subject, err)
	}
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	_, err = q.js.Publish(ctx, subject, text, options...)
	return full(err)
}

// last reads the newest value of a subject.
func (q *Queue) last(ctx context.Context, subject string, to any) (found bool, err error) {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	m, err := q.records.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err == nil {
		err = decode(m.Data, to)
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", subject, err)
	}
	return true, nil
}

// subjects counts the messages of each subject that matches a filter.
func (q *Queue) subjects(ctx context.Context, s jetstream.Stream, filter string) (map[string]uint64, error) {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, fmt.Errorf("ask the farm for %s: %w", filter, err)
	}
	return info.State.Subjects, nil
}

// numbers are the parts that the last token of each subject names.
func numbers(subjects map[string]uint64) map[int]bool {
	out := map[int]bool{}
	for s := range subjects {
		if n, err := strconv.Atoi(s[strings.LastIndexByte(s, '.')+1:]); err == nil {
			out[n] = true
		}
	}
	return out
}

// ErrFull means that the server has no room left.
var ErrFull = errors.New("the farm's store is full: give it more room (tokentest farm serve --size, or --team for " +
	"that of a team), or wait until old blobs expire")

// The codes of JetStream's errors for a store without room: the account's limit, insufficient resources, maximum bytes,
// maximum messages.
var fullCodes = map[jetstream.ErrorCode]bool{10002: true, 10023: true, 10047: true, 10077: true}

// full replaces the error of a store without room.
func full(err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && fullCodes[api.ErrorCode] {
		return fmt.Errorf("%w (%s)", ErrFull, api.Description)
	}
	return err
}
