package labtest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"tokentest/harness/wire"
)

// running is a program of the fake machine, which runs on the host.
type running struct {
	files map[string]int // how many bytes of each file came
	stdin *io.PipeWriter
	cmd   *exec.Cmd
}

// program handles a record about a program.
func (g *guest) program(kind wire.Kind, payload []byte) error {
	switch kind {
	case wire.KindFile:
		f, err := wire.DecodeFile(payload)
		if err != nil {
			return err
		}
		if g.files == nil {
			g.files = map[string]int{}
		}
		g.files[f.Path] += len(f.Data)
		return nil
	case wire.KindExec:
		return g.exec(payload)
	case wire.KindInput:
		return g.input(payload)
	case wire.KindModule:
		return g.tell(wire.KindOutput, append([]byte{1}, payload...))
	}
	var s wire.Signal
	if err := wire.DecodeJSON(payload, &s); err != nil {
		return err
	}
	return g.cmd.Process.Signal(syscall.Signal(s.Number))
}

func (g *guest) input(payload []byte) error {
	switch {
	case g.stdin == nil: // there is no program
	case len(payload) == 0:
		g.stdin.Close()
	default:
		if _, err := g.stdin.Write(payload); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			return err
		}
	}
	return g.tell(wire.KindTaken, nil)
}

func (g *guest) tell(k wire.Kind, payload []byte) error {
	g.telling.Lock()
	defer g.telling.Unlock()
	return g.out.Write(k, payload)
}

// stream sends what is written to it as output of stream n.
type stream struct {
	g *guest
	n byte
}

func (s stream) Write(p []byte) (int, error) {
	return len(p), s.g.tell(wire.KindOutput, append([]byte{s.n}, p...))
}

// exec runs a program, or plays the act under it.
func (g *guest) exec(payload []byte) error {
	var e wire.Exec
	if err := wire.DecodeJSON(payload, &e); err != nil {
		return err
	}
	switch g.act {
	case "panic":
		g.tell(wire.KindOutput, []byte("\x01half of it"))
		return g.panics()
	case "off":
		return errEnd
	case "splat":
		g.say("WARNING: CPU: 0 PID: 9 at kernel/bpf/token.c:12 bpf_token_create+0x10/0x20")
	case "runaway":
		g.runaway()
	case "words":
		io.WriteString(g.console, "[    3.000000] BUG: KASAN: made up by a program\n")
		time.Sleep(50 * time.Millisecond)
	case "endless":
		for {
			g.say("flood")
		}
	case "chatter":
		for {
			g.say("[    3.0] and so on")
			time.Sleep(10 * time.Millisecond)
		}
	case "twice": // the host sends one record, the end of the input
		g.tell(wire.KindTaken, nil)
		g.tell(wire.KindTaken, nil)
	case "module": // the answer becomes output of the program
		g.tell(wire.KindModule, []byte(`{"name":"nosuch"}`))
	}
	if _, ok := g.files[e.Args[0]]; !ok && e.Args[0] != "/bin/uname" { // which every image with a shell has
		return g.ended(&wire.Exit{Error: e.Args[0] + " was not sent", Missing: true})
	}
	var in *io.PipeReader
	in, g.stdin = io.Pipe()
	g.cmd = exec.Command(e.Args[0], e.Args[1:]...)
	g.cmd.Env, g.cmd.Dir, g.cmd.Stdin = e.Env, e.Dir, in
	g.cmd.Stdout, g.cmd.Stderr = stream{g, 1}, stream{g, 2}
	if err := g.cmd.Start(); err != nil {
		return g.ended(&wire.Exit{Error: err.Error()})
	}
	go func() {
		state, err := g.cmd.Process.Wait()
		in.Close()
		g.cmd.Wait() // for its output
		x := &wire.Exit{}
		if err == nil {
			x.Code = state.ExitCode()
			if ws := state.Sys().(syscall.WaitStatus); ws.Signaled() {
				x.Code, x.Signal = 128+int(ws.Signal()), int(ws.Signal())
			}
		}
		x.Unsent = g.sendBack(&e)
		g.ended(x)
	}()
	return nil
}

func (g *guest) sendBack(e *wire.Exec) (unsent []wire.Unsent) {
	for _, name := range e.Get {
		data, err := os.ReadFile(name)
		if err != nil {
			unsent = append(unsent, wire.Unsent{Path: name, Error: err.Error(), Missing: os.IsNotExist(err)})
			continue
		}
		g.tell(wire.KindFile, wire.EncodeFile(&wire.File{Path: name, Data: bytes.ToUpper(data)}))
	}
	return unsent
}

func (g *guest) ended(x *wire.Exit) error {
	if g.act == "words" {
		x.Words = []string{"[    3.000000] BUG: KASAN: made up by a program"}
	}
	payload, err := wire.EncodeJSON(x)
	if err != nil {
		return err
	}
	return g.tell(wire.KindExit, payload)
}
