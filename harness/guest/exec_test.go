package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/wire"
)

// leaveTheMachine has the agent change nothing for programs: this is no guest.
func leaveTheMachine() { prepareOnce.Do(func() {}) }

// ran is what a program that the agent ran came to.
type ran struct {
	exit  wire.Exit
	out   [3]string // stdout is 1, stderr 2
	files map[string]string
	taken int
}

// runsProgram has an agent run a program with input, an empty part of which ends it.
func runsProgram(t *testing.T, e *wire.Exec, input ...string) ran {
	t.Helper()
	leaveTheMachine()
	h := serveHere(t, nil)
	payload, err := wire.EncodeJSON(e)
	if err != nil {
		t.Fatal(err)
	}
	h.send(wire.KindExec, payload)
	go func() {
		for _, in := range input {
			h.out.Write(wire.KindInput, []byte(in))
		}
	}()
	r := ran{files: map[string]string{}}
	for {
		kind, payload, err := h.in.Read()
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case wire.KindOutput:
			r.out[payload[0]] += string(payload[1:])
		case wire.KindFile:
			f, err := wire.DecodeFile(payload)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := r.files[f.Path]; ok != f.More {
				t.Errorf("%s: a further part: %v", f.Path, f.More)
			}
			r.files[f.Path] += string(f.Data)
		case wire.KindTaken:
			r.taken++
		case wire.KindAlive:
		case wire.KindExit:
			if err := wire.DecodeJSON(payload, &r.exit); err != nil {
				t.Fatal(err)
			}
			return r
		default:
			t.Fatalf("a %s record", kind)
		}
	}
}

func shell(script string) *wire.Exec {
	return &wire.Exec{Args: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/bin:/usr/bin"}, Dir: "/"}
}

func needShell(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip(err)
	}
}

// A program's output, its end and its files come back.
func TestExec(t *testing.T) {
	needShell(t)
	dir := t.TempDir()
	big := strings.Repeat("0123456789abcdef", wire.MaxFileData/16+1) // more than one record has room for
	e := shell("echo out; echo err >&2; echo $WORD; pwd; cp big copy; exit 3")
	e.Env = append(e.Env, "WORD=word")
	e.Dir, e.Make, e.Get = dir, []string{dir + "/made/deep"}, []string{dir + "/copy", dir + "/none", dir, dir + "/empty"}
	for name, text := range map[string]string{"big": big, "empty": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := runsProgram(t, e)
	if r.out[1] != "out\nword\n"+dir+"\n" || r.out[2] != "err\n" {
		t.Errorf("output %q", r.out)
	}
	if r.exit.Code != 3 || r.exit.Signal != 0 || r.exit.Error != "" {
		t.Errorf("exit %+v", r.exit)
	}
	if want := []wire.Unsent{{Path: dir + "/none", Error: "no such file or directory", Missing: true},
		{Path: dir, Error: "is a directory"}}; !slices.Equal(r.exit.Unsent, want) {
		t.Errorf("unsent %+v, want %+v", r.exit.Unsent, want)
	}
	empty, ok := r.files[dir+"/empty"]
	if len(r.files) != 2 || r.files[dir+"/copy"] != big || empty != "" || !ok {
		t.Errorf("%d files came back, copy has %d bytes", len(r.files), len(r.files[dir+"/copy"]))
	}
	if st, err := os.Stat(dir + "/made/deep"); err != nil || !st.IsDir() {
		t.Errorf("the directory was not made: %v", err)
	}
}

func TestExecEnds(t *testing.T) {
	needShell(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	blocked := shell("true")
	blocked.Make = []string{dir + "/file/below"}
	for name, tt := range map[string]struct {
		e     *wire.Exec
		input []string
		want  wire.Exit
		error string
	}{
		"killed":      {shell("kill -9 $$"), nil, wire.Exit{Code: 137, Signal: 9}, ""},
		"input":       {shell("read a; read b; test $a$b = onetwo"), []string{"one\n", "two\n"}, wire.Exit{}, ""},
		"input's end": {shell("cat >/dev/null; exit 4"), []string{"x", ""}, wire.Exit{Code: 4}, ""},
		"no program": {&wire.Exec{Args: []string{"/no/such/program"}, Dir: "/"}, nil, wire.Exit{Missing: true},
			"no such file"},
		"no directory":   {blocked, nil, wire.Exit{}, "make a directory: "},
		"not executable": {&wire.Exec{Args: []string{dir + "/file"}, Dir: "/"}, nil, wire.Exit{}, "permission denied"},
	} {
		r := runsProgram(t, tt.e, tt.input...)
		got := r.exit
		got.Words, got.Error = nil, ""
		if got.Code != tt.want.Code || got.Signal != tt.want.Signal || got.Missing != tt.want.Missing {
			t.Errorf("%s: %+v, want %+v", name, r.exit, tt.want)
		}
		if !strings.Contains(r.exit.Error, tt.error) || (tt.error == "") != (r.exit.Error == "") {
			t.Errorf("%s: error %q, want %q", name, r.exit.Error, tt.error)
		}
	}
}

// Input for a program that is not there is dropped, and so is a signal.
func TestNoProgram(t *testing.T) {
	g := &agent{}
	if err := g.program(wire.KindInput, []byte("x")); err != nil {
		t.Error(err)
	}
	if err := g.program(wire.KindSignal, []byte(`{"number":15,"size":{"rows":1,"cols":1}}`)); err != nil {
		t.Error(err)
	}
}

// A program gets the terminal, user and root that the host names.
func TestStdioAttr(t *testing.T) {
	s, err := newStdio(nil)
	if err != nil {
		t.Fatal(err)
	}
	a := s.attr(&wire.Exec{Root: "/r", Dir: "/d", Env: []string{"A=b"}, UID: 7, GID: 8})
	if a.Dir != "/d" || !slices.Equal(a.Env, []string{"A=b"}) || len(a.Files) != 3 || a.Sys.Chroot != "/r" ||
		!a.Sys.Setsid ||
		a.Sys.Setctty {
		t.Errorf("got %+v, %+v", a, a.Sys)
	}
	if c := a.Sys.Credential; c == nil || c.Uid != 7 || c.Gid != 8 {
		t.Errorf("credentials %+v", c)
	}
	if a := s.attr(&wire.Exec{}); a.Sys.Credential != nil {
		t.Errorf("root gets credentials: %+v", a.Sys.Credential)
	}
	s.closeTheirs()
	if _, err := s.in.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the program's end of a pipe is still open: %v", err)
	}
	s.closeOurs()
	if _, err := s.out[0].Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("our end of a pipe is still open: %v", err)
	}
}

// A terminal has the size that the host names, and a signal changes it.
func TestTerminal(t *testing.T) {
	s, err := newStdio(&wire.Terminal{Rows: 11, Cols: 22})
	if err != nil {
		t.Skip(err)
	}
	defer s.closeOurs()
	defer s.closeTheirs()
	if a := s.attr(&wire.Exec{}); !a.Sys.Setctty || a.Sys.Ctty != 0 {
		t.Errorf("the terminal does not control the program: %+v", a.Sys)
	}
	size := func() [2]uint16 {
		w, err := unix.IoctlGetWinsize(int(s.theirs[0].Fd()), unix.TIOCGWINSZ)
		if err != nil {
			t.Fatal(err)
		}
		return [2]uint16{w.Row, w.Col}
	}
	if got := size(); got != [2]uint16{11, 22} {
		t.Errorf("size %v", got)
	}
	(&agent{guestProgram: guestProgram{tty: s.tty}}).signal(&wire.Signal{Size: &wire.Terminal{Rows: 5, Cols: 6}})
	if got := size(); got != [2]uint16{5, 6} {
		t.Errorf("size after a signal: %v", got)
	}
	fd := int(s.theirs[0].Fd())
	if err := makeRaw(fd); err != nil {
		t.Fatal(err)
	}
	raw, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if raw.Lflag != 0 || raw.Iflag != 0 || raw.Oflag != 0 || raw.Cc[unix.VMIN] != 1 || raw.Cc[unix.VTIME] != 0 {
		t.Errorf("the terminal changes what goes through it: %+v", raw)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := makeRaw(int(null.Fd())); err == nil || !strings.HasPrefix(err.Error(), "read serial port settings: ") {
		t.Errorf("a file that is no terminal: %v", err)
	}
}

// The control channel is the virtio port of our name among others.
func TestVirtioPort(t *testing.T) {
	class := t.TempDir()
	if got := virtioPort(class); got != "" {
		t.Errorf("without ports: %q", got)
	}
	for port, name := range map[string]string{"vport0p1": "other", "vport1p2": wire.ControlPort + "\n",
		"vport2p1": wire.ControlPort + ".2"} {
		if err := os.Mkdir(filepath.Join(class, port), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, port, "name"), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := virtioPort(class); got != "/dev/vport1p2" {
		t.Errorf("got %q", got)
	}
}

// A file's path is below the root, and its parts follow each other.
func TestReceiveErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	g := &agent{}
	for _, f := range []wire.File{
		{Path: dir + "/file/below", Mode: 0o644}, {Path: dir, Mode: 0o644}, {Path: dir + "/file", Kind: wire.Directory,
			Mode: 0o755},
		{Path: dir, Kind: wire.Symlink, Data: []byte("x")},
	} {
		if err := g.receive(wire.EncodeFile(&f)); err == nil || !strings.HasPrefix(err.Error(), "store "+f.Path+": ") {
			t.Errorf("%+v: %v", f, err)
		}
	}
	first := wire.File{Path: dir + "/more", Mode: 0o600, More: true, Data: []byte("alone")}
	if err := g.receive(wire.EncodeFile(&first)); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(dir + "/more"); err != nil || string(text) != "alone" {
		t.Errorf("a part without one before it: %q, %v", text, err)
	}
	if err := g.closeReceived(); err != nil || g.last != nil {
		t.Errorf("%v, %v", err, g.last)
	}
}

// An application's answer is an errno; anything else fails the case, with an errno that no call gives.
func TestApplication(t *testing.T) {
	needTokens(t)
	for i, name := range step.Makes {
		if i == 0 {
			continue
		}
		o, err := application(&step.Step{Caps: uapi.AllCaps, Args: []step.Arg{number(step.KeyMake, uint64(i))}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if (o.Errno == 0) != (o.Proof == step.Works) {
			t.Errorf("%s: %s, proof %d", name, o.Errno, o.Proof)
		}
	}
	if o, err := application(&step.Step{Args: []step.Arg{number(step.KeyMake, uint64(step.MakeQueue))}}); err != nil ||
		o.Errno != uapi.Errno(unix.EPERM) {
		t.Errorf("without capabilities: %s, %v", o.Errno, err)
	}
	if _, err := application(&step.Step{Args: []step.Arg{number(step.KeyMake, 0)}}); err == nil ||
		!strings.HasPrefix(err.Error(), "the application answered ") {
		t.Errorf("an application that makes nothing: %v", err)
	}
	if fd, o := testActor(nil).library(stepOf(number(step.KeyMake, 0))); fd != noFD || o.Errno != uapi.Errno(unix.EPROTO) {
		t.Errorf("it shows %s", o.Errno)
	}
}

func TestEnvironment(t *testing.T) {
	if got := environment(stepOf()); got == nil || len(got) != 0 {
		t.Errorf("got %q, want nothing, and not this process's", got)
	}
	if got := environment(stepOf(text(step.KeyEnv, "/mnt/a"))); !slices.Equal(
		got,
		[]string{"LIBBPF_BPF_TOKEN_PATH=/mnt/a"},
	) {
		t.Errorf("got %q", got)
	}
}

// A case that is run by hand shows each step.
func TestRunCase(t *testing.T) {
	needTokens(t)
	if v, ok := readSetting(unprivDisabled); !ok || v != unprivDefault {
		t.Skipf("%s is not %d here, and running a case would change it", unprivDisabled.Name, unprivDefault)
	}
	p := testWorld()
	cells := wire.Cells{Cells: []step.Cell{{dupOf(1, 1), dupOf(1, 9)}}}
	c := wire.ByHand{
		World: wire.EncodeProgram(p),
		Cells: wire.EncodeCells(&cells),
		Setup: []string{"userns", "send"},
		Steps: []string{"dup", "dup closed"},
	}
	var out bytes.Buffer
	if err := runCase(&c, &out); err != nil {
		t.Fatal(err)
	}
	want := "userns\n  => ok\nsend\n  => ok\ndup\n  => ok\ndup closed\n  => EBADF (bad file descriptor)\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"steps":["dup","dup closed"]`) {
		t.Errorf("got %s", text)
	}
}
