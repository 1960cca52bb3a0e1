package vm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// ProbeOptions say with what to find out whether KVM works.
type ProbeOptions struct {
	QEMU     string // "" means qemu-system-x86_64 from PATH
	Kernel   string // any kernel that is going to be booted
	Format   string // of its image, part of the cache's key; "" means look: "vmlinux" for ELF, else "bzImage"
	CacheDir string // holds accel.json; "" means no cache

	device   string        // for tests; "" means /dev/kvm
	patience time.Duration // for tests; zero means probePatience
}

// probePatience is how long a guest may take to its kernel's first line. With
// a KVM that works it is a fraction of a second.
const probePatience = 3 * time.Second

// Probe answers which accelerator to use, and why in one line. A /dev/kvm that
// opens can still be useless (a nested paravirtual host), so the probe is a
// boot up to the kernel's first console line. The answer is cached for this
// boot of the host and the image's format.
func Probe(ctx context.Context, o ProbeOptions) (accel Accel, why string) {
	o = o.resolve()
	if err := openDevice(o.device); err != nil {
		return TCG, fmt.Sprintf("%v", err)
	}
	if a, why, ok := Lookup(o); ok {
		return a, why
	}
	a := o.boot(ctx)
	if a.conclusive {
		a.store(o)
	}
	return a.Accel, a.Why
}

// Lookup answers what an earlier Probe found out, without a probe.
func Lookup(o ProbeOptions) (accel Accel, why string, ok bool) {
	o = o.resolve()
	for _, a := range readAnswers(o.CacheDir) {
		if a.Key == o.key() && (a.Accel == KVM || a.Accel == TCG) {
			return a.Accel, a.Why, true
		}
	}
	return "", "", false
}

func (o ProbeOptions) resolve() ProbeOptions {
	o.QEMU = cmp.Or(o.QEMU, defaultQEMU)
	o.device = cmp.Or(o.device, "/dev/kvm")
	o.patience = cmp.Or(o.patience, probePatience)
	if o.Format == "" {
		o.Format = imageFormat(o.Kernel)
	}
	return o
}

func imageFormat(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "bzImage" // QEMU will say what is wrong with it
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(f, magic); err == nil && string(magic) == "\x7fELF" {
		return "vmlinux"
	}
	return "bzImage"
}

func openDevice(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w (join the group that owns it)", err)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// answer is what a probe found out.
type answer struct {
	Key   string `json:"key"`
	Accel Accel  `json:"accel"`
	Why   string `json:"why"`

	conclusive bool // says something about the host, not about this one try
}

// answerForm changes when answers of older versions are of no use: their Why
// began with the accelerator.
const answerForm = "2"

// key names what an answer holds for: this boot of this host, the QEMU, and
// the image's format.
func (o ProbeOptions) key() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	parts := []string{strings.TrimSpace(string(id)), strings.TrimSpace(string(release)), o.QEMU, o.Format, answerForm}
	return strings.Join(parts, " ")
}

// boot starts the kernel under KVM and waits for its first line.
func (o ProbeOptions) boot(ctx context.Context) answer {
	start := time.Now()
	w, err := newConsoleChannel()
	if err != nil {
		return answer{Accel: TCG, Why: err.Error()}
	}
	defer w.host.Close()
	said := &lastLine{}
	p, err := startProcess(o.QEMU, probeArgv(o.Kernel), []*os.File{w.guest}, said.set)
	w.guest.Close()
	if err != nil {
		return answer{Accel: TCG, Why: fmt.Sprintf("start qemu: %v", err)}
	}
	defer func() {
		p.kill()
		<-p.done
	}()
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	w.host.SetReadDeadline(start.Add(o.patience))
	err = firstLine(w.host)
	return o.conclude(ctx, p, said, err, time.Since(start))
}

// conclude turns what was seen of the guest into an answer.
func (o ProbeOptions) conclude(ctx context.Context, p *process, said *lastLine, err error, took time.Duration) answer {
	switch {
	case err == nil:
		return answer{Accel: KVM, Why: fmt.Sprintf("a guest's kernel printed its first line after %.1f s", took.Seconds()), conclusive: true}
	case ctx.Err() != nil:
		return answer{Accel: TCG, Why: "the probe of kvm was interrupted"}
	case errors.Is(err, os.ErrDeadlineExceeded) && said.get() == "":
		return answer{Accel: TCG, Why: fmt.Sprintf("%s opens but a guest's kernel printed nothing in %v", o.device, o.patience), conclusive: true}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		<-p.done // for QEMU's last words
	}
	line := cmp.Or(said.get(), "the guest ended before its kernel's first line")
	return answer{Accel: TCG, Why: fmt.Sprintf("%s opens but a guest does not run: %s", o.device, line), conclusive: strings.Contains(strings.ToLower(line), "kvm")}
}

// probeArgv is the smallest machine that shows that KVM works. earlyprintk
// makes the kernel speak before it has found its console.
func probeArgv(kernel string) []string {
	m := Machine{Accel: KVM, CPUs: 1, MemMiB: 256}
	args := append(board(m).qemu, bare.qemu...)
	return append(args, "-no-reboot", "-chardev", live.console, "-serial", "chardev:console",
		"-kernel", kernel, "-append", "earlyprintk=serial,ttyS0,115200 console=ttyS0 panic=-1")
}

// firstLine reads until a kernel has said what it is.
func firstLine(r io.Reader) error {
	var seen []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		seen = append(seen, buf[:n]...)
		switch {
		case bytes.Contains(seen, []byte("Linux version")):
			return nil
		case err != nil:
			return err
		case len(seen) > 1<<20:
			return errors.New("no kernel's first line in 1 MiB of console")
		}
	}
}

// lastLine keeps what QEMU said: the line that matters, else the last one.
type lastLine struct {
	mu       sync.Mutex
	line     string
	internal bool
}

// set takes a line of QEMU's stderr; true means that QEMU will never get on.
func (l *lastLine) set(line string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.internal || strings.Contains(line, "warning: ") {
		return false
	}
	l.line, l.internal = line, isInternal(line)
	return l.internal
}

func (l *lastLine) get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.line
}

const answersFile = "accel.json"

// readAnswers reads the cache. A missing or damaged one is an empty one: the
// next probe writes it anew.
func readAnswers(dir string) []answer {
	data, err := os.ReadFile(filepath.Join(dir, answersFile))
	if dir == "" || err != nil {
		return nil
	}
	var all []answer
	if json.Unmarshal(data, &all) != nil {
		return nil
	}
	return all
}

// store puts an answer into the cache. The cache only saves time, so a
// directory that cannot be written means another probe the next time.
func (a answer) store(o ProbeOptions) {
	if o.CacheDir == "" {
		return
	}
	a.Key = o.key()
	boot, _, _ := strings.Cut(a.Key, " ")
	all := []answer{a}
	for _, old := range readAnswers(o.CacheDir) { // of this boot of the host
		if strings.HasPrefix(old.Key, boot) && old.Key != a.Key {
			all = append(all, old)
		}
	}
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return
	}
	if os.MkdirAll(o.CacheDir, 0o755) == nil {
		_ = renameio.WriteFile(filepath.Join(o.CacheDir, answersFile), append(data, '\n'), 0o644)
	}
}
