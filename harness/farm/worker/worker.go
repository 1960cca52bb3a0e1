// Package worker takes the parts of runs from a farm, runs each, and stores the answers.
//
// It runs only what a part says as data, with package lab. Start with Worker.
package worker

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"tokentest/harness/farm"
	"tokentest/harness/result"
)

// Worker takes parts and runs them, until its context ends.
type Worker struct {
	Queue *farm.Queue
	Can   farm.Can
	Jobs  int  // parts at a time
	Drain bool // end when no part waits, and none is at a worker
	Host  *result.Host
	Log   func(format string, args ...any)
	// Slots are places for parts that several workers of this host share, one for each farm: each has a turn. nil means
	// that this worker has Jobs of its own.
	Slots chan struct{}
	// Beat is how often the queue hears that a part is worked on; 0 means often enough.
	Beat time.Duration
	// Do runs a part. Its answer has no name and no number yet.
	Do func(ctx context.Context, t *Task) (*farm.Answer, error)

	id     string
	since  time.Time
	mu     sync.Mutex
	doing  []string
	done   int
	failed int
	row    []*farm.Part // that failed here, one after the other
	others string       // the class of another build whose parts wait
}

// Of is such a worker of another farm.
func (w *Worker) Of(q *farm.Queue) *Worker {
	return &Worker{Queue: q, Can: w.Can, Jobs: w.Jobs, Drain: w.Drain, Host: w.Host, Log: w.Log, Slots: w.Slots,
		Beat: w.Beat, Do: w.Do}
}

// Task is a part that the worker runs.
type Task struct {
	*farm.Part
	Queue *farm.Queue
	Tell  func(farm.Live)
}

// The errors of Do that say what becomes of the part.
var (
	// ErrHost means that this host failed, and another one may not.
	ErrHost = errors.New("this host failed")
	// ErrSick means that this host fails where others succeed.
	ErrSick = errors.New("this host fails where others succeed: fix it (tokentest doctor), then start the worker again")
)

const (
	lookAgain   = time.Second      // without a part
	backDelay   = 2 * time.Second  // before a part that was given back is offered
	storeWithin = 10 * time.Minute // an answer, while the server is away or full
	maxInRow    = 3                // parts that failed here, before the worker asks whether others succeed
)

// Run takes parts until ctx ends, or with Drain until none waits. It returns unfinished parts to the queue.
func (w *Worker) Run(ctx context.Context) error {
	b := make([]byte, 4)
	rand.Read(b)
	w.id, w.since = hex.EncodeToString(b), time.Now().UTC()
	stop, err := w.Queue.AnswerWho(w.info)
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var lanes sync.WaitGroup
	for range max(1, w.Jobs) {
		lanes.Go(func() {
			if err := w.lane(ctx); err != nil {
				cancel(err)
			}
		})
	}
	lanes.Wait()
	if err := context.Cause(ctx); errors.Is(err, ErrSick) {
		return err
	}
	return nil
}

// info is what the worker says about itself.
func (w *Worker) info() farm.WorkerInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	return farm.WorkerInfo{Can: w.Can, ID: w.id, Host: w.Host.Name, PID: os.Getpid(), Jobs: max(1, w.Jobs),
		Doing: slices.Clone(w.doing), Done: w.done, Failed: w.failed, Since: w.since}
}

// lane takes one part after the other.
func (w *Worker) lane(ctx context.Context) error {
	for ctx.Err() == nil {
		if ended, err := w.turn(ctx); ended || err != nil {
			return err
		}
	}
	return nil
}

// turn takes one part, if there is one, and does it. It reports whether none will come.
func (w *Worker) turn(ctx context.Context) (ended bool, err error) {
	if w.Slots != nil {
		select {
		case w.Slots <- struct{}{}:
		case <-ctx.Done():
			return true, nil
		}
		defer func() { <-w.Slots }()
	}
	t, err := w.take(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		w.Log("take a part: %v", err)
		wait(ctx, lookAgain)
	case t != nil:
		return false, w.one(ctx, t)
	case w.Drain && w.drained(ctx):
		return true, nil
	}
	return false, nil
}

// patience is how long the worker waits for a part, in which other farms of its host have no turn.
func (w *Worker) patience() time.Duration {
	if w.Slots != nil {
		return lookAgain / 5
	}
	return lookAgain
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// drained reports whether no part that the worker can take waits, or is at a worker: one that is lost comes back.
func (w *Worker) drained(ctx context.Context) bool {
	classes, err := w.Queue.Classes(ctx)
	return err == nil && !slices.ContainsFunc(classes, func(c farm.ClassInfo) bool {
		return w.Can.Take(c.Class) && c.Waiting+c.Taken > 0
	})
}

// take asks the classes that the worker can do, the full ones first.
func (w *Worker) take(ctx context.Context) (*farm.Taken, error) {
	classes, err := w.Queue.Classes(ctx)
	if err != nil {
		return nil, err
	}
	var mine []farm.ClassInfo
	for _, c := range classes {
		if w.Can.Take(c.Class) {
			mine = append(mine, c)
		} else {
			w.noteOther(c)
		}
	}
	if len(mine) == 0 {
		wait(ctx, w.patience())
		return nil, nil
	}
	slices.SortStableFunc(mine, func(a, b farm.ClassInfo) int { return b.Waiting - a.Waiting })
	for _, c := range mine {
		if t, err := w.Queue.Take(ctx, c.Class, w.patience()); t != nil || err != nil {
			return t, err
		}
	}
	return nil, nil
}

// noteOther says once that parts of another build wait, which this one refuses.
func (w *Worker) noteOther(c farm.ClassInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.Build == w.Can.Build || c.Waiting == 0 || w.others == c.Name {
		return
	}
	w.others = c.Name
	w.Log("parts of another build of tokentest (%s) wait; this worker is of %s, and refuses them: start a worker of that "+
		"build", c.Build, w.Can.Build)
}

// one does a part. Only a sick host is an error.
func (w *Worker) one(ctx context.Context, t *farm.Taken) error {
	p := t.Part
	name := fmt.Sprintf("%s.%d", p.Job, p.N)
	if !w.Can.Take(p.Class) { // the class is in the part as well as in the name of the queue
		w.Log("part %s is for another worker: %s", name, p.Class)
		t.Back(backDelay)
		return nil
	}
	w.begin(name)
	defer w.end(name)
	beat := w.beat(ctx, t)
	defer beat()
	wanted, err := w.wanted(ctx, t)
	if err != nil || !wanted {
		if err != nil {
			w.Log("part %s: %v", name, err)
			t.Back(backDelay)
		}
		return nil
	}
	if err := w.event(ctx, p, farm.Started, nil); err != nil {
		w.Log("part %s: %v", name, err)
		t.Back(backDelay)
		return nil
	}
	doing, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	unlisten, err := w.Queue.OnStop(p.Job, func() { stop(errCanceled) })
	if err != nil {
		return nil
	}
	defer unlisten()
	w.Log("part %s: %s", name, about(p))
	a, err := w.Do(doing, &Task{p, w.Queue, func(l farm.Live) {
		l.N, l.Worker, l.Host = p.N, w.id, w.Host.Name
		w.Queue.Tell(p.Job, l) // for people
	}})
	return w.conclude(ctx, doing, t, a, err)
}

// about says what a part is.
func about(p *farm.Part) string {
	switch {
	case p.Order != "":
		return "the build of a kernel"
	case p.Mutants != "":
		return fmt.Sprintf("%s, changes %d to %d", p.Kernel.Ref, p.From+1, p.To)
	}
	return fmt.Sprintf("%s, cases %d to %d", p.Kernel.Ref, p.From+1, p.To)
}

var errCanceled = errors.New("the job was canceled")

// begin, end and beat keep what the worker does.
func (w *Worker) begin(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doing = append(w.doing, name)
}

func (w *Worker) end(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doing = slices.DeleteFunc(w.doing, func(n string) bool { return n == name })
}

// beat tells the queue that the part is worked on, until stop is called.
func (w *Worker) beat(ctx context.Context, t *farm.Taken) (stop func()) {
	ctx, stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		for {
			if wait(ctx, cmp.Or(w.Beat, farm.AckWait/6)); ctx.Err() != nil {
				return
			}
			t.Beat() // if that fails, the part is offered to others
		}
	}()
	return stop
}

// wanted reports whether the part is to be done. A part that has an answer, or whose job was canceled, leaves the
// queue. One that ended too many workers is given up.
func (w *Worker) wanted(ctx context.Context, t *farm.Taken) (bool, error) {
	p := t.Part
	job, err := w.Queue.Job(ctx, p.Job)
	if err != nil {
		return false, err
	}
	if job != nil && job.State == farm.Canceled {
		return false, t.Done(ctx)
	}
	if !t.Again() {
		return true, nil
	}
	if a, err := w.Queue.Answer(ctx, p.Job, p.N); err != nil || a != nil {
		if a != nil {
			err = t.Done(ctx)
		}
		return false, err
	}
	tries, err := w.Queue.Tries(ctx, p.Job, p.N)
	if err != nil || tries < farm.MostTries {
		return err == nil, err
	}
	return false, w.giveUp(ctx, t, tries)
}

// giveUp answers that a part has no result, and who tried it.
func (w *Worker) giveUp(ctx context.Context, t *farm.Taken, tries int) error {
	p := t.Part
	events, _, err := w.Queue.Events(ctx, fmt.Sprintf("%s.%d", p.Job, p.N), 0)
	if err != nil {
		return err
	}
	a := &farm.Answer{Job: p.Job, N: p.N, Kernel: p.Kernel.Digest, Image: p.Image.Digest, Worker: w.id, Host: w.Host,
		GivenUp: fmt.Sprintf("given up after %d tries: the workers ended before they answered", tries)}
	for _, e := range events {
		if e.Kind == farm.Failed {
			a.GivenUp = fmt.Sprintf("given up after %d tries: %s", tries, e.Why)
		}
		if e.Kind == farm.Started && !slices.Contains(a.Hosts, e.Host) {
			a.Hosts = append(a.Hosts, e.Host)
		}
	}
	w.Log("part %s.%d: %s", p.Job, p.N, a.GivenUp)
	if _, err := w.Queue.PutAnswer(ctx, a); err != nil {
		return err
	}
	return t.Done(ctx)
}

// event stores what happened to a part.
func (w *Worker) event(ctx context.Context, p *farm.Part, kind farm.EventKind, why error) error {
	e := &farm.Event{Kind: kind, Job: p.Job, N: p.N, Host: w.Host.Name, Worker: w.id}
	if why != nil {
		e.Why = why.Error()
	}
	var damaged *farm.DamagedError
	if errors.As(why, &damaged) {
		e.Blob = damaged.Digest
	}
	return w.Queue.AddEvent(ctx, e)
}

// conclude stores the answer, or gives the part back. ctx is that of the worker, doing that of the part.
func (w *Worker) conclude(ctx, doing context.Context, t *farm.Taken, a *farm.Answer, err error) error {
	p := t.Part
	after, stop := context.WithTimeout(context.WithoutCancel(ctx), storeWithin)
	defer stop()
	var damaged *farm.DamagedError
	switch {
	case errors.Is(context.Cause(doing), errCanceled):
		w.Log("part %s.%d: its job was canceled", p.Job, p.N)
		t.Done(after)
		return nil
	case ctx.Err() != nil: // this worker is to stop
		w.back(after, t, 0, farm.Returned, nil)
		return nil
	case errors.As(err, &damaged):
		w.Log("part %s.%d: %v", p.Job, p.N, err)
		w.event(after, p, farm.Damaged, err) // the client then stores the blob again
		w.back(after, t, backDelay, farm.Returned, err)
		return nil
	case err != nil:
		w.Log("part %s.%d: %v", p.Job, p.N, err)
		w.back(after, t, backDelay, farm.Failed, err)
		return w.healthy(after, p)
	}
	a.Job, a.N, a.Worker, a.Host = p.Job, p.N, w.id, w.Host
	a.Kernel, a.Image = p.Kernel.Digest, p.Image.Digest
	if err := w.store(after, a); err != nil {
		w.Log("part %s.%d: store the answer: %v", p.Job, p.N, err)
		w.back(after, t, backDelay, farm.Returned, err)
		return nil
	}
	w.mu.Lock()
	w.done, w.row = w.done+1, nil
	w.mu.Unlock()
	t.Done(after) // if that fails, the next worker finds the answer
	return nil
}

// back gives a part back. The event is stored first, so that the count of tries is right for who takes it next.
func (w *Worker) back(ctx context.Context, t *farm.Taken, delay time.Duration, kind farm.EventKind, why error) {
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	if err := w.event(ctx, t.Part, kind, why); err != nil {
		w.Log("part %s.%d: %v", t.Part.Job, t.Part.N, err)
	}
	if err := t.Back(delay); err != nil {
		w.Log("part %s.%d: give it back: %v", t.Part.Job, t.Part.N, err)
	}
}

// store stores an answer, and tries again while the server is away. If there is another answer, that one counts; a
// difference between them is kept.
func (w *Worker) store(ctx context.Context, a *farm.Answer) error {
	for {
		earlier, err := w.Queue.PutAnswer(ctx, a)
		if err == nil && earlier != nil {
			w.Log("part %s.%d has an answer already, from %s", a.Job, a.N, host(earlier))
			if earlier.Decided != "" && earlier.Decided != a.Decided {
				err = w.Queue.PutFlaky(ctx, a)
			}
		}
		if err == nil || ctx.Err() != nil || errors.Is(err, farm.ErrFull) {
			return err
		}
		wait(ctx, lookAgain)
	}
}

func host(a *farm.Answer) string {
	if a.Host == nil {
		return "a worker"
	}
	return a.Host.Name
}

// healthy counts a part that failed here, and returns ErrSick if several in a row did that others did well.
func (w *Worker) healthy(ctx context.Context, p *farm.Part) error {
	w.mu.Lock()
	w.failed++
	w.row = append(w.row, p)
	row := slices.Clone(w.row)
	w.mu.Unlock()
	if len(row) < maxInRow {
		return nil
	}
	for _, p := range row {
		answered, err := w.Queue.Answered(ctx, p.Job)
		if err != nil {
			return nil
		}
		for n := range answered {
			if a, err := w.Queue.Answer(ctx, p.Job, n); err == nil && a != nil && a.GivenUp == "" && a.Worker != w.id {
				return ErrSick
			}
		}
	}
	return nil
}
