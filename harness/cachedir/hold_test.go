package cachedir

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain plays another process: it holds a directory until its input ends.
func TestMain(m *testing.M) {
	if dir := os.Getenv("HOLD"); dir != "" {
		fmt.Println(Hold(dir))
		bufio.NewReader(os.Stdin).ReadString('\n')
		return
	}
	os.Exit(m.Run())
}

// holder starts another process that holds a directory; end ends it.
func holder(t *testing.T, dir string) (end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOLD="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "<nil>\n" {
		t.Fatalf("it says %q, %v", line, err)
	}
	return func() {
		in.Close()
		cmd.Wait()
	}
}

// What another process uses stays, until that process ends.
func TestRemoveLeavesWhatIsUsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "entry")
	if err := os.MkdirAll(filepath.Join(dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dir, old, old); err != nil {
		t.Fatal(err)
	}
	end := holder(t, dir)
	if err := Remove(dir); err != ErrInUse || !InUse(dir) {
		t.Errorf("got %v", err)
	}
	if info, err := os.Stat(dir); err != nil || time.Since(info.ModTime()) > time.Minute {
		t.Errorf("it is not marked as used: %v, %v", info, err)
	}
	end()
	if InUse(dir) {
		t.Error("it is held by a process that has ended")
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if err := errors.Join(Remove(dir), Remove(dir)); err != nil || InUse(dir) {
		t.Errorf("what is not there: %v", err)
	}
	if err := Hold(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("hold what is not there: %v", err)
	}
}

// A directory of the same name that took the place of a held one is held in turn.
func TestHoldFollowsTheName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "entry")
	for range 2 {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := Hold(dir); err != nil || !InUse(dir) {
				t.Fatalf("it is not held: %v", err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	release(dir)
}

// An entry is held from its beginning on, and what its maker gives up is not.
func TestTempIsHeld(t *testing.T) {
	dir := t.TempDir()
	temp, remove, err := Temp(dir, "x")
	if err != nil || !InUse(temp) {
		t.Fatalf("not held: %v", err)
	}
	entry := filepath.Join(dir, "x")
	var m Sums
	if err := errors.Join(Seal(temp, &m), Install(temp, entry, &m)); err != nil || !InUse(entry) {
		t.Errorf("not held: %v", err)
	}
	remove()
	release(entry)
	if InUse(entry) {
		t.Error("it is held twice")
	}
	if err := Open(entry, &m); err != nil || !InUse(entry) {
		t.Errorf("what was opened is not held: %v", err)
	}
	release(entry)
}

// A reader that comes while an entry is removed waits, and finds none.
func TestHoldWaitsForRemoval(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "entry")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	removing, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- lockAnd(dir, func() error {
			close(removing)
			time.Sleep(100 * time.Millisecond)
			return os.RemoveAll(dir)
		})
	}()
	<-removing
	if err := Hold(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDefault(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(Variable, "mine")
	if dir, err := Default(); err != nil || !filepath.IsAbs(dir) || filepath.Base(dir) != "mine" {
		t.Errorf("%s, %v", dir, err)
	}
	t.Setenv(Variable, "")
	t.Setenv("XDG_CACHE_HOME", "/c")
	if dir, err := Default(); err != nil || dir != "/c/tokentest" {
		t.Errorf("%s, %v", dir, err)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if dir, err := Default(); err == nil || !strings.Contains(err.Error(), "HOME") {
		t.Errorf("%s, %v", dir, err)
	}
}
