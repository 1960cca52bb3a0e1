package farm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxBlob is the largest blob: kernels have up to 60 MB, the archives of parts much less.
const maxBlob = 512 << 20

// blobTimeout is how long one blob may take.
const blobTimeout = 10 * time.Minute

// putTimeout is how long the first try to store a blob of so many bytes may take. What the server had not confirmed
// when it ended is never confirmed, and the library then waits as long as it may.
func putTimeout(size int64) time.Duration {
	const bytesPerSecond = 1 << 20
	return callTimeout + time.Duration(size)*time.Second/bytesPerSecond
}

// stall is how long a blob that is fetched may bring no further byte. A chunk that the server has lost, or finds
// damaged, never comes.
const stall = 10 * time.Second

// sliding is a context whose deadline is always the same time away: the library sets it anew for each read.
type sliding struct{ context.Context }

// Deadline returns when the next read must have brought something.
func (s sliding) Deadline() (time.Time, bool) { return time.Now().Add(stall), true }

// DamagedError means that a blob is missing, or is not what its digest says.
type DamagedError struct {
	Digest string
	Err    error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the blob %s is damaged: %v", e.Digest, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// PutFile stores a file, unless the farm has its bytes already. With again it stores them in any case.
func (q *Queue) PutFile(ctx context.Context, digest, path string, again bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	return q.put(ctx, digest, f, stat.Size(), again)
}

// PutBytes stores bytes, unless the farm has them, and returns their digest.
func (q *Queue) PutBytes(ctx context.Context, text []byte, again bool) (digest string, err error) {
	sum := sha256.Sum256(text)
	digest = hex.EncodeToString(sum[:])
	return digest, q.put(ctx, digest, bytes.NewReader(text), int64(len(text)), again)
}

func (q *Queue) put(ctx context.Context, digest string, r io.ReadSeeker, size int64, again bool) error {
	if size > maxBlob {
		return fmt.Errorf("store %s in the farm: it has %d bytes, and a blob has at most %d", digest, size, int64(maxBlob))
	}
	ctx, stop := context.WithTimeout(ctx, blobTimeout)
	defer stop()
	if !again && q.stored(ctx, digest, size) {
		return nil
	}
	for limit := putTimeout(size); ; limit *= 2 { // a slow network gets more time
		err := q.putOnce(ctx, digest, r, limit)
		if err == nil || ctx.Err() != nil || !serverGone(err) {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return fmt.Errorf("store %s in the farm: %w", digest, err)
		}
	}
}

// stored reports whether the farm has a blob. A server that does not answer has none.
func (q *Queue) stored(ctx context.Context, digest string, size int64) bool {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	info, err := q.blobs.GetInfo(ctx, digest)
	return err == nil && info.Size == uint64(size)
}

// serverGone reports whether the server may answer later what it did not answer now.
func serverGone(err error) bool {
	for _, e := range []error{nats.ErrTimeout, context.DeadlineExceeded, nats.ErrDisconnected, nats.ErrNoResponders,
		jetstream.ErrNoStreamResponse} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (q *Queue) putOnce(ctx context.Context, digest string, r io.ReadSeeker, limit time.Duration) error {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := q.blobs.Put(ctx, jetstream.ObjectMeta{Name: digest}, io.TeeReader(r, h)); err != nil {
		if !serverGone(err) {
			q.blobs.Delete(ctx, digest) // what is there may have lost chunks, and then looks whole
		}
		return fmt.Errorf("store %s in the farm: %w", digest, full(err))
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != digest {
		return fmt.Errorf("store %s in the farm: the file changed while it was read", digest)
	}
	return nil
}

// Drop removes a blob that nobody needs any more.
func (q *Queue) Drop(ctx context.Context, digest string) error {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	if err := q.blobs.Delete(ctx, digest); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("remove %s from the farm: %w", digest, err)
	}
	return nil
}

// GetFile writes a blob into a file, and verifies it. A blob that is damaged is fetched once more.
func (q *Queue) GetFile(ctx context.Context, digest, path string) error {
	err := q.get(ctx, digest, path)
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		err = q.get(ctx, digest, path)
	}
	return err
}

// GetBytes returns a blob, verified.
func (q *Queue) GetBytes(ctx context.Context, digest string) ([]byte, error) {
	f, err := os.CreateTemp("", "tokentest-blob-*")
	if err != nil {
		return nil, err
	}
	f.Close()
	defer os.Remove(f.Name())
	if err := q.GetFile(ctx, digest, f.Name()); err != nil {
		return nil, err
	}
	return os.ReadFile(f.Name())
}

func (q *Queue) get(ctx context.Context, digest, path string) error {
	ctx, stop := context.WithTimeout(ctx, blobTimeout)
	defer stop()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// The library asks what the blob is, without a deadline of its own: a server that is killed with the question never
	// answers it.
	read, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	late := time.AfterFunc(callTimeout, func() { giveUp(context.DeadlineExceeded) })
	r, err := q.blobs.Get(sliding{read}, digest)
	if late.Stop(); err != nil && read.Err() != nil {
		err = context.Cause(read)
	}
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return &DamagedError{digest, err}
	}
	if err != nil {
		return fmt.Errorf("fetch %s from the farm: %w", digest, err)
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, maxBlob+1))
	switch got := hex.EncodeToString(h.Sum(nil)); {
	case errors.Is(err, jetstream.ErrDigestMismatch):
		return &DamagedError{digest, err}
	case err != nil && ctx.Err() == nil && q.nc.IsConnected():
		return &DamagedError{digest, fmt.Errorf("after %d bytes: %w", n, err)}
	case err != nil:
		return fmt.Errorf("fetch %s from the farm: %w", digest, err)
	case n > maxBlob:
		return &DamagedError{digest, fmt.Errorf("it has more than %d bytes", int64(maxBlob))}
	case got != digest:
		return &DamagedError{digest, fmt.Errorf("its digest is %s", got)}
	}
	return f.Close()
}

// PutNote stores a value under a name. Notes say which blobs are what, and are never needed: who finds none makes the
// blob anew.
func (q *Queue) PutNote(ctx context.Context, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	_, err = q.blobs.PutBytes(ctx, name, text)
	return full(err)
}

// Note reads the value under a name.
func (q *Queue) Note(ctx context.Context, name string, to any) (found bool, err error) {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	text, err := q.blobs.GetBytes(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return false, nil
	}
	if err == nil {
		err = decode(text, to)
	}
	if err != nil {
		return false, fmt.Errorf("read %s of the farm: %w", name, err)
	}
	return true, nil
}

// Has reports whether the farm has a blob. A server that does not answer has none.
func (q *Queue) Has(ctx context.Context, digest string) bool {
	ctx, stop := context.WithTimeout(ctx, callTimeout)
	defer stop()
	_, err := q.blobs.GetInfo(ctx, digest)
	return err == nil
}

// KernelNote names the note with the outcome of the build with a key.
func KernelNote(key string) string { return "kernel." + key }

// SourceNote names the note with the bundle of a whole source.
func SourceNote(commit string) string { return "source." + commit }
