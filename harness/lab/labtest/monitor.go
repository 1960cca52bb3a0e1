package labtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
)

// monitorFD is the machine's end of the monitor, or the state from which it is restored.
const monitorFD = 6

// Saves is the environment variable that lets machines be saved. Without it each one boots,
// so that the acts of a test are those of machines that boot.
const Saves = "FAKE_SAVES"

// monitor answers as QEMU's monitor does, as far as saving a machine needs it. The state is
// a word. It does not hold the guest up: the guest waits for records anyway.
func monitor() {
	f := os.NewFile(monitorFD, "monitor")
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintln(conn, `{"QMP": {}}`)
	var state *os.File
	line, rights := make([]byte, 1<<16), make([]byte, 1<<10)
	for {
		n, r, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(line, rights)
		if err != nil || n == 0 {
			return
		}
		var request struct {
			Execute   string
			Arguments struct{ URI string }
		}
		if json.Unmarshal(line[:n], &request) != nil {
			return
		}
		answer := `{"return": {}}`
		switch request.Execute {
		case "getfd":
			if state = received(rights[:r]); state == nil {
				return
			}
		case "migrate":
			if os.Getenv(Saves) == "" {
				answer = `{"error": {"class": "GenericError", "desc": "State blocked by the test"}}`
				break
			}
			if strings.HasPrefix(request.Arguments.URI, "file:") { // as before 8.2
				answer = `{"error": {"class": "GenericError", "desc": "Parameter 'uri' expects a valid migration protocol"}}`
				break
			}
			fmt.Fprint(state, "state")
		case "query-migrate":
			answer = `{"return": {"status": "completed"}}`
		}
		fmt.Fprintln(conn, answer)
	}
}

// received is the file that came with a request.
func received(rights []byte) *os.File {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil
	}
	return os.NewFile(uintptr(fds[0]), "state")
}

// mouth is the guest's end of a channel. A restored guest has said hello before: what it says
// until it is open does not leave the machine.
type mouth struct {
	w    io.Writer
	open bool
}

func (m *mouth) Write(p []byte) (int, error) {
	if !m.open {
		return len(p), nil
	}
	return m.w.Write(p)
}

// restored reports whether the machine begins from a state: its agent has said hello.
func (g *guest) restored() bool { return slices.Contains(g.args, "-incoming") }
