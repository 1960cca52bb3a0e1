package library

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// The application is this test, started under another name. It can make more than users can.
func TestMain(m *testing.M) {
	if !Is() {
		os.Exit(m.Run())
	}
	makers["nothing"] = func() error { return nil }
	makers["unsupported"] = func() error { return fmt.Errorf("a feature: %w", ebpf.ErrNotSupported) }
	makers["wordless"] = func() error { return errors.New("the library refuses") }
	makers["powers"] = func() error { // E2BIG if a thread still has a capability
		runtime.LockOSThread()
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&hdr, &data[0]); err != nil {
			return err
		}
		if data[0].Effective|data[0].Permitted|data[1].Effective|data[1].Permitted != 0 {
			return unix.E2BIG
		}
		return nil
	}
	Main()
}

// answerOf starts the application and returns what it writes.
func answerOf(t *testing.T, args ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(self)
	cmd.Args = append([]string{Arg0}, args...)
	cmd.ExtraFiles = []*os.File{w} // descriptor 3
	err = cmd.Run()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The answer is an errno as a number, or text that says why there is none.
func TestAnswers(t *testing.T) {
	number := func(e syscall.Errno) string { return strconv.Itoa(int(e)) }
	for _, tt := range []struct{ what, caps, want string }{
		{"nothing", "0", "0"},
		{"powers", "0", "0"},
		{"queue", "0", number(unix.EPERM)}, // needs CAP_BPF, which the application gave up
		{"prog", "0", number(unix.EPERM)},
		{"freplace", "0", number(unix.EPERM)},
		{"unsupported", "0", number(unix.EOPNOTSUPP)},
		{"wordless", "0", "the library gives no errno: the library refuses"},
		{"a wish", "0", `start the application: it cannot make "a wish"`},
		{"queue", "-1", `start the application: strconv.ParseUint: parsing "-1": invalid syntax`},
	} {
		if got := answerOf(t, tt.what, tt.caps); got != tt.want {
			t.Errorf("%s %s: got %q, want %q", tt.what, tt.caps, got, tt.want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "want WHAT CAPS"},
		{[]string{"queue", "many"}, "start the application"},
		{[]string{"queue", "0", "more"}, "want WHAT CAPS"},
	} {
		if _, err := run(tt.args); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
	if Is() {
		t.Error("a test is not the application")
	}
}

// The function has what an ext program needs: a symbol, and a global function
// in the BTF.
func TestFunction(t *testing.T) {
	insns := function()
	f := btf.FuncMetadata(&insns[0])
	if insns[0].Symbol() != "prog" || f == nil || f.Linkage != btf.GlobalFunc || insns[1].OpCode != asm.Return().OpCode {
		t.Errorf("%v, %v", insns, f)
	}
}
