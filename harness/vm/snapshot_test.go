package vm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// put stores a snapshot whose state is some bytes; age is when it was last used.
func put(t *testing.T, s Snapshots, name, state string, age time.Duration) {
	t.Helper()
	sum := sha256.Sum256([]byte(state))
	text, err := json.Marshal(Snapshot{
		Digest: hex.EncodeToString(sum[:]), Size: int64(len(state)), Said: []byte("hello\n"), TSC: HostTSC(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string]string{name + ".state": state, name + ".json": string(text)} {
		if err := os.WriteFile(s.path(file), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(s.path(file), when, when); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSnapshots(t *testing.T) {
	s := Snapshots{Dir: t.TempDir()}
	if s.Get("none") != nil {
		t.Error("there is a snapshot before one is made")
	}
	put(t, s, "a", "state of a", 0)
	got := s.Get("a")
	if got == nil || string(got.Said) != "hello\n" || got.Verify() != nil {
		t.Fatalf("got %+v", got)
	}
	if err := os.WriteFile(got.Path, []byte("state of b"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Get("a").Verify(); err == nil || !strings.Contains(err.Error(), "its digest is") {
		t.Errorf("a changed state verifies: %v", err)
	}
	if err := os.Truncate(got.Path, 3); err != nil {
		t.Fatal(err)
	}
	if s.Get("a") != nil {
		t.Error("Get returned half a state")
	}
	s.Drop("a")
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestSnapshotsPrune: the least recently used snapshot goes first, the newest never.
func TestSnapshotsPrune(t *testing.T) {
	s := Snapshots{Dir: t.TempDir(), Max: 25}
	for name, age := range map[string]time.Duration{"old": 3 * time.Hour, "older": 4 * time.Hour, "new": time.Minute} {
		put(t, s, name, "ten bytes.", age)
	}
	left := filepath.Join(s.Dir, "tmp-left")
	if err := os.WriteFile(left, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(left, time.Now(), time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	s.prune("new")
	if s.Get("older") != nil || s.Get("old") == nil || s.Get("new") == nil {
		t.Errorf("left: older %v, old %v, new %v", s.Get("older"), s.Get("old"), s.Get("new"))
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("the file of a killed process is left")
	}
}

func TestSnapshotName(t *testing.T) {
	base := Machine{QEMU: fake(t, "clean"), Kernel: "bzImage", Accel: TCG, Dir: "d"}
	name := func(m Machine, contents ...string) string {
		n, err := m.SnapshotName(contents...)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	same := base
	same.Kernel, same.Dir, same.Monitor = "elsewhere/bzImage", "other", true
	if name(base, "k", "i") != name(same, "k", "i") {
		t.Error("the path of the kernel changes the name")
	}
	more, args := base, base
	more.MemMiB, args.Append = 768, []string{"lsm=bpf"}
	for what, got := range map[string]string{
		"memory": name(more, "k", "i"), "arguments": name(args, "k", "i"),
		"kernel": name(base, "K", "i"), "image": name(base, "k", "I"),
	} {
		if got == name(base, "k", "i") {
			t.Errorf("another %s does not change the name", what)
		}
	}
}

// TestRestore: the channel of a restored machine starts with what its agent sent before.
func TestRestore(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(state, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := machine(t, "restored")
	m.Restore = &Snapshot{Path: state, Said: []byte("hello\n")}
	got := converse(t, m, "off")
	if got.Fate != Clean {
		t.Errorf("got %s: %s", got.Fate, got.Reason)
	}
	out, err := os.ReadFile(filepath.Join(m.Dir, controlOut))
	if err != nil || !strings.HasPrefix(string(out), "hello\n") {
		t.Errorf("control.out holds %q, %v", out, err)
	}
	gone(t, m)
}

// monitorOf returns our end of a monitor; answer is QEMU's side.
func monitorOf(t *testing.T, answer func(command string, files int) string) *os.File {
	t.Helper()
	w, err := newChannel("monitor")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer w.guest.Close()
		io.WriteString(w.guest, `{"QMP":{"version":{}}}`+"\n")
		buf, oob := make([]byte, 4096), make([]byte, 256)
		for {
			n, oobn, _, _, err := syscall.Recvmsg(int(w.guest.Fd()), buf, oob, 0)
			if err != nil || n == 0 {
				return
			}
			var c struct {
				Execute   string
				Arguments struct{ URI string }
			}
			json.Unmarshal(buf[:n], &c)
			scheme, _, _ := strings.Cut(c.Arguments.URI, ":")
			said := answer(strings.TrimSpace(c.Execute+" "+scheme), oobn)
			io.WriteString(w.guest, `{"event":"SOMETHING"}`+"\n"+said+"\n")
		}
	}()
	return w.host
}

func TestMonitor(t *testing.T) {
	const refused = `{"error":{"class":"GenericError","desc":"no such thing"}}`
	for _, tt := range []struct {
		name   string
		byName bool // QEMU since 8.2
		getfd  string
		status string
		want   string
	}{
		{"it works", false, `{"return":{}}`, `{"return":{"status":"completed"}}`, ""},
		{"it fails", false, `{"return":{}}`, `{"return":{"status":"failed","error-desc":"no space"}}`,
			"save the machine: failed no space"},
		{"it refuses", false, refused, "", "qemu getfd: no such thing"},
		{"it sends no JSON", false, "rubbish", "", "qemu getfd: read the monitor"},
		{"it opens the file", true, refused, `{"return":{"status":"completed"}}`, ""},
		{"it opens the file and fails", true, refused, `{"return":{"status":"failed","error-desc":"no space"}}`,
			"save the machine: failed no space"},
	} {
		polls := 0
		m, err := newMonitor(monitorOf(t, func(command string, files int) string {
			switch {
			case command == "getfd" && files == 0:
				t.Error("getfd came without a descriptor")
			case command == "getfd":
				return tt.getfd
			case command == "migrate file" && !tt.byName:
				return refused
			case command == "query-migrate":
				if polls++; polls > 2 {
					return tt.status
				}
				return `{"return":{"status":"active"}}`
			}
			return `{"return":{}}`
		}))
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "state"))
		if err != nil {
			t.Fatal(err)
		}
		byName, err := m.save(f)
		if byName != tt.byName {
			t.Errorf("%s: by name: %v", tt.name, byName)
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		m.close()
		f.Close()
	}
}

// Under KVM a state belongs to the processor and the kernel of the host, and to nothing that
// varies by itself.
func TestHostProcessor(t *testing.T) {
	host := hostProcessor()
	for _, want := range []string{"model name\t: ", "flags\t\t: "} {
		if !strings.Contains(host, want) {
			t.Skipf("/proc/cpuinfo has no %q", want)
		}
	}
	if strings.Contains(host, "MHz") || strings.Contains(host, "bogomips") || host != hostProcessor() {
		t.Errorf("it varies: %q", host)
	}
	name := func(a Accel) string {
		s, err := (&Machine{QEMU: "true", Kernel: "k", Dir: "d", Accel: a}).SnapshotName("x")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if name(TCG) == name(KVM) {
		t.Error("one name for both accelerators")
	}
}
