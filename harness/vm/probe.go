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
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"tokentest/harness/arch"
)

// ProbeOptions are the inputs of Probe.
type ProbeOptions struct {
	Arch     *arch.Arch // of the kernel; nil means arch.Default
	QEMU     string     // "" means the architecture's from PATH
	Kernel   string     // the image of any kernel that will be booted
	Format   string     // of the image, "vmlinux" or "bzImage"; "" means that Probe reads the image
	CacheDir string     // holds accel.json; "" means no cache

	device  string        // tests replace it; "" means /dev/kvm
	host    string        // its GOARCH; tests replace it
	timeout time.Duration // tests replace it; zero means probeTimeout
}

// probeTimeout is how long a kernel may take to its first console line. If KVM works,
// that takes a fraction of a second.
const probeTimeout = 3 * time.Second

// Probe returns which accelerator to use, and why in one line. A /dev/kvm that opens
// can still be useless (on a nested paravirtual host), so the probe is a boot up to the
// kernel's first console line. The result is cached for this boot of the host and the
// image's format.
func Probe(ctx context.Context, o ProbeOptions) (accel Accel, why string) {
	o = o.resolve()
	if o.Arch.GOARCH != o.host {
		return TCG, fmt.Sprintf("the guest is %s and this host %s", o.Arch, cmp.Or(arch.Name(o.host), o.host))
	}
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

// Lookup returns the cached result of an earlier Probe.
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
	o.Arch = arch.Or(o.Arch)
	o.QEMU = cmp.Or(o.QEMU, o.Arch.QEMU.Program)
	o.host = cmp.Or(o.host, runtime.GOARCH)
	o.device = cmp.Or(o.device, "/dev/kvm")
	o.timeout = cmp.Or(o.timeout, probeTimeout)
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

// answer is the result of a probe, as the cache stores it.
type answer struct {
	Key   string `json:"key"`
	Accel Accel  `json:"accel"`
	Why   string `json:"why"`

	conclusive bool // it holds for the host, not only for this attempt
}

// answerForm changes when cached answers of older versions must not be used.
const answerForm = "2"

// key names what an answer holds for: this boot of this host, QEMU, and the image's
// format.
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
	p, err := startProcess(o.QEMU, probeArgv(o.Arch, o.Kernel), []*os.File{w.guest}, said.set)
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
	w.host.SetReadDeadline(start.Add(o.timeout))
	err = firstLine(w.host)
	return o.conclude(ctx, p, said, err, time.Since(start))
}

// conclude turns the outcome of a probe's boot into an answer.
func (o ProbeOptions) conclude(ctx context.Context, p *process, said *lastLine, err error, took time.Duration) answer {
	switch {
	case err == nil:
		return answer{
			Accel: KVM, conclusive: true,
			Why: fmt.Sprintf("a guest's kernel printed its first line after %.1f s", took.Seconds()),
		}
	case ctx.Err() != nil:
		return answer{Accel: TCG, Why: "the probe of kvm was interrupted"}
	case errors.Is(err, os.ErrDeadlineExceeded) && said.get() == "":
		return answer{
			Accel: TCG, conclusive: true,
			Why: fmt.Sprintf("%s opens but a guest's kernel printed nothing in %v", o.device, o.timeout),
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		<-p.done // for QEMU's last words
	}
	line := cmp.Or(said.get(), "the guest ended before its kernel's first line")
	return answer{
		Accel: TCG, conclusive: strings.Contains(strings.ToLower(line), "kvm"),
		Why: fmt.Sprintf("%s opens but a guest does not run: %s", o.device, line),
	}
}

// probeArgv is the smallest machine that shows that KVM works. earlyprintk makes the
// kernel print before it has set up its console.
func probeArgv(of *arch.Arch, kernel string) []string {
	m := Machine{Arch: of, Accel: KVM, CPUs: 1, MemMiB: 256}
	args := append(board(m).qemu, bare.qemu...)
	args = append(append(args, "-no-reboot", "-chardev", live.console), of.QEMU.Console...)
	return append(args, "-kernel", kernel, "-append", of.QEMU.Early+" console="+of.QEMU.TTY+" panic=-1")
}

// firstLine reads until the kernel has printed its version.
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
			return errors.New("no kernel version in 1 MiB of console")
		}
	}
}

// lastLine keeps the line of QEMU's stderr that says most: an internal error, else the
// last one.
type lastLine struct {
	mu       sync.Mutex
	line     string
	internal bool
}

// set takes a line of QEMU's stderr. It returns true if QEMU can do nothing useful
// after it.
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

// readAnswers reads the cache. A missing or damaged cache counts as empty; the next
// probe writes it.
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

// store puts an answer into the cache. The cache only saves time, so an error only
// means another probe the next time.
func (a answer) store(o ProbeOptions) {
	if o.CacheDir == "" {
		return
	}
	a.Key = o.key()
	boot, _, _ := strings.Cut(a.Key, " ")
	all := []answer{a}
	for _, old := range readAnswers(o.CacheDir) { // keep those of this boot of the host
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
