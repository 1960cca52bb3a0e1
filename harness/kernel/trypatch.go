package kernel

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// try applies patches to an index of their own, without files, and returns a *PatchError for one that does not apply:
// a tree as large as the kernel's is checked out in a minute, and its index is read in a second. What try cannot
// tell, git am will.
func (r *repo) try(ctx context.Context, base string, files []string) error {
	r.forgetTrials()
	dir, err := os.MkdirTemp(r.dir, trialPrefix)
	if err != nil {
		return fmt.Errorf("try the patches: %w", err)
	}
	defer os.RemoveAll(dir)
	t := &trialIndex{repo: r, dir: dir}
	if _, err := t.git(ctx, nil, "read-tree", base); err != nil {
		return ctx.Err()
	}
	for _, f := range files {
		if known, err := t.apply(ctx, f); err != nil || !known {
			return err
		}
	}
	return nil
}

// trialPrefix begins the names of directories that are there while patches are tried.
const trialPrefix = "try-"

// forgetTrials removes what killed processes left.
func (r *repo) forgetTrials() {
	dirs, _ := filepath.Glob(filepath.Join(r.dir, trialPrefix+"*")) // the pattern is well formed
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.RemoveAll(dir)
		}
	}
}

// trialIndex is an index to which patches are applied.
type trialIndex struct {
	repo *repo
	dir  string // holds the index and the mails
}

// git runs git with the index and returns everything that it prints.
func (t *trialIndex) git(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	cmd := t.repo.command(ctx, args...)
	cmd.Env = append(cmd.Env, "GIT_INDEX_FILE="+filepath.Join(t.dir, "index"))
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	return cmd.CombinedOutput()
}

var subjectLine = regexp.MustCompile(`(?m)^Subject: (.*)$`)

// apply applies the mails of a file. known is false if they cannot be read as git am reads them.
func (t *trialIndex) apply(ctx context.Context, file string) (known bool, err error) {
	mails, err := os.MkdirTemp(t.dir, "mails-")
	if err != nil {
		return false, fmt.Errorf("try the patches: %w", err)
	}
	if _, err := t.git(ctx, nil, "mailsplit", "-o"+mails, file); err != nil {
		return false, ctx.Err()
	}
	list, err := filepath.Glob(filepath.Join(mails, "*"))
	if err != nil {
		return false, err
	}
	slices.Sort(list) // mailsplit numbers them with leading zeros
	for _, mail := range list {
		if known, err := t.applyMail(ctx, file, mail); err != nil || !known {
			return known, err
		}
	}
	return true, nil
}

func (t *trialIndex) applyMail(ctx context.Context, file, mail string) (known bool, err error) {
	text, err := os.ReadFile(mail)
	if err != nil {
		return false, fmt.Errorf("try the patches: %w", err)
	}
	patch := mail + ".patch"
	info, err := t.git(ctx, text, "mailinfo", mail+".message", patch)
	if err != nil {
		return false, ctx.Err()
	}
	diff, err := os.ReadFile(patch)
	if err != nil {
		return false, fmt.Errorf("try the patches: %w", err)
	}
	if len(bytes.TrimSpace(diff)) == 0 { // a cover letter
		return true, nil
	}
	out, err := t.git(ctx, nil, "apply", "--cached", patch)
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	}
	subject := "?"
	if m := subjectLine.FindSubmatch(info); m != nil {
		subject = string(m[1])
	}
	e := explain(file, subject, strings.TrimSpace(string(diff)), string(out))
	if bytes.Contains(out, []byte("fatal: ")) { // git itself failed
		return false, nil
	}
	return true, e
}

var (
	applying    = regexp.MustCompile(`(?m)^Applying: (.*)$`)
	patchFailed = regexp.MustCompile(`(?m)^error: patch failed: (.+):(\d+)$`)
	otherError  = regexp.MustCompile(`(?m)^(?:error|fatal): (.*)$`)
)

// explain reads the output of git am or git apply and finds the hunk that does not apply. diff is the patch.
func explain(file, subject, diff, out string) *PatchError {
	e := &PatchError{File: filepath.Base(file), Patch: subject}
	for _, m := range patchFailed.FindAllStringSubmatch(out, -1) {
		e.Where = append(e.Where, fmt.Sprintf("%s:%s does not match%s", m[1], m[2], hunk(diff, m[1], m[2])))
	}
	if e.Where == nil {
		for _, m := range otherError.FindAllStringSubmatch(out, -1) {
			e.Where = append(e.Where, m[1])
		}
	}
	if e.Where == nil { // git am says why without a word before it
		e.Where = append(e.Where, strings.TrimSpace(strings.SplitN(strings.TrimSpace(out), "\n", 2)[0]))
	}
	return e
}

// hunk names a hunk by its number and its first line.
func hunk(diff, file, line string) string {
	files, _, err := gitdiff.Parse(strings.NewReader(diff + "\n"))
	if err != nil {
		return ""
	}
	for _, f := range files {
		if f.OldName != file && f.NewName != file {
			continue
		}
		for i, h := range f.TextFragments {
			if fmt.Sprint(h.OldPosition) == line {
				return fmt.Sprintf(" (hunk %d of %d: @@ -%d,%d +%d,%d @@ %s)", i+1, len(f.TextFragments), h.OldPosition, h.OldLines,
					h.NewPosition, h.NewLines, h.Comment)
			}
		}
	}
	return ""
}
