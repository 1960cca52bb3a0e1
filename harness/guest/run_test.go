package guest

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// A program's status and output come back, and the reason why it could not be started.
func TestRunSpec(t *testing.T) {
	needRoot(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, tt := range []struct {
		args []string
		want runEnd
	}{
		{[]string{"/bin/echo", "a b"}, runEnd{Out: "a b"}},
		{[]string{"/bin/sh", "-c", "echo x; exit 3"}, runEnd{Code: 3, Out: "x"}},
		{[]string{"/bin/sh", "-c", "kill -9 $$"}, runEnd{Code: 137}},
		{[]string{"/nowhere"}, runEnd{Errno: uapi.Errno(unix.ENOENT)}},
	} {
		var end *runEnd
		var err error
		onThread(func() {
			end, err = (&runSpec{File: tt.args[0], Args: tt.args, Caps: uint64(uapi.AllCaps)}).run(null)
		})
		if err != nil || *end != tt.want {
			t.Errorf("%q: %+v, %v, want %+v", tt.args, end, err, tt.want)
		}
	}
}

// The file of a program is at a place of its own.
func TestRunPlace(t *testing.T) {
	for name, want := range map[string]string{"tool": "/run.d/tool", "/usr/bin/tool": "/run.d/usr_bin_tool"} {
		if got := step.RunPlace(name); got != want || strings.Count(got, "/") != 2 {
			t.Errorf("%s is at %s, want %s", name, got, want)
		}
	}
}
