package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"

	"tokentest/harness/arch"
	"tokentest/harness/child"
	"tokentest/harness/lockfile"
)

// apt runs the host's apt with private state: it neither reads nor changes the host's package
// lists, caches and locks. The mirror, proxies and trusted keys come from the host's
// configuration.
type apt struct {
	dir     string // of the private state
	arch    *arch.Arch
	conf    string // read after the host's configuration, so it wins
	helper  string // apt-helper, which downloads and unpacks as apt does
	keyring string // of Debian's archive; "" means the keys that the host's apt trusts
}

// settings is apt.conf(5) for the private state. The sandbox user is cleared
// because apt's own user cannot write under a home directory. Only Packages
// files are fetched: other index targets (AppStream's) double the download.
const settings = `Dir::State "%[1]s";
Dir::State::lists "%[1]s/lists";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "%[2]s";
APT::Architectures "%[2]s";
APT::Sandbox::User "";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::Retries "1";
Acquire::http::Timeout "30";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets;
Acquire::IndexTargets::deb::Packages {
	MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages";
	ShortDescription "Packages";
	Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages";
	flatMetaKey "Packages";
	flatDescription "$(RELEASE) Packages";
	Optional "false";
};
`

// configure writes the private state's configuration and sources.
func (a *apt) configure(ctx context.Context) error {
	sources, err := a.sources(ctx)
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"apt.conf":     fmt.Sprintf(settings, a.dir, a.arch),
		"status":       "",
		"sources.list": sources,
	} {
		if err := renameio.WriteFile(filepath.Join(a.dir, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("configure apt: %w", err)
		}
	}
	return nil
}

// sources renders sources.list(5) for every suite.
func (a *apt) sources(ctx context.Context) (string, error) {
	m, err := a.mirror(ctx)
	if err != nil {
		return "", err
	}
	options := "arch=" + a.arch.Name
	if a.keyring != "" {
		options += " signed-by=" + a.keyring
	}
	var b strings.Builder
	for _, suite := range suites {
		if root := m.root(suite); root != "" {
			fmt.Fprintf(&b, "deb [%s] %s %s main\n", options, root, suite)
		}
	}
	return b.String(), nil
}

// failures maps the suites that an update did not refresh to the reason.
type failures map[string]string

// first returns the reason of the first suite in the order of suites.
func (f failures) first() string {
	for _, s := range suites {
		if f[s] != "" {
			return f[s]
		}
	}
	return "no reason given"
}

// refresh runs apt-get update once no other apt works in the private state, because apt does not
// wait for the lock of its lists.
func (a *apt) refresh(ctx context.Context, log func(string, ...any)) ([]byte, error) {
	lock := filepath.Join(a.dir, "lists", "lock")
	for {
		if err := lockfile.AwaitUnlocked(ctx, lock, log); err != nil {
			return nil, fmt.Errorf("wait for apt: %w", err)
		}
		// Its package cache would cost more time than the lists, and is not used.
		cmd := command(ctx, "apt-get", "-c", a.conf, "-o", "pkgCacheFile::Generate=false", "-q", "update")
		out, err := cmd.CombinedOutput()
		if pid, lockErr := lockfile.Holder(lock); err == nil || pid == 0 || lockErr != nil {
			return out, err
		} // another apt took the lock first
	}
}

// What the package lists take, and what updating them may take, in MiB.
const (
	firstListsMiB  = 200
	updateListsMiB = 64
)

// checkRoom refuses to update the package lists if the cache has too little space: apt waits for
// ever for a method that cannot write.
func (a *apt) checkRoom(free func(dir string) (mib uint64, err error)) error {
	need := uint64(updateListsMiB)
	if lists, _ := filepath.Glob(filepath.Join(a.dir, "lists", "*_Packages*")); len(lists) == 0 {
		need = firstListsMiB
	}
	mib, err := free(a.dir)
	if err != nil {
		return fmt.Errorf("update package lists: %w", err)
	}
	if mib < need {
		return fmt.Errorf("update package lists: %d MiB are free in %s, and apt needs %d; "+
			"make room, or name another directory with --cache", mib, a.dir, need)
	}
	return nil
}

// freeMiB returns what a user may still write into a directory.
func freeMiB(dir string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return s.Bavail * uint64(s.Bsize) >> 20, nil
}

// update refreshes the package lists. apt downloads only changed lists, and one suite's failure
// does not stop the others.
func (a *apt) update(ctx context.Context, log func(string, ...any)) (failures, error) {
	if err := a.configure(ctx); err != nil {
		return nil, err
	}
	if err := a.checkRoom(freeMiB); err != nil {
		return nil, err
	}
	out, err := a.refresh(ctx, log)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	failed := parseFailures(string(out))
	sources, _ := os.ReadFile(filepath.Join(a.dir, "sources.list"))
	switch {
	case err != nil && len(failed) == 0:
		return nil, fmt.Errorf("update package lists: %w", aptError(err, out))
	case len(failed) > 0 && len(failed) >= strings.Count(string(sources), "\n"):
		return nil, fmt.Errorf("update package lists: %s", failed.first())
	}
	return failed, nil
}

// complaints are apt's messages about a suite's failure: the first group is the suite, the
// second the reason.
var complaints = []*regexp.Regexp{
	regexp.MustCompile(`^[WE]: Failed to fetch \S+/dists/([^/\s]+)/\S*\s+(.*)`),
	regexp.MustCompile(`^[WE]: The repository '\S+ (\S+) (?:In)?Release' (.*)`),
	regexp.MustCompile(`^[WE]: .*GPG error: \S+ (\S+) (?:In)?Release: (.*)`),
}

func parseFailures(out string) failures {
	f := failures{}
	for line := range strings.Lines(out) {
		for _, c := range complaints {
			if m := c.FindStringSubmatch(strings.TrimSpace(line)); m != nil && f[m[1]] == "" {
				f[m[1]] = m[2]
			}
		}
	}
	return f
}

// readIndex selects the kernels from the lists on disk. apt names a list after its address, and
// moves it here once its signature is verified. apt would take 4 s to list the names, because it
// would parse all lists.
func (a *apt) readIndex(ctx context.Context) (*index, error) {
	x := &index{Time: time.Now(), Suites: map[string]string{}}
	found := make([][]pkg, len(suites))
	var group errgroup.Group
	group.SetLimit(4)
	for i, suite := range suites {
		stem := filepath.Join(a.dir, "lists", "*_dists_"+suite+"_")
		paths, err := filepath.Glob(stem + "main_binary-" + a.arch.Name + "_Packages*")
		if err != nil || len(paths) == 0 {
			continue
		}
		x.Suites[suite] = role(stem)
		group.Go(func() (err error) {
			found[i], err = a.readList(ctx, paths[0], suite)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	x.Packages = slices.Concat(found...)
	return x, nil
}

var suiteField = regexp.MustCompile(`(?m)^Suite: (\S+)$`)

// role reads the current role of a suite, such as stable, from its release file.
func role(stem string) string {
	paths, _ := filepath.Glob(stem + "*Release")
	for _, path := range paths {
		if b, err := os.ReadFile(path); err == nil {
			if m := suiteField.FindSubmatch(b); m != nil {
				return string(m[1])
			}
		}
	}
	return ""
}

// readList reads one list in any of apt's compression formats.
func (a *apt) readList(ctx context.Context, path, suite string) (found []pkg, err error) {
	err = stream(command(ctx, a.helper, "cat-file", path), func(r io.Reader) error {
		found, err = readPackages(r, suite, a.arch)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read package list of %s: %w", suite, err)
	}
	return found, nil
}

// goneError means that the mirror answers and no longer has a package.
type goneError struct{ pkg pkg }

func (e *goneError) Error() string {
	return fmt.Sprintf("fetch %s %s: the mirror's list has it, the mirror does not", e.pkg.Name, e.pkg.Version)
}

// fetch downloads packages into dir and returns their paths. apt compares them
// with the digests that its signed lists gave.
func (a *apt) fetch(ctx context.Context, dir string, packages []pkg) ([]string, error) {
	m, err := a.mirror(ctx)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, p := range packages {
		path := filepath.Join(dir, filepath.Base(p.File))
		if p.SHA256 == "" {
			return nil, fmt.Errorf("fetch %s: the package list has no SHA256 for it", p.Name)
		}
		cmd := command(ctx, a.helper, "-c", a.conf, "download-file", strings.TrimSuffix(m.root(p.Suite), "/")+"/"+p.File,
			path, "SHA256:"+p.SHA256)
		out, err := cmd.CombinedOutput()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && notFound.Match(out):
			return nil, &goneError{p}
		case err != nil:
			return nil, fmt.Errorf("fetch package %s %s: %w", p.Name, p.Version, aptError(err, out))
		}
		paths = append(paths, path)
	}
	return paths, nil
}

var notFound = regexp.MustCompile(`(?m)\b404 +Not Found`)

// aptError returns the line of apt's output with the cause.
func aptError(err error, out []byte) error {
	for line := range strings.Lines(string(out)) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), "E: "); ok {
			return errors.New(fetchFailed.ReplaceAllString(s, ""))
		}
	}
	if s := bytes.TrimSpace(out); len(s) > 0 {
		return fmt.Errorf("%w: %s", err, s[bytes.LastIndexByte(s, '\n')+1:])
	}
	return err
}

// fetchFailed is apt's text before the reason; the caller already names the package.
var fetchFailed = regexp.MustCompile(`^Failed to fetch \S+\s+`)

// command prepares a program whose messages are not translated and which ends,
// with its children, when ctx or this program does.
func command(ctx context.Context, name string, args ...string) *child.Cmd {
	cmd := child.Command(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	cmd.ExtraFiles = held(ctx)
	return cmd
}

// run returns a program's stdout; its error holds the program's stderr.
func run(cmd *child.Cmd) (string, error) {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", aptError(err, complaint.Bytes())
	}
	return string(out), nil
}

// errEnough is returned by a reader of a stream to end it early.
var errEnough = errors.New("enough read")

// stream passes a program's output to read. If the stream breaks off, the program's stderr is
// the better reason.
func stream(cmd *child.Cmd, read func(io.Reader) error) error {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := read(out)
	if readErr == nil {
		_, readErr = io.Copy(io.Discard, out)
	}
	out.Close() // the program gets a broken pipe if it still writes
	waitErr := cmd.Wait()
	switch {
	case errors.Is(readErr, errEnough):
		return nil
	case readErr != nil && !errors.Is(readErr, io.ErrUnexpectedEOF):
		return readErr
	case waitErr != nil:
		return aptError(waitErr, complaint.Bytes())
	}
	return readErr
}
