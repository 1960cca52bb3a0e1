package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"tokentest/harness/lockfile"
	"tokentest/kconfig"
)

// make configures and compiles in a directory of objects that is kept, so that the next commit
// builds only the changed files.
func (j *job) make(ctx context.Context) error {
	start := time.Now()
	var err error
	if err := errors.Join(os.MkdirAll(j.out, 0o755), os.MkdirAll(j.path("builds"), 0o755)); err != nil {
		return fmt.Errorf("make a directory to build in: %w", err)
	}
	if j.hold, err = lockfile.Lock(ctx, j.out+".lock", func() {
		j.log("waiting for programs of an interrupted build in %s", j.out)
	}); err != nil {
		return fmt.Errorf("lock the objects of earlier builds: %w", err)
	}
	defer j.hold.Close()
	if err := j.repo.checkout(ctx, j.Commit, j.Options); err != nil {
		return err
	}
	for _, name := range []string{"Makefile", "Kconfig"} {
		if !exists(j.repo.src(), name) {
			return &NoKernelError{j.Ref, "it has no " + name}
		}
	}
	done, err := j.begin()
	if err != nil {
		return err
	}
	logFile, err := os.Create(filepath.Join(j.out, buildLog))
	if err != nil {
		return fmt.Errorf("begin the build's log: %w", err)
	}
	defer logFile.Close()
	long := ""
	if !exists(j.out, ".config") { // the first file that any build leaves there
		long = ": nothing is compiled yet, so it takes many minutes; later builds compile only what differs"
	}
	release, err := j.configure(ctx, logFile)
	if err == nil {
		j.log("building %s (%s, %d at a time)%s", j.Name, release, j.jobs(), long)
		err = j.compile(ctx, logFile)
	}
	if err != nil {
		if Unbuildable(err) { // make ended by itself and left no partial file
			done()
		}
		return err
	}
	if err := j.crossCheck(release); err != nil {
		return err
	}
	if err := j.install(release, time.Since(start)); err != nil {
		return fmt.Errorf("keep the build of %s: %w", j.Ref, err)
	}
	done()
	j.log("built %s in %.0f s", j.Name, time.Since(start).Seconds())
	return nil
}

// unfinished marks a directory of objects while a build runs in it.
const unfinished = ".unfinished"

// begin cleans up after an interrupted build: its last file may be partial and have a new time, so
// that make would use it.
func (j *job) begin() (done func(), err error) {
	mark := filepath.Join(j.out, unfinished)
	if stat, err := os.Stat(mark); err == nil {
		j.log("an earlier build in %s was interrupted: rebuilding its last files", j.out)
		if err := removeNewer(j.out, stat.ModTime()); err != nil {
			return nil, fmt.Errorf("clean up after an interrupted build: %w", err)
		}
	}
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		return nil, fmt.Errorf("begin a build: %w", err)
	}
	return func() { os.Remove(mark) }, nil
}

// removeNewer removes the files that were written since.
func removeNewer(dir string, since time.Time) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && !info.ModTime().Before(since) {
			err = os.Remove(path)
		}
		return err
	})
}

// fixed are the variables that make the same source and configuration give the same image.
var fixed = []string{"KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970", "KBUILD_BUILD_VERSION=1",
	"KBUILD_BUILD_USER=tokentest", "KBUILD_BUILD_HOST=tokentest", "LOCALVERSION=", "CCACHE_NOHASHDIR=1"}

// run runs make.
func (j *job) run(ctx context.Context, log *os.File, vars []string, targets ...string) error {
	args := append([]string{"-C", j.repo.src(), "O=" + j.out, "ARCH=" + j.target.Linux}, j.tools.vars...)
	cmd := command(ctx, "make", append(append(args, vars...), targets...)...)
	cmd.Env = append(buildEnv(cmd.Env), fixed...)
	cmd.ExtraFiles = append(slices.Clone(held(ctx)), j.hold) // the next build waits for the last compiler
	cmd.Stdout, cmd.Stderr = log, log
	return cmd.Run()
}

// configure merges the fragments and returns the release to build. An option that olddefconfig
// changed is an error.
func (j *job) configure(ctx context.Context, log *os.File) (string, error) {
	rel := j.sourceRelease()
	var merged bytes.Buffer
	merged.Write(j.config)
	over, err := kconfig.Merge(&merged, j.Fragments, rel)
	if err != nil {
		return "", err
	}
	for _, line := range over {
		j.log("%s", line)
	}
	asked, target, vars := filepath.Join(j.out, "asked.config"), "allnoconfig", []string(nil)
	if j.config != nil {
		asked, target = filepath.Join(j.out, ".config"), "olddefconfig"
	} else {
		vars = []string{"KCONFIG_ALLCONFIG=" + asked}
	}
	if err := os.WriteFile(asked, merged.Bytes(), 0o644); err != nil {
		return "", fmt.Errorf("write the merged fragments: %w", err)
	}
	if err := j.run(ctx, log, vars, "-s", target); err != nil {
		return "", j.failed(ctx, err)
	}
	config, err := readConfig(filepath.Join(j.out, ".config"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", j.without("make " + target + " wrote no .config")
	}
	if err != nil {
		return "", fmt.Errorf("read the new configuration: %w", err)
	}
	if err := j.kept(config, rel); err != nil {
		return "", err
	}
	return j.kernelRelease(ctx, log)
}

func (j *job) kept(config kconfig.Config, rel string) error {
	e := &ConfigError{Ref: j.Ref}
	lost, gone := kconfig.Lost(config, rel, j.Fragments...)
	if len(gone) > 0 {
		var names []string
		for _, u := range gone {
			names = append(names, u.Name)
		}
		j.log("%s: also switched off: %s", j.Ref, strings.Join(names, " "))
	}
	for _, u := range lost {
		e.Lost = append(e.Lost, u.String()+": "+kconfig.Why(j.repo.src(), j.target, u.Name))
	}
	if len(e.Lost) > 0 {
		return e
	}
	return nil
}

var makeVersion = regexp.MustCompile(`(?m)^(VERSION|PATCHLEVEL) = (\d+)$`)

// sourceRelease reads the first two numbers of the release from the Makefile.
func (j *job) sourceRelease() string {
	text, err := os.ReadFile(filepath.Join(j.repo.src(), "Makefile"))
	m := makeVersion.FindAllSubmatch(text[:min(len(text), 4096)], -1)
	if err != nil || len(m) != 2 {
		return ""
	}
	return string(m[0][2]) + "." + string(m[1][2])
}

func (j *job) kernelRelease(ctx context.Context, log *os.File) (string, error) {
	if err := j.run(ctx, log, nil, "-s", "include/config/kernel.release"); err != nil {
		return "", j.failed(ctx, err)
	}
	text, err := os.ReadFile(filepath.Join(j.out, "include", "config", "kernel.release"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", j.without("make wrote no include/config/kernel.release")
	}
	if err != nil {
		return "", fmt.Errorf("read the release to be built: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func (j *job) jobs() int {
	if j.Jobs > 0 {
		return j.Jobs
	}
	return runtime.NumCPU()
}

func (j *job) compile(ctx context.Context, log *os.File) error {
	if err := os.Remove(filepath.Join(j.out, j.target.Image.Path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the old image: %w", err)
	}
	stop := j.during(j.buildText())
	defer stop()
	if err := j.run(ctx, log, nil, fmt.Sprintf("-j%d", j.jobs()), j.target.Image.Target); err != nil {
		return j.failed(ctx, err)
	}
	return nil
}

// crossCheck compares the release in the image with the release of the source.
func (j *job) crossCheck(release string) error {
	image := filepath.Join(j.out, j.target.Image.Path)
	if _, err := os.Stat(image); errors.Is(err, fs.ErrNotExist) {
		return j.without("make " + j.target.Image.Target + " wrote no " + j.target.Image.Path)
	}
	k, err := readImage(image)
	var bad *UsageError
	if errors.As(err, &bad) {
		return j.without("what make " + j.target.Image.Target + " wrote is " + bad.Reason)
	}
	if err != nil {
		return fmt.Errorf("build %s: make succeeded, but %w", j.Ref, err)
	}
	if k.Release != release {
		return fmt.Errorf("build %s: the image has the release %s, the source %s", j.Ref, k.Release, release)
	}
	return nil
}

// without is the error for a file that make did not write although it succeeded.
func (j *job) without(why string) error { return &NoKernelError{j.Ref, why} }

// failed distinguishes the host's faults from the source's.
func (j *job) failed(ctx context.Context, err error) error {
	log := filepath.Join(j.out, buildLog)
	text, readErr := os.ReadFile(log)
	switch {
	case ctx.Err() != nil:
		return &interruptedError{j.Ref}
	case readErr != nil:
		return fmt.Errorf("build %s: %w", j.Ref, err)
	case roomless.Match(text):
		return j.full()
	case bytes.Contains(text, []byte("virtual memory exhausted")), bytes.Contains(text, []byte("Cannot allocate memory")),
		killed.Match(text):
		return fmt.Errorf("build %s: the host ran out of memory, or the compiler was killed: try --jobs 1; the log is "+
			"%s", j.Ref, log)
	}
	kept := j.keepLog(text)
	return &BuildError{Ref: j.Ref, Lines: complaintsOf(string(text), j.repo.src(), j.out), Log: kept}
}

// interruptedError means that the user interrupted a build.
type interruptedError struct{ ref string }

func (e *interruptedError) Error() string {
	return fmt.Sprintf("build %s: interrupted; compiled files are kept, and the next build continues from them", e.ref)
}

func (e *interruptedError) Is(target error) bool { return target == context.Canceled }

// roomless matches the messages of programs about a full disk.
var roomless = regexp.MustCompile(`(?i)no space left on device|out of disk ?space|disk quota exceeded`)

// full is the error for a full disk. The program that failed may have removed its files, so there
// may be room again.
func (j *job) full() error {
	var stat syscall.Statfs_t
	syscall.Statfs(j.repo.dir, &stat)
	return fmt.Errorf("build %s: the disk was full (%d MB are free now for %s): make room, or name another place with "+
		"--cache", j.Ref, stat.Bavail*uint64(stat.Bsize)/1e6, j.repo.dir)
}

var killed = regexp.MustCompile(`(?m)(Killed signal terminated program|^make.*\] (Killed|Terminated)$)`)

// keepLog stores the log of a failed build next to the builds, because the directory of objects is
// reused.
func (j *job) keepLog(text []byte) string {
	path := j.path("builds", "failed-"+j.key[:16]+".log")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return filepath.Join(j.out, buildLog)
	}
	return path
}

// compilerErrors match the error lines of compiler, assembler, linker, objtool, kconfig and make,
// the most specific first.
var compilerErrors = []*regexp.Regexp{
	regexp.MustCompile(`^\S+:\d+(:\d+)?: (fatal )?[Ee]rror: .*|^\S+:\d+: syntax error.*`),
	regexp.MustCompile(`undefined reference to|multiple definition of|^ld(\.\S+)?: .*|^FAILED: .*|` +
		`^(BTF|BTFIDS).*: error.*|: error: .*`),
	regexp.MustCompile(`^make(\[\d+\])?: \*\*\* .*`),
}

// complaintsOf returns the compiler's first errors in a log, each with the source line and the mark
// under it.
func complaintsOf(text, src, out string) []string {
	const most = 4
	lines := strings.Split(strings.NewReplacer(src+"/", "", out+"/", "", "../src/", "").Replace(text), "\n")
	for _, form := range compilerErrors {
		var found []string
		n := 0
		for i, line := range lines {
			if !form.MatchString(line) {
				continue
			}
			if n++; n > most {
				continue
			}
			found = append(found, line)
			for _, next := range lines[i+1 : min(len(lines), i+3)] {
				if strings.HasPrefix(next, " ") && strings.Contains(next, "|") {
					found = append(found, next)
				}
			}
		}
		if n > most {
			found = append(found, fmt.Sprintf("and %d more", n-most))
		}
		if n > 0 {
			return found
		}
	}
	return lines[max(0, len(lines)-4):]
}
