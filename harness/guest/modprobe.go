package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/harness/wire"
)

// modprobePath is where the kernel (CONFIG_MODPROBE_PATH) and people look for modprobe(8).
const modprobePath = "/sbin/modprobe"

// modulesSocket is where modprobe asks the agent, which asks the host. Anybody may ask for files; what is loaded is
// loaded by the process that asked, with its own capabilities.
const modulesSocket = "/.modules"

const maxModuleMessage = 64 << 10

// offerModules makes the program's kernel find its modules, unless the program brings a modprobe of its own.
func (g *agent) offerModules() {
	if _, err := os.Lstat(modprobePath); err == nil || g.found != nil {
		return
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: modulesSocket})
	}
	if err == nil {
		err = errors.Join(unix.Chmod(modulesSocket, 0o666), unix.Listen(fd, 16))
	}
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(modprobePath), 0o755), os.Symlink("/init", modprobePath))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tokentest: modules cannot be loaded on demand:", err)
		return
	}
	g.found = make(chan *wire.ModuleAnswer)
	go g.answerModprobe(fd)
}

// answerModprobe answers one process after the other.
func (g *agent) answerModprobe(socket int) {
	buf := make([]byte, maxModuleMessage)
	for {
		fd, _, err := unix.Accept4(socket, unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNABORTED) {
			continue
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "tokentest: modules can no longer be loaded on demand:", err)
			return
		}
		if n, err := unix.Read(fd, buf); err == nil && n > 0 && g.tell(wire.KindModule, buf[:n]) == nil {
			if text, err := json.Marshal(<-g.found); err == nil {
				unix.Write(fd, text) // a process that has ended needs no answer
			}
		}
		unix.Close(fd)
	}
}

// moduleAnswer passes on what the host found.
func (g *agent) moduleAnswer(payload []byte) error {
	a := &wire.ModuleAnswer{}
	if err := errors.Join(g.closeReceived(), wire.DecodeJSON(payload, a)); err != nil {
		return err
	}
	if g.found == nil {
		return fmt.Errorf("%w: a module that nobody asked for", wire.ErrCorrupt)
	}
	g.found <- a
	return nil
}

// IsModprobe reports whether this process is to be modprobe(8).
func IsModprobe() bool { return os.Args[0] == "modprobe" || os.Args[0] == modprobePath }

// Modprobe loads or removes modules as modprobe(8) does, and returns the exit status.
func Modprobe(args []string) int {
	quiet, remove, all := false, false, false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		word := args[0]
		args = args[1:]
		switch word {
		case "--":
		case "-q", "--quiet":
			quiet = true
		case "-r", "--remove":
			remove = true
		case "-a", "--all":
			all = true
		case "-v", "--verbose", "-b", "--use-blacklist", "-s", "--syslog":
		default:
			fmt.Fprintf(os.Stderr, "modprobe: %s is not supported here; -a, -q, -r and -v are\n", word)
			return 1
		}
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "modprobe: no module is named")
		return 1
	}
	params := ""
	if !all && !remove {
		args, params = args[:1], strings.Join(args[1:], " ")
	}
	code := 0
	for _, name := range args {
		err := loadModule(name, params)
		if remove {
			err = unix.DeleteModule(strings.ReplaceAll(name, "-", "_"), unix.O_NONBLOCK)
		}
		if err != nil {
			code = 1
			if !quiet {
				fmt.Fprintf(os.Stderr, "modprobe: %s: %v\n", name, err)
			}
		}
	}
	return code
}

// loadModule loads what the host has for a name.
func loadModule(name, params string) error {
	a, err := askModule(name)
	switch {
	case err != nil:
		return err
	case !a.Found:
		return errors.New(a.Why)
	}
	for i, m := range a.Load {
		with := ""
		if i == len(a.Load)-1 {
			with = params
		}
		if err := insert(m.Path, with); err != nil && !m.Soft {
			return err
		}
	}
	return nil
}

// insert loads one module, unless it is loaded.
func insert(path, params string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), params, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}

// askModule asks the agent.
func askModule(name string) (*wire.ModuleAnswer, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: modulesSocket}); err != nil {
		return nil, fmt.Errorf("ask the host for the module: %w", err)
	}
	text, err := json.Marshal(wire.ModuleRequest{Name: name})
	if err == nil {
		_, err = unix.Write(fd, text)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the host for the module: %w", err)
	}
	buf := make([]byte, maxModuleMessage)
	n, err := unix.Read(fd, buf)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("ask the host for the module: no answer (%v)", err)
	}
	a := &wire.ModuleAnswer{}
	if err := json.Unmarshal(slices.Clip(buf[:n]), a); err != nil {
		return nil, fmt.Errorf("read the host's answer: %w", err)
	}
	return a, nil
}
