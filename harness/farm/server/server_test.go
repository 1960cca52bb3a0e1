package server

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/harness/farm"
)

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Another address than loopback has TLS, and the URL names the certificate. Without the token nobody connects.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Listen: "0.0.0.0:0", Store: dir})
	u := *s.URL
	u.Hosts = []string{strings.Replace(u.Hosts[0], u.Hosts[0][:strings.LastIndex(u.Hosts[0], ":")], "127.0.0.1", 1)}
	if !u.TLS || u.Cert == "" {
		t.Fatalf("%s has no TLS", farm.Redact(u.String()))
	}
	q, err := farm.Open(t.Context(), &u, farm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	q.Close()
	wrong := u
	wrong.Cert = strings.Repeat("ab", 32)
	if _, err := farm.Open(t.Context(), &wrong, farm.Options{}); err == nil || !strings.Contains(err.Error(), "cert=") {
		t.Errorf("another certificate: %v", err)
	}
	wrong = u
	wrong.Token = "x"
	if _, err := farm.Open(t.Context(), &wrong, farm.Options{}); err == nil {
		t.Error("another token is no error")
	}
	for _, name := range []string{tokenFile, keyFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// A store without room says so.
func TestFullStore(t *testing.T) {
	s := start(t, Options{Listen: "127.0.0.1:0", Store: t.TempDir(), Bytes: 4 << 20})
	q, err := farm.Open(t.Context(), s.URL, farm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	random := make([]byte, 8<<20)
	for i := range random {
		random[i] = byte(i * i >> 3)
	}
	if _, err := q.PutBytes(t.Context(), random, false); !errors.Is(err, farm.ErrFull) {
		t.Errorf("got %v, want %v", err, farm.ErrFull)
	}
	if digest, err := q.PutBytes(t.Context(), []byte("small"), false); err != nil {
		t.Errorf("%s: %v", digest, err)
	}
}

// A bit that flips in a stored blob is found; the blob can be stored again.
func TestFlippedBit(t *testing.T) {
	dir := t.TempDir()
	s, err := Start(Options{Listen: "127.0.0.1:0", Store: dir})
	if err != nil {
		t.Fatal(err)
	}
	q, err := farm.Open(t.Context(), s.URL, farm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("a kernel "), 1000)
	digest, err := q.PutBytes(t.Context(), text, false)
	if err != nil {
		t.Fatal(err)
	}
	q.Close()
	s.Stop()
	flip(t, dir)
	s = start(t, Options{Listen: "127.0.0.1:0", Store: dir})
	if q, err = farm.Open(t.Context(), s.URL, farm.Options{}); err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	var damaged *farm.DamagedError
	if got, err := q.GetBytes(t.Context(), digest); !errors.As(err, &damaged) {
		t.Errorf("got %d bytes, %v; want a DamagedError", len(got), err)
	}
	if _, err := q.PutBytes(t.Context(), text, true); err != nil {
		t.Fatal(err)
	}
	if got, err := q.GetBytes(t.Context(), digest); err != nil || !bytes.Equal(got, text) {
		t.Errorf("stored again: %d bytes, %v", len(got), err)
	}
}

// flip changes a bit in the first message of the bucket.
func flip(t *testing.T, dir string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "OBJ_*", "msgs", "*.blk"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no file with messages: %v", err)
	}
	text, err := os.ReadFile(list[0])
	if err != nil || len(text) < 200 {
		t.Fatalf("%s: %d bytes, %v", list[0], len(text), err)
	}
	text[150] ^= 1
	if err := os.WriteFile(list[0], text, 0o644); err != nil {
		t.Fatal(err)
	}
}
