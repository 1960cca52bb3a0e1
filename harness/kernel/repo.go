package kernel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tokentest/harness/cachedir"
	"tokentest/harness/child"
	"tokentest/harness/lockfile"
)

// repo is our own work tree, in which kernels are checked out, patched and built. It uses the
// objects of the user's repository and writes nothing there.
type repo struct {
	dir  string // holds src, the work tree, and a directory of objects for each configuration
	name string // for people
}

func (r *repo) src() string { return filepath.Join(r.dir, "src") }

// git runs git in our work tree without the user's settings: it runs no hook and signs nothing, so
// that the result depends only on its input.
func (r *repo) git(ctx context.Context, args ...string) (string, error) {
	return output(r.command(ctx, args...))
}

func (r *repo) command(ctx context.Context, args ...string) *child.Cmd {
	cmd := command(ctx, "git", append([]string{"-C", r.src(), "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0"},
		args...)...)
	cmd.Env = append(cmd.Env, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=tokentest", "GIT_AUTHOR_EMAIL=tokentest", "GIT_AUTHOR_DATE=@0 +0000",
		"GIT_COMMITTER_NAME=tokentest", "GIT_COMMITTER_EMAIL=tokentest", "GIT_COMMITTER_DATE=@0 +0000")
	cmd.Env = without(cmd.Env, "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
	return cmd
}

// without removes variables. git sets some of them for its children, such as those of git bisect
// run, and they would make git use the user's tree.
func without(env []string, names ...string) []string {
	var out []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		keep := true
		for _, n := range names {
			keep = keep && n != name
		}
		if keep {
			out = append(out, e)
		}
	}
	return out
}

// output returns a program's stdout; its error is the last line of stderr.
func output(cmd *child.Cmd) (string, error) {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err == nil {
		return strings.TrimSpace(string(out)), nil
	}
	return "", complaintOf(err, complaint.String())
}

// complaintOf is the error of a git that failed, with the last line that it printed.
func complaintOf(err error, text string) error {
	text = strings.TrimSpace(text)
	if errors.Is(err, exec.ErrNotFound) || text == "" {
		return err
	}
	return errors.New(strings.TrimPrefix(text[strings.LastIndexByte(text, '\n')+1:], "fatal: "))
}

// borrow makes the work tree for a user's repository, unless it exists.
func (c cache) borrow(ctx context.Context, dir string) (*repo, error) {
	git := func(args ...string) (string, error) {
		cmd := command(ctx, "git", append([]string{"-C", dir}, args...)...)
		cmd.Env = without(cmd.Env, "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
		return output(cmd)
	}
	common, err := git("rev-parse", "--path-format=absolute", "--git-common-dir")
	if err != nil {
		return nil, fmt.Errorf("read the git repository %s: %w", dir, err)
	}
	id := sha256.Sum256([]byte(common))
	r := &repo{dir: c.path("trees", hex.EncodeToString(id[:8])), name: dir}
	ctx, unlock, err := c.lock(ctx, "borrow-"+filepath.Base(r.dir), Options{})
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := errors.Join(os.MkdirAll(r.src(), 0o755), cachedir.Hold(r.dir)); err != nil {
		return nil, fmt.Errorf("make a work tree: %w", err)
	}
	if _, err := r.git(ctx, "init", "-q", "--template="); err != nil {
		return nil, fmt.Errorf("make a work tree: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(r.src(), ".git", "objects", "info"), 0o755); err != nil {
		return nil, fmt.Errorf("make a work tree: %w", err)
	}
	if err := os.WriteFile(filepath.Join(r.src(), ".git", "objects", "info", "alternates"),
		[]byte(filepath.Join(common, "objects")+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("make a work tree: %w", err)
	}
	return r, r.copyShallow(common)
}

// copyShallow copies the list of commits at which a shallow clone's history ends.
func (r *repo) copyShallow(common string) error {
	to := filepath.Join(r.src(), ".git", "shallow")
	text, err := os.ReadFile(filepath.Join(common, "shallow"))
	if errors.Is(err, os.ErrNotExist) {
		os.Remove(to)
		return nil
	}
	if err != nil {
		return fmt.Errorf("make a work tree: %w", err)
	}
	return os.WriteFile(to, text, 0o644)
}

// commitOf resolves a revision in the user's repository.
func commitOf(ctx context.Context, ref, dir, rev string) (string, error) {
	cmd := command(ctx, "git", "-C", dir, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	cmd.Env = without(cmd.Env, "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
	out, err := output(cmd)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return "", errors.New("git: kernels need git, which this host does not have: install the package git")
	case err != nil && !isRepository(ctx, dir):
		return "", &UsageError{Ref: ref, Reason: dir + " is not a git repository"}
	case err != nil:
		return "", &UsageError{Ref: ref, Reason: "no revision " + rev + " in " + dir}
	}
	return out, nil
}

func isRepository(ctx context.Context, dir string) bool {
	_, err := output(command(ctx, "git", "-C", dir, "rev-parse", "--git-dir"))
	return err == nil
}

// gitPatience is how long a lock file of the user's git may exist. A git that was killed leaves one.
const gitPatience = 2 * time.Minute

// snapshot makes a commit of a work tree with the changes of tracked files. It does not change the
// user's branches, index and files.
func snapshot(ctx context.Context, ref, dir string, o Options) (commit string, changed bool, err error) {
	head, err := commitOf(ctx, ref, dir, "HEAD")
	if err != nil {
		return "", false, err
	}
	lock, err := output(command(ctx, "git", "-C", dir, "rev-parse", "--path-format=absolute", "--git-path", "index.lock"))
	if err == nil {
		err = lockfile.AwaitGone(ctx, lock, gitPatience, o.log) // stash refreshes the index
	}
	if err != nil {
		return "", false, fmt.Errorf("read the changes in %s: %w", dir, err)
	}
	stash, err := output(command(ctx, "git", "-C", dir, "-c", "user.name=tokentest", "-c", "user.email=tokentest", "stash",
		"create"))
	if err != nil {
		return "", false, fmt.Errorf("read the changes in %s: %w", dir, err)
	}
	if stash == "" {
		return head, false, nil
	}
	return stash, true, nil
}

// checkout makes the work tree equal to a commit. Unchanged files keep their times, so that make
// builds only the changed ones.
func (r *repo) checkout(ctx context.Context, commit string, o Options) error {
	os.RemoveAll(filepath.Join(r.src(), ".git", "rebase-apply"))
	// The lock is that of a git that was killed, because this process has the lock of the tree.
	os.Remove(filepath.Join(r.src(), ".git", "index.lock"))
	if n := r.toWrite(ctx, commit); n >= manyFiles {
		o.log("checking out %.12s of %s: %d files are to be written, which takes a minute or more", commit, r.name, n)
	}
	var said lastPart
	stop := o.during(func() string { return said.checkoutText(commit) })
	defer stop()
	if err := followed(r.command(ctx, "checkout", "-q", "--progress", "--force", "--detach", commit), &said); err != nil {
		return fmt.Errorf("check out %.12s of %s: %w", commit, r.name, err)
	}
	if _, err := r.git(ctx, "clean", "-ffdxq"); err != nil {
		return fmt.Errorf("check out %.12s of %s: %w", commit, r.name, err)
	}
	return nil
}

// manyFiles is how many files a checkout must write to be announced before it begins.
const manyFiles = 10000

// toWrite is how many files a checkout of a commit writes or removes; 0 if git does not know the
// commit, which the checkout reports.
func (r *repo) toWrite(ctx context.Context, commit string) int {
	list := []string{"ls-tree", "-r", "-z", "--name-only", commit}
	if head, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "HEAD"); err == nil {
		list = []string{"diff-tree", "-r", "-z", "--name-only", head, commit}
	}
	names, err := r.git(ctx, list...)
	if err != nil {
		return 0
	}
	return strings.Count(names, "\x00")
}

// PatchError means that a patch does not apply.
type PatchError struct {
	Patch string // its subject
	File  string // the file that holds it
	Where []string
}

func (e *PatchError) Error() string {
	s := fmt.Sprintf("apply patch %q of %s", e.Patch, e.File)
	if len(e.Where) > 0 {
		s += ": " + strings.Join(e.Where, "; ")
	}
	return s
}

// am applies patches on a commit and returns the commits that it made, oldest
// first. The same patches on the same commit make the same commits, and are
// applied once.
// The work tree is locked only for that: what is applied needs no other build
// to end.
func (r *repo) am(ctx context.Context, ref, base string, files []string, o Options,
	lock func() (context.Context, func(), error)) ([]string, error) {
	h := sha256.New()
	io.WriteString(h, base)
	for _, f := range files {
		text, err := readable(ref, f)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(h, "%d\n", len(text))
		h.Write(text)
	}
	io.WriteString(h, arrangement)
	name := "refs/tokentest/" + hex.EncodeToString(h.Sum(nil))[:24]
	if _, err := r.git(ctx, "rev-parse", "--verify", "--quiet", name); err != nil {
		dir, err := os.MkdirTemp(r.dir, trialPrefix)
		if err != nil {
			return nil, fmt.Errorf("read the patches: %w", err)
		}
		defer os.RemoveAll(dir)
		if files, err = r.arrange(ctx, ref, dir, files); err != nil {
			return nil, err
		}
		if err := r.try(ctx, base, files); err != nil {
			return nil, err
		}
		ctx, unlock, err := lock()
		if err != nil {
			return nil, err
		}
		defer unlock()
		if err := r.apply(ctx, base, files, o); err != nil {
			return nil, err
		}
		if _, err := r.git(ctx, "update-ref", name, "HEAD"); err != nil {
			return nil, fmt.Errorf("keep the patched tree: %w", err)
		}
	}
	out, err := r.git(ctx, "rev-list", "--reverse", base+".."+name)
	if err != nil {
		return nil, fmt.Errorf("list the applied patches: %w", err)
	}
	commits := strings.Fields(out)
	if len(commits) == 0 {
		return nil, &UsageError{Ref: ref, Reason: "the patches change nothing"}
	}
	return commits, nil
}

func (r *repo) apply(ctx context.Context, base string, files []string, o Options) error {
	if err := r.checkout(ctx, base, o); err != nil {
		return err
	}
	for _, f := range files {
		cmd := r.command(ctx, "am", "--no-gpg-sign", "--committer-date-is-author-date", "--empty=drop", f)
		out, err := cmd.CombinedOutput()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			current, _ := r.git(ctx, "am", "--show-current-patch=diff")
			r.git(context.WithoutCancel(ctx), "am", "--abort")
			subject := "?"
			if m := applying.FindAllSubmatch(out, -1); m != nil {
				subject = string(m[len(m)-1][1])
			}
			return explain(f, subject, current, string(out))
		}
	}
	return nil
}

// treeOf is the digest of a commit's files. Commits with the same files are built once.
func (r *repo) treeOf(ctx context.Context, commit string) (string, error) {
	out, err := r.git(ctx, "rev-parse", commit+"^{tree}")
	if err != nil {
		return "", fmt.Errorf("read commit %.12s of %s: %w", commit, r.name, err)
	}
	return out, nil
}
