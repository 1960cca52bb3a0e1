package worker

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"tokentest/harness/farm"
	"tokentest/harness/farm/server"
	"tokentest/harness/result"
)

// used is the processor time of this process.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// size is how many bytes the files below a directory have.
func size(b *testing.B, dir string) (n int64) {
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		n += info.Size()
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// crew starts workers with connections of their own, whose parts take no time, and an archive of 90,000 bytes each.
func crew(b *testing.B, n int) (q *farm.Queue, store string, stop func()) {
	store = b.TempDir()
	s, err := server.Start(server.Options{Listen: "127.0.0.1:0", Store: store})
	if err != nil {
		b.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	connect := func() *farm.Queue {
		q, err := farm.Open(ctx, s.URL, farm.Options{})
		if err != nil {
			b.Fatal(err)
		}
		return q
	}
	var workers sync.WaitGroup
	for range n {
		own := connect()
		w := &Worker{Queue: own, Can: testCan, Host: &result.Host{Name: "host"}, Log: func(string, ...any) {},
			Do: func(ctx context.Context, t *Task) (*farm.Answer, error) {
				archive := make([]byte, 90_000)
				rand.NewChaCha8([32]byte{byte(t.N), byte(t.N >> 8)}).Read(archive)
				run, err := own.PutBytes(ctx, archive, false)
				return &farm.Answer{Run: run}, err
			}}
		workers.Go(func() {
			w.Run(ctx)
			own.Close()
		})
	}
	q = connect()
	return q, store, func() {
		end()
		workers.Wait()
		q.Close()
		s.Stop()
	}
}

// BenchmarkParts measures what a part costs the server and its worker, without the machine.
func BenchmarkParts(b *testing.B) {
	q, store, stop := crew(b, 16)
	defer stop()
	before, bytes := used(b), size(b, store)
	b.ResetTimer()
	if err := q.Offer(b.Context(), testParts(b.N)); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "offered/s")
	for {
		if have, err := q.Answered(b.Context(), "job"); err == nil && len(have) == b.N {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "parts/s")
	b.ReportMetric(float64((used(b)-before).Microseconds())/float64(b.N), "cpu-us/part")
	b.ReportMetric(float64(size(b, store)-bytes)/float64(b.N), "bytes/part")
}

// BenchmarkIdle measures what workers without a part cost: the processor time of a second of a worker.
func BenchmarkIdle(b *testing.B) {
	const workers, seconds = 200, 10
	q, _, stop := crew(b, workers)
	defer stop()
	if err := q.Offer(b.Context(), testParts(1)); err != nil { // so that there is a class to ask
		b.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	before := used(b)
	time.Sleep(seconds * time.Second)
	b.ReportMetric(float64((used(b)-before).Microseconds())/(workers*seconds), "cpu-us/worker-s")
}
