package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/harness/wire"
)

// openControl opens the control channel: the virtio port of our name, else
// the serial port that the kernel's command line names.
func openControl() (*os.File, error) {
	if dev := virtioPort(virtioPorts); dev != "" {
		f, err := os.OpenFile(dev, os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("open control channel: %w", err)
		}
		return f, nil
	}
	serial := os.Getenv(wire.SerialPort)
	if serial == "" {
		return nil, fmt.Errorf("open control channel: no virtio port %s, and the machine has no other channel",
			wire.ControlPort)
	}
	f, err := os.OpenFile("/dev/"+serial, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open control channel (no virtio port %s): %w", wire.ControlPort, err)
	}
	if err := makeRaw(int(f.Fd())); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

const virtioPorts = "/sys/class/virtio-ports"

// virtioPort returns the device of the port that has our name, or "".
func virtioPort(class string) string {
	names, _ := filepath.Glob(class + "/*/name") // the pattern is well formed
	for _, n := range names {
		text, err := os.ReadFile(n)
		if err == nil && strings.TrimSpace(string(text)) == wire.ControlPort {
			return "/dev/" + filepath.Base(filepath.Dir(n))
		}
	}
	return ""
}

// makeRaw turns off everything that a terminal does to bytes, as cfmakeraw(3).
func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("read serial port settings: %w", err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return fmt.Errorf("make serial port raw: %w", err)
	}
	return nil
}
