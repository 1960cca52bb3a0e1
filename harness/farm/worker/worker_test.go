package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tokentest/harness/farm"
	"tokentest/harness/farm/server"
	"tokentest/harness/kernel"
	"tokentest/harness/result"
)

// The variables that make this test's program a worker or a server. A worker's parts are stubs: they take so long, and
// the part with the number in poisonVar ends the worker.
const (
	workerVar = "FARM_TEST_WORKER" // how long a part takes
	poisonVar = "FARM_TEST_POISON"
	answerVar = "FARM_TEST_ANSWER" // what the worker decides
	serverVar = "FARM_TEST_SERVER" // LISTEN DIR
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(workerVar) != "":
		os.Exit(stubWorker())
	case os.Getenv(serverVar) != "":
		os.Exit(stubServer())
	}
	os.Exit(m.Run())
}

const testBuild = "0123456789abcdef"

var testCan = farm.Can{Build: testBuild, Arch: farm.Arch, TCG: true, MiB: 4096}

// stubWorker works until it is killed.
func stubWorker() int {
	took, _ := time.ParseDuration(os.Getenv(workerVar))
	u, err := farm.ParseURL("")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx := context.Background()
	q, err := farm.Open(ctx, u, farm.Options{Forever: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	name := fmt.Sprintf("host%d", os.Getpid())
	w := &Worker{Queue: q, Can: testCan, Host: &result.Host{Name: name}, Beat: 200 * time.Millisecond,
		Log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, name+" "+format+"\n", args...) },
		Do: func(ctx context.Context, t *Task) (*farm.Answer, error) {
			if os.Getenv(poisonVar) == strconv.Itoa(t.N) {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			wait(ctx, took)
			run, err := q.PutBytes(ctx, fmt.Appendf(nil, "%s %d", t.Job, t.N), false)
			return &farm.Answer{Run: run, Decided: os.Getenv(answerVar)}, errors.Join(err, ctx.Err())
		}}
	if err := w.Run(ctx); err != nil {
		return 1
	}
	return 0
}

func stubServer() int {
	listen, dir, _ := strings.Cut(os.Getenv(serverVar), " ")
	s, err := server.Start(server.Options{Listen: listen, Store: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	fmt.Println(s.URL)
	select {}
}

// spawn starts this program as something else; it is killed when the test ends.
func spawn(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), env...)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(c) })
	return c
}

func kill(c *exec.Cmd) {
	c.Process.Kill()
	c.Wait()
}

const testAckWait = 2 * time.Second

// begin starts a server in this process and connects to it.
func begin(t *testing.T) (*farm.Queue, string) {
	t.Helper()
	s, err := server.Start(server.Options{Listen: "127.0.0.1:0", Store: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return open(t, s.URL), farm.Variable + "=" + s.URL.String()
}

func open(t *testing.T, u *farm.URL) *farm.Queue {
	t.Helper()
	q, err := farm.Open(t.Context(), u, farm.Options{AckWait: testAckWait})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

// digest is one that a part can have.
var digest = strings.Repeat("ab", 32)

func testParts(n int) []*farm.Part {
	var out []*farm.Part
	for i := range n {
		out = append(out, &farm.Part{Job: "job", N: i, Build: testBuild, Kernel: kernel.Portable{Ref: "k", Digest: digest,
			Format: kernel.BzImage}, Image: farm.Image{Name: "i", Digest: digest}, Cases: digest, To: 1, Settings: digest,
			Class: farm.NewClass(testBuild, "auto", 500)})
	}
	return out
}

// parts is how many parts a test has: many if scripts/farm-faults.sh asks for it.
func parts(few int) int {
	if n, err := strconv.Atoi(os.Getenv("FARM_TEST_PARTS")); err == nil {
		return n
	}
	return few
}

// awaitAnswers waits until so many parts have answers.
func awaitAnswers(t *testing.T, q *farm.Queue, want int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if n := answers(q); n >= want {
			return
		}
	}
	t.Fatalf("%d answers, want %d", answers(q), want)
}

func answers(q *farm.Queue) int {
	have, _ := q.Answered(context.Background(), "job") // an error is a server that is not there
	return len(have)
}

// Of four workers two are killed: each part has one answer.
func TestWorkersAreKilled(t *testing.T) {
	q, url := begin(t)
	n := parts(60)
	var workers []*exec.Cmd
	for range 4 {
		workers = append(workers, spawn(t, url, workerVar+"=10ms"))
	}
	if err := q.Offer(t.Context(), testParts(n)); err != nil {
		t.Fatal(err)
	}
	if err := q.Offer(t.Context(), testParts(n)); err != nil { // a second time: they are queued once
		t.Fatal(err)
	}
	awaitAnswers(t, q, n/4)
	kill(workers[0])
	kill(workers[1])
	awaitAnswers(t, q, n)
	if got := answers(q); got != n {
		t.Errorf("%d answers, want %d", got, n)
	}
	for i := range n {
		if a, err := q.Answer(t.Context(), "job", i); err != nil || a == nil || a.N != i || a.GivenUp != "" {
			t.Errorf("part %d: %v, %v", i, a, err)
		}
	}
}

// A worker that was stopped for too long answers when another has answered: its answer is refused. It differs, so the
// kernel is flaky.
func TestLateAnswerIsRefused(t *testing.T) {
	q, url := begin(t)
	slow := spawn(t, url, workerVar+"=3s", answerVar+"=late")
	if err := q.Offer(t.Context(), testParts(1)); err != nil {
		t.Fatal(err)
	}
	awaitEvent(t, q, farm.Started)
	slow.Process.Signal(syscall.SIGSTOP)
	spawn(t, url, workerVar+"=1ms", answerVar+"=first")
	awaitAnswers(t, q, 1)
	slow.Process.Signal(syscall.SIGCONT)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if parts, err := q.FlakyParts(t.Context(), "job"); err == nil && len(parts) == 1 {
			break
		}
	}
	first, err := q.Answer(t.Context(), "job", 0)
	late, err2 := q.Flaky(t.Context(), "job", 0)
	if err != nil || err2 != nil || first == nil || late == nil || first.Decided != "first" || late.Decided != "late" {
		t.Errorf("got %v and %v, %v, %v", first, late, err, err2)
	}
}

// awaitEvent waits until something of that kind has happened.
func awaitEvent(t *testing.T, q *farm.Queue, kind farm.EventKind) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		events, _, _ := q.Events(t.Context(), "job", 0)
		for _, e := range events {
			if e.Kind == kind {
				return
			}
		}
	}
	t.Fatalf("nothing was %s", kind)
}

// A part that ends each worker is given up, and its hosts are named.
func TestPoisonIsGivenUp(t *testing.T) {
	q, url := begin(t)
	if err := q.Offer(t.Context(), testParts(2)); err != nil {
		t.Fatal(err)
	}
	var respawned atomic.Int32
	for range farm.MostTries + 1 {
		spawn(t, url, workerVar+"=1ms", poisonVar+"=0")
		respawned.Add(1)
	}
	awaitAnswers(t, q, 2)
	a, err := q.Answer(t.Context(), "job", 0)
	if err != nil || a == nil || a.GivenUp == "" || len(a.Hosts) != farm.MostTries {
		t.Errorf("got %+v, %v; want it given up by %d hosts", a, err, farm.MostTries)
	}
	if b, err := q.Answer(t.Context(), "job", 1); err != nil || b == nil || b.GivenUp != "" {
		t.Errorf("the other part: %+v, %v", b, err)
	}
}

// serve starts a server in a process of its own, on what it kept in dir.
func serve(t *testing.T, listen, dir string) (*exec.Cmd, *farm.URL) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), serverVar+"="+listen+" "+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(c) })
	var line string
	if _, err := fmt.Fscanln(out, &line); err != nil {
		t.Fatal(err)
	}
	u, err := farm.ParseURL(line)
	if err != nil {
		t.Fatal(err)
	}
	return c, u
}

// The server is killed and started again on what it kept: each part has one answer.
func TestServerIsKilled(t *testing.T) {
	dir := t.TempDir()
	c, u := serve(t, "127.0.0.1:0", dir)
	q := open(t, u)
	n := parts(60)
	for range 2 {
		spawn(t, farm.Variable+"="+u.String(), workerVar+"=20ms")
	}
	if err := q.Offer(t.Context(), testParts(n)); err != nil {
		t.Fatal(err)
	}
	awaitAnswers(t, q, n/4)
	kill(c)
	serve(t, u.Hosts[0], dir)
	awaitAnswers(t, q, n)
	if got := answers(q); got != n {
		t.Errorf("%d answers, want %d", got, n)
	}
}

// askKilled has a function ask the server of a queue, kills the server before it answers, starts another, and returns
// the function's error.
func askKilled(t *testing.T, c *exec.Cmd, u *farm.URL, dir string, ask func() error) error {
	t.Helper()
	c.Process.Signal(syscall.SIGSTOP)
	ended := make(chan error, 1)
	go func() { ended <- ask() }()
	time.Sleep(time.Second) // the question has arrived
	kill(c)
	serve(t, u.Hosts[0], dir)
	select {
	case err := <-ended:
		return err
	case <-time.After(time.Minute):
		t.Fatal("no answer, and no error, after a minute")
		return nil
	}
}

var blob = []byte(strings.Repeat("0123456789abcdef", 1<<16))

// A blob is stored although the server ends before it answers: the question is asked again.
func TestBlobWhileServerIsKilled(t *testing.T) {
	dir := t.TempDir()
	c, u := serve(t, "127.0.0.1:0", dir)
	q := open(t, u)
	var digest string
	if err := askKilled(t, c, u, dir, func() (err error) {
		digest, err = q.PutBytes(t.Context(), blob, false)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := q.GetBytes(t.Context(), digest); err != nil || string(got) != string(blob) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// A server that is killed with the question what a blob is never answers it. The client gets an error before long, and
// the blob from the next server.
func TestFetchWhileServerIsKilled(t *testing.T) {
	dir := t.TempDir()
	c, u := serve(t, "127.0.0.1:0", dir)
	q := open(t, u)
	digest, err := q.PutBytes(t.Context(), blob, false)
	if err != nil {
		t.Fatal(err)
	}
	err = askKilled(t, c, u, dir, func() error {
		_, err := q.GetBytes(t.Context(), digest)
		return err
	})
	var damaged *farm.DamagedError
	if errors.As(err, &damaged) {
		t.Fatalf("a server that is gone makes the blob damaged: %v", err)
	}
	if got, err := q.GetBytes(t.Context(), digest); err != nil || string(got) != string(blob) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// Parts that are queued and canceled leave the queue, and no worker does them.
func TestCancel(t *testing.T) {
	q, url := begin(t)
	n := parts(200)
	if err := q.SetJob(t.Context(), &farm.Job{ID: "job", Parts: n, State: farm.Wanted}); err != nil {
		t.Fatal(err)
	}
	if err := q.Offer(t.Context(), testParts(n)); err != nil {
		t.Fatal(err)
	}
	if queued, err := q.Queued(t.Context(), "job"); err != nil || len(queued) != n {
		t.Fatalf("%d parts queued, %v; want %d", len(queued), err, n)
	}
	if err := q.Cancel(t.Context(), &farm.Job{ID: "job", Parts: n}); err != nil {
		t.Fatal(err)
	}
	if queued, err := q.Queued(t.Context(), "job"); err != nil || len(queued) != 0 {
		t.Errorf("%d parts queued, %v; want none", len(queued), err)
	}
	again := testParts(1)
	again[0].Attempt = 1 // one that was offered in the same moment
	if err := q.Offer(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	spawn(t, url, workerVar+"=1ms")
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if queued, err := q.Queued(t.Context(), "job"); err == nil && len(queued) == 0 {
			break
		}
	}
	if queued, err := q.Queued(t.Context(), "job"); err != nil || len(queued) != 0 || answers(q) != 0 {
		t.Errorf("%d parts queued, %d answers, %v; want none", len(queued), answers(q), err)
	}
}

// A host that fails gives its part to another one, and stops where others succeed.
func TestSickHostStops(t *testing.T) {
	q, url := begin(t)
	sick := &Worker{Queue: q, Can: testCan, Host: &result.Host{Name: "sick"}, Log: t.Logf,
		Do: func(context.Context, *Task) (*farm.Answer, error) { return nil, fmt.Errorf("%w: no QEMU", ErrHost) }}
	if err := q.Offer(t.Context(), testParts(12)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sick.Run(t.Context()) }()
	awaitEvent(t, q, farm.Failed)
	spawn(t, url, workerVar+"=500ms")
	select {
	case err := <-ended:
		if !errors.Is(err, ErrSick) {
			t.Errorf("got %v, want %v", err, ErrSick)
		}
	case <-time.After(time.Minute):
		t.Error("the sick worker did not stop")
	}
	awaitAnswers(t, q, 12)
	s, err := q.Status(t.Context())
	if err != nil || s.Failed["sick"] < maxInRow {
		t.Errorf("status: %+v, %v", s, err)
	}
}

// A worker of another build takes no part.
func TestOtherBuildIsRefused(t *testing.T) {
	q, _ := begin(t)
	if err := q.Offer(t.Context(), testParts(1)); err != nil {
		t.Fatal(err)
	}
	other := testCan
	other.Build = "fedcba9876543210"
	w := &Worker{Queue: q, Can: other, Host: &result.Host{Name: "other"}, Log: t.Logf,
		Do: func(context.Context, *Task) (*farm.Answer, error) { t.Error("it took the part"); return nil, ErrHost }}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	if err := w.Run(ctx); err != nil {
		t.Error(err)
	}
	if s, err := q.Status(t.Context()); err != nil || len(s.Queue) != 1 || s.Queue[0].Waiting != 1 || s.Oldest.IsZero() {
		t.Errorf("status: %+v, %v", s, err)
	}
}

// A worker that is to drain the queue stays while another one has a part, which may come back.
func TestDrainWaitsForOthers(t *testing.T) {
	q, url := begin(t)
	lost := spawn(t, url, workerVar+"=1h")
	if err := q.Offer(t.Context(), testParts(1)); err != nil {
		t.Fatal(err)
	}
	awaitEvent(t, q, farm.Started)
	w := &Worker{Queue: q, Can: testCan, Host: &result.Host{Name: "drain"}, Log: t.Logf, Drain: true,
		Do: func(context.Context, *Task) (*farm.Answer, error) { return &farm.Answer{Run: digest}, nil }}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(t.Context()) }()
	select {
	case <-ended:
		t.Fatal("it ended while another worker had a part")
	case <-time.After(3 * time.Second):
	}
	kill(lost)
	select {
	case err := <-ended:
		if err != nil || answers(q) != 1 {
			t.Errorf("%d answers, %v", answers(q), err)
		}
	case <-time.After(time.Minute):
		t.Error("it did not end")
	}
}

// Two farms whose workers share one place of a host have turns.
func TestTurns(t *testing.T) {
	s, err := server.Start(server.Options{Listen: "127.0.0.1:0", Store: t.TempDir(),
		Teams: []server.Team{{Name: "a", Bytes: 1 << 30}, {Name: "b", Bytes: 1 << 30}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	var queues []*farm.Queue
	var order []string
	busy := atomic.Int32{}
	slots := make(chan struct{}, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var workers sync.WaitGroup
	for _, u := range s.URLs {
		q := open(t, u)
		queues = append(queues, q)
		w := &Worker{Can: testCan, Host: &result.Host{Name: "host"}, Log: t.Logf, Slots: slots,
			Do: func(context.Context, *Task) (*farm.Answer, error) {
				if busy.Add(1) > 1 {
					t.Error("two parts at a time")
				}
				order = append(order, u.Team) // one at a time
				time.Sleep(50 * time.Millisecond)
				busy.Add(-1)
				return &farm.Answer{Run: digest}, nil
			}}
		workers.Go(func() { w.Of(q).Run(ctx) })
	}
	for _, q := range queues {
		for deadline := time.Now().Add(time.Minute); ; { // a worker that answers waits for its turn
			if list, err := q.Workers(t.Context(), time.Second); err == nil && len(list) == 1 {
				break
			} else if time.Now().After(deadline) {
				t.Fatal("a worker does not start")
			}
		}
	}
	slots <- struct{}{} // until both have parts
	for _, q := range queues {
		if err := q.Offer(t.Context(), testParts(5)); err != nil {
			t.Fatal(err)
		}
	}
	<-slots
	for _, q := range queues {
		awaitAnswers(t, q, 5)
	}
	stop()
	workers.Wait()
	first := map[string]int{}
	for _, team := range order[:6] {
		first[team]++
	}
	if len(order) != 10 || first["a"] < 2 || first["b"] < 2 {
		t.Errorf("the order is %v", order)
	}
}
