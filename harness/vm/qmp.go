package vm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// monitor speaks QMP, the QEMU Machine Protocol.
type monitor struct {
	conn *net.UnixConn
	in   *bufio.Reader
}

// newMonitor takes over a connected socket and negotiates capabilities.
func newMonitor(f *os.File) (*monitor, error) {
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("connect to qemu's monitor: %w", err)
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("connect to qemu's monitor: not a unix socket"), c.Close())
	}
	m := &monitor{conn: conn, in: bufio.NewReader(conn)}
	if _, err := m.do("qmp_capabilities", nil); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *monitor) close() error { return m.conn.Close() }

// qmpTimeout is how long QEMU may take to answer.
const qmpTimeout = 30 * time.Second

// do makes QEMU execute a command and returns its result; files are sent along.
func (m *monitor) do(command string, arguments any, files ...*os.File) (json.RawMessage, error) {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	text, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("qemu %s: %w", command, err)
	}
	var rights []byte
	for _, f := range files {
		rights = append(rights, syscall.UnixRights(int(f.Fd()))...)
	}
	m.conn.SetDeadline(time.Now().Add(qmpTimeout))
	if _, _, err := m.conn.WriteMsgUnix(append(text, '\n'), rights, nil); err != nil {
		return nil, fmt.Errorf("qemu %s: %w", command, err)
	}
	answer, err := m.answer()
	if err != nil {
		return nil, fmt.Errorf("qemu %s: %w", command, err)
	}
	return answer, nil
}

// answer reads the answer to a command, and skips the greeting and events.
func (m *monitor) answer() (json.RawMessage, error) {
	for {
		line, err := m.in.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		var a struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, fmt.Errorf("read the monitor: %w", err)
		}
		switch {
		case a.Error != nil:
			return nil, errors.New(a.Error.Desc)
		case a.Return != nil:
			return a.Return, nil
		}
	}
}

// save writes the machine's state to a file, and has the machine go on. It reports whether QEMU takes a file by its
// name: it does since 8.2, and as a descriptor it has none any more since 11 (migration/file.c, migration/fd.c).
func (m *monitor) save(to *os.File) (byName bool, err error) {
	if _, err := m.do("migrate-set-parameters", map[string]any{"max-bandwidth": int64(8) << 30}); err != nil {
		return false, err
	}
	_, err = m.do("migrate", map[string]any{"uri": byFile + to.Name()})
	if byName = err == nil; !byName {
		err = m.saveAsDescriptor(to)
	}
	if err != nil {
		return byName, err
	}
	err = m.saved()
	_, bad := m.do("cont", nil) // also after a failure, such as a full disk
	return byName, errors.Join(err, bad)
}

// byFile begins the address of a state that QEMU opens itself.
const byFile = "file:"

// saveAsDescriptor begins to write the machine's state to an open file.
func (m *monitor) saveAsDescriptor(to *os.File) error {
	const name = "state"
	if _, err := m.do("getfd", map[string]any{"fdname": name}, to); err != nil {
		return err
	}
	_, err := m.do("migrate", map[string]any{"uri": "fd:" + name})
	return err
}

// saved waits until the state is written.
func (m *monitor) saved() error {
	for deadline := time.Now().Add(qmpTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		answer, err := m.do("query-migrate", nil)
		if err != nil {
			return err
		}
		var s struct {
			Status string `json:"status"`
			Desc   string `json:"error-desc"`
		}
		if err := json.Unmarshal(answer, &s); err != nil {
			return fmt.Errorf("qemu query-migrate: %w", err)
		}
		switch s.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("save the machine: %s %s", s.Status, s.Desc)
		}
	}
	return fmt.Errorf("save the machine: not finished after %v", qmpTimeout)
}
