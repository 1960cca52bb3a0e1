package repro

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"tokentest/harness/count"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/runs"
)

// RunDir is the directory of the stored run that the only argument names; "" if it names none.
func RunDir(args []string) string {
	if len(args) != 1 {
		return ""
	}
	dir, err := runs.Find(args[0])
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(dir, "run.json")); err != nil {
		return ""
	}
	return dir
}

// WriteOfRun is OfRun for a stored run. It says on w how many programs it wrote.
func WriteOfRun(ctx context.Context, w io.Writer, dir string) error {
	r, err := runs.Load(&result.Loader{}, dir)
	if err != nil {
		return err
	}
	n, err := OfRun(ctx, r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "wrote %s to %s\n", count.Of(n, "program"), filepath.Dir(result.ReproFile(r.Dir, 0, "")))
	return err
}

// OfRun writes a C program for each cause for which a kernel of a run differs from the rules, into the directory of the
// run, and returns how many. Cases that cannot be written as C are left out; without a difference nothing is written.
func OfRun(ctx context.Context, r *result.Run) (n int, err error) {
	causes := make([][]string, len(r.Kernels))
	for i, k := range r.Kernels {
		if k.Facts != nil {
			causes[i] = report.Causes(k)
		}
		n += len(causes[i])
	}
	// An interrupted run ends at once, and one that is damaged on purpose differs from other rules.
	if n == 0 || ctx.Err() != nil || r.Lies() != "" {
		return 0, nil
	}
	corpus, err := runs.Corpus(ctx, r)
	if err != nil {
		return 0, err
	}
	n = 0
	for i, ids := range causes {
		first := firstWrong(r.Kernels[i])
		for _, id := range ids {
			var b bytes.Buffer
			var no *RefusedError
			c := corpus.Case(id)
			if c == nil {
				continue
			}
			if err := WriteUntil(&b, c, r.Kernels[i].Facts, first[id]); errors.As(err, &no) {
				continue
			} else if err != nil {
				return n, err
			}
			file := result.ReproFile(r.Dir, i, id)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return n, fmt.Errorf("make the directory for C programs: %w", err)
			}
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				return n, fmt.Errorf("write a C program: %w", err)
			}
			n++
		}
	}
	return n, nil
}

// firstWrong is how many of its own steps each case that failed made up to the one that decides.
func firstWrong(k *result.KernelRun) map[string]int {
	out := map[string]int{}
	for c := range k.Those(result.Fail) {
		if c.Decisive() != nil {
			out[c.ID] = c.Cause.Step
		}
	}
	return out
}
