package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tokentest/harness/child"
	"tokentest/harness/lab"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
	"tokentest/images"
)

// peer is another program that boots a kernel and runs a program in it.
type peer struct {
	name, program string
	args          func(image string, kvm bool) []string // what stands before the question
}

// The arguments of virtme-ng are those of vng(1), the ones of vimto those of its README. A
// peer shares the host's files with its machine, so it does not boot a kernel without 9p or
// virtiofs, such as Debian's cloud kernels without their modules.
var peers = []peer{
	{"virtme-ng", "vng", func(image string, kvm bool) []string {
		args := []string{"--run", image, "--user", "root"}
		if !kvm {
			args = append(args, "--disable-kvm")
		}
		return append(args, "--")
	}},
	{"vimto", "vimto", func(image string, _ bool) []string { return []string{"-kernel", image, "exec", "--"} }},
}

// answer is what exec found.
type answer struct {
	release string
	kvm     bool // the machine ran on KVM
}

// The question that a peer and exec answer: which release runs.
var question = []string{"uname", "-r"}

// peerFigures time how long exec and each installed peer take to start a machine, to run
// one program in it, and to return its output. A peer that is not installed is named once
// and left out.
func (b *bench) peerFigures() []*figure {
	what := strings.Join(question, " ")
	list := []*figure{{name: what + " by exec", measure: b.ask}}
	for _, p := range peers {
		path, err := exec.LookPath(p.program)
		if err != nil {
			b.Log("%s is not measured: no %s in PATH", p.name, p.program)
			continue
		}
		f := &figure{name: what + " by " + p.name}
		f.measure = func(ctx context.Context, _ int, note string) (time.Duration, error) {
			return b.askPeer(ctx, &p, path, note)
		}
		list = append(list, f)
	}
	return list
}

// ask times exec.
func (b *bench) ask(ctx context.Context, _ int, note string) (time.Duration, error) {
	l, err := b.lab()
	if err != nil {
		return 0, err
	}
	defer b.saying(l, note)()
	args := append([]string{filepath.Join(filepath.Dir(images.Shell), question[0])}, question[1:]...) // u-root's
	var out bytes.Buffer
	start := time.Now()
	e, err := l.Exec(ctx, b.Kernel, &lab.Program{Exec: wire.Exec{Args: args, Dir: "/"}, Shell: true,
		Stdout: &out, Stderr: &out})
	took := time.Since(start)
	switch {
	case err != nil:
		return 0, err
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case e.Exit == nil || e.Exit.Code != 0 || e.Exit.Error != "":
		return 0, &unmeasuredError{"exec: " + ending(e, out.String())}
	}
	b.asked = answer{strings.TrimSpace(out.String()), e.Kernel.AccelName == string(vm.KVM)}
	return took, nil
}

// ending is why a program gave no answer.
func ending(e *lab.Ended, out string) string {
	if e.Exit != nil && e.Exit.Error != "" {
		return e.Exit.Error
	}
	for _, boot := range e.Kernel.Boots {
		if boot.Reason != "" {
			return boot.Reason
		}
	}
	return lastLine(out)
}

// askPeer times a peer. Its answer must be the release that exec found.
func (b *bench) askPeer(ctx context.Context, p *peer, path, note string) (time.Duration, error) {
	l, err := b.lab()
	if err != nil {
		return 0, err
	}
	k, err := l.Resolve(ctx, b.Kernel)
	if err != nil {
		return 0, err
	}
	defer b.saying(l, note)()
	limited, cancel := context.WithTimeout(ctx, peerDeadline)
	defer cancel()
	var out bytes.Buffer
	c := child.Command(limited, path, append(p.args(k.Image, b.asked.kvm), question...)...)
	c.Stdout, c.Stderr = &out, &out
	start := time.Now()
	err = c.Run()
	took := time.Since(start)
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		return 0, &unmeasuredError{fmt.Sprintf("%s did not end in %s: %s", p.program, peerDeadline, lastLine(out.String()))}
	case err != nil:
		return 0, &unmeasuredError{fmt.Sprintf("%s: %v: %s", p.program, err, lastLine(out.String()))}
	case b.asked.release == "" || !strings.Contains(out.String(), b.asked.release):
		why := fmt.Sprintf("%s did not print the release %q: %s", p.program, b.asked.release, lastLine(out.String()))
		return 0, &unmeasuredError{why}
	}
	return took, nil
}

// peerDeadline is how long a peer may take.
const peerDeadline = time.Minute

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
