package farm

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Status is how a farm stands.
type Status struct {
	Workers []WorkerInfo   `json:"workers"`
	Queue   []ClassInfo    `json:"queue"`
	Oldest  time.Time      `json:"oldest,omitzero"` // when the oldest part that waits was queued
	Jobs    []JobStatus    `json:"jobs"`
	Failed  map[string]int `json:"failed,omitempty"` // how often each host failed
	Last    []Event        `json:"last,omitempty"`   // the last failures
	// Leader is the server of a cluster that leads the queue, and Followers are the others that keep it; "" is one server.
	Leader    string   `json:"leader,omitempty"`
	Followers []string `json:"followers,omitempty"`
}

// JobStatus is how a job stands.
type JobStatus struct {
	Job
	Answered int `json:"answered"`
	GivenUp  int `json:"given_up,omitempty"`
	Flaky    int `json:"flaky,omitempty"`
}

const (
	waitForWorkers = 700 * time.Millisecond
	mostFailures   = 5
	mostEnded      = 5 // jobs that ended
)

// Status asks how the farm stands.
func (q *Queue) Status(ctx context.Context) (*Status, error) {
	s := &Status{Failed: map[string]int{}}
	var err error
	if s.Workers, err = q.Workers(ctx, waitForWorkers); err != nil {
		return nil, err
	}
	classes, err := q.Classes(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range classes {
		if c.Waiting+c.Taken > 0 {
			s.Queue = append(s.Queue, c)
		}
	}
	if err := q.servers(ctx, s); err != nil {
		return nil, err
	}
	if err := q.jobs(ctx, s); err != nil {
		return nil, err
	}
	events, _, err := q.Events(ctx, "*", 0)
	for _, e := range events {
		if e.Kind == Failed {
			s.Failed[e.Host]++
			s.Last = append(s.Last, e)
		}
	}
	s.Last = s.Last[max(0, len(s.Last)-mostFailures):]
	return s, err
}

// servers adds since when the oldest part waits, and the servers of a cluster.
func (q *Queue) servers(ctx context.Context, s *Status) error {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	info, err := q.work.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask the farm for its queue: %w", err)
	}
	if info.State.Msgs > 0 {
		s.Oldest = info.State.FirstTime
	}
	if c := info.Cluster; c != nil && len(c.Replicas) > 0 {
		s.Leader = c.Leader
		for _, r := range c.Replicas {
			if name := r.Name; r.Offline || !r.Current {
				s.Followers = append(s.Followers, name+" (behind)")
			} else {
				s.Followers = append(s.Followers, name)
			}
		}
	}
	return nil
}

// jobs adds the jobs that are wanted, and the last that ended.
func (q *Queue) jobs(ctx context.Context, s *Status) error {
	jobs, err := q.Jobs(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(jobs, func(a, b Job) int { return a.Start.Compare(b.Start) })
	ended := 0
	for _, j := range slices.Backward(jobs) {
		if j.State != Wanted {
			if ended++; ended > mostEnded {
				continue
			}
		}
		answered, err := q.Answered(ctx, j.ID)
		if err != nil {
			return err
		}
		flaky, err := q.FlakyParts(ctx, j.ID)
		if err != nil {
			return err
		}
		one := JobStatus{Job: j, Answered: len(answered), Flaky: len(flaky)}
		for n := range answered {
			if a, err := q.Answer(ctx, j.ID, n); err == nil && a != nil && a.GivenUp != "" {
				one.GivenUp++
			}
		}
		s.Jobs = append(s.Jobs, one)
	}
	slices.Reverse(s.Jobs)
	return nil
}

// Write prints the status for people.
func (s *Status) Write(w io.Writer, now time.Time) error {
	p := &printer{w: w}
	p.line("%d workers", len(s.Workers))
	for _, i := range s.Workers {
		builds := ""
		if i.Tools != "" {
			builds = ", builds kernels"
		}
		p.line("  %s pid %d: %d of %d busy, %d done, %d failed, build %s%s", i.Host, i.PID, len(i.Doing), i.Jobs, i.Done,
			i.Failed, i.Build, builds)
	}
	waiting := 0
	for _, c := range s.Queue {
		waiting += c.Waiting
	}
	if p.line("%d parts wait", waiting); !s.Oldest.IsZero() {
		p.line("  the oldest was queued %s ago", now.Sub(s.Oldest).Round(time.Second))
	}
	for _, c := range s.Queue {
		p.line("  %s: %d wait, %d at workers", c.Name, c.Waiting, c.Taken)
	}
	if s.Leader != "" {
		p.line("server %s leads the queue; others are %s", s.Leader, strings.Join(s.Followers, ", "))
	}
	p.line("%d jobs", len(s.Jobs))
	for _, j := range s.Jobs {
		p.line("  %s of %s, %s: %d of %d parts answered, %d given up, %d flaky", j.ID, j.Host, j.State, j.Answered, j.Parts,
			j.GivenUp, j.Flaky)
	}
	for _, host := range slices.Sorted(maps.Keys(s.Failed)) {
		p.line("host %s failed %d times", host, s.Failed[host])
	}
	for _, e := range s.Last {
		p.line("  %s %s part %d: %s", e.At.Format(time.DateTime), e.Host, e.N, e.Why)
	}
	return p.err
}

// printer writes lines, and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
