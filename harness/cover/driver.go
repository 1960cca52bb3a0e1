package cover

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/zstd"

	"tokentest/harness/cachedir"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// Options say what to measure.
type Options struct {
	Kernel  string   // a reference
	Args    []string // cases, patterns and case files; none means the default suite
	Full    bool     // with no Args: all cases
	Units   []string // patterns of source files; none means Chosen
	Symbols string   // a vmlinux with debug information; "" means the kernel's own
	// Fetch says that the distribution's debug package may be fetched.
	Fetch bool
	// Expect is a file with judged permission checks, as ParseJudged reads it; "" is none.
	Expect string
	Lab    lab.Lab // Dir must be set; its machines run under TCG
	// Log gets lines that say what is done. It must not be nil.
	Log func(format string, args ...any)
}

// Request is the plan of the cases.
func (o *Options) Request() plan.Request {
	return plan.Request{Kernels: []string{o.Kernel}, Args: o.Args, Full: o.Full}
}

// Machines are the settings of machines whose kernel is where its ELF file says, and that begin
// from a snapshot.
func (o *Options) Machines() lab.Lab {
	l := o.Lab
	l.Accel, l.Entry, l.Snapshot = string(vm.TCG), lab.DirectEntry, lab.AlwaysRestore
	return l
}

// Run runs the cases and returns what they executed of the kernel, and the run itself. An error that comes with a
// report is ErrJudged.
func Run(ctx context.Context, o Options) (*Report, *result.Run, error) {
	var judged []Judged
	if o.Expect != "" {
		var err error
		if judged, err = ReadJudged(o.Expect); err != nil {
			return nil, nil, err
		}
	}
	code, x, run, err := Trace(ctx, o)
	if err != nil {
		return nil, run, err
	}
	r := code.Measure(x)
	r.Kernel, r.Release, r.Cases = o.Kernel, run.Kernels[0].Release, run.Kernels[0].Len()
	return r, run, r.Judge(judged)
}

// Trace runs the cases and returns the kernel's code, what they executed of it, and the run itself.
func Trace(ctx context.Context, o Options) (*Code, Executed, *result.Run, error) {
	l := o.Machines()
	k, err := l.Resolve(ctx, o.Kernel)
	if err != nil {
		return nil, nil, nil, err
	}
	code, err := o.code(ctx, k)
	if err != nil {
		return nil, nil, nil, err
	}
	p, err := plan.Load(ctx, o.Request())
	if err != nil {
		return nil, nil, nil, err
	}
	l.Trace = code.Ranges()
	run, err := l.Run(ctx, p, nil)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil && run.Kernels[0].Error != "" {
		err = errors.New(run.Kernels[0].Error)
	}
	x := Executed{}
	if err == nil {
		err = x.boots(l.Dir, run.Kernels[0])
	}
	if err == nil {
		err = code.Check(x)
	}
	return code, x, run, err
}

// TraceProgram runs a program in a machine and adds what it executed of the code, with what the agent did for it.
func (c *Code) TraceProgram(ctx context.Context, l lab.Lab, ref string, p *lab.Program) (Executed, *lab.Ended, error) {
	l.Trace = c.Ranges()
	ended, err := l.Exec(ctx, ref, p)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	x := Executed{}
	if err == nil {
		err = x.boots(l.Dir, ended.Kernel)
	}
	return x, ended, err
}

// boots reads what the machines of a run logged, and removes it.
func (x Executed) boots(dir string, k *result.KernelRun) error {
	for _, b := range k.Boots {
		path := filepath.Join(dir, b.Dir, vm.TraceLog)
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a machine that booted because one that was restored did not do as expected
		}
		if err != nil {
			return fmt.Errorf("open QEMU's log of translated code: %w", err)
		}
		err = x.Read(f)
		f.Close()
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove QEMU's log of translated code: %w", err)
		}
	}
	return nil
}

// code reads the kernel's code and checks that it is of the image that boots.
func (o *Options) code(ctx context.Context, k *kernel.Kernel) (*Code, error) {
	units := o.Units
	if len(units) == 0 {
		units = Chosen
	}
	options := kernel.Options{CacheDir: o.Lab.CacheDir, Offline: o.Lab.Offline, Log: o.Log}
	image, err := k.Direct(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("find the code of %s: %w", o.Kernel, err)
	}
	f, err := elf.Open(image)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's ELF file: %w", err)
	}
	defer f.Close()
	id := buildID(f)
	path, err := o.keptPath(id, units)
	if err != nil {
		return nil, err
	}
	if c := recall[kept](path); c != nil && id != "" && c.BuildID == id {
		return c.code(), nil
	}
	if usual, err := o.keptPath(id, Chosen); err == nil && id != "" {
		if c := recall[kept](usual); c != nil && c.BuildID == id && c.only(units) {
			return c.code(), nil
		}
	}
	file, remove, err := o.vmlinux(ctx, k, options)
	if err != nil {
		return nil, err
	}
	defer remove()
	o.Log("reading the functions and lines of %s", o.Kernel)
	c, err := load(file, units)
	if err != nil {
		return nil, err
	}
	if id == "" || id != c.BuildID {
		return nil, fmt.Errorf("%s has the build ID %q, the image of %s has %q: give the vmlinux of that build",
			file, c.BuildID, o.Kernel, id)
	}
	if err := keep(path, c); err != nil {
		o.Log("cache the lines of %s: %v", o.Kernel, err)
	}
	return c.code(), nil
}

// vmlinux finds or fetches the file with the debug information. remove removes what was fetched.
func (o *Options) vmlinux(ctx context.Context, k *kernel.Kernel, options kernel.Options) (string, func(), error) {
	if file := cmp.Or(o.Symbols, k.Vmlinux()); file != "" {
		return file, func() {}, nil
	}
	if !o.Fetch {
		return "", nil, fmt.Errorf("%w: %s has no vmlinux beside it: give --symbols FILE, or --fetch-symbols "+
			"for its debug package of about 350 MB", ErrNoLines, o.Kernel)
	}
	dir, err := os.MkdirTemp("", "tokentest-symbols-")
	if err != nil {
		return "", nil, fmt.Errorf("make a directory for symbols: %w", err)
	}
	remove := func() { os.RemoveAll(dir) }
	file, err := k.FetchSymbols(ctx, dir, options)
	if err != nil {
		remove()
		return "", nil, err
	}
	return file, remove, nil
}

// keptFormat changes when kept does.
const keptFormat = "2\x00"

// keptPath is where the cache keeps the code of a build.
func (o *Options) keptPath(id string, units []string) (string, error) {
	dir, err := o.cacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(keptFormat + strings.Join(units, "\x00")))
	return filepath.Join(dir, "symbols", fmt.Sprintf("%s-%x.gob.zst", id, sum[:4])), nil
}

func (o *Options) cacheDir() (string, error) {
	if o.Lab.CacheDir != "" {
		return o.Lab.CacheDir, nil
	}
	dir, err := cachedir.Default()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	return dir, nil
}

// only leaves only the units with these names; it reports whether it has them all.
func (k *kept) only(names []string) bool {
	k.Units = slices.DeleteFunc(k.Units, func(u keptUnit) bool { return !slices.Contains(names, u.Name) })
	return len(k.Units) == len(names)
}

// keep stores something of a kernel in the cache for the next run.
func keep(path string, what any) error {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err == nil {
		err = errors.Join(gob.NewEncoder(z).Encode(what), z.Close())
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = renameio.WriteFile(path, b.Bytes(), 0o644)
	}
	return err
}

// recall returns what keep stored; nil if there is none, or it is damaged.
func recall[T any](path string) *T {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		return nil
	}
	defer z.Close()
	out := new(T)
	if gob.NewDecoder(z).Decode(out) != nil {
		return nil
	}
	return out
}
