package result

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/gzip"

	"tokentest/harness/vm"
)

// baselineHead is the first line of a baseline. Records as in records.jsonl follow.
type baselineHead struct {
	Baseline int  `json:"baseline"` // the version, that of the record
	Run      *Run `json:"run"`
}

// WriteBaseline writes a file to compare later runs with: every decision, and nothing that
// changes without one. It compresses the file if its name ends in .gz.
func WriteBaseline(path string, r *Run) error {
	var out bytes.Buffer
	if err := encodeBaseline(&out, r); err != nil {
		return fmt.Errorf("write the baseline %s: %w", path, err)
	}
	if strings.HasSuffix(path, ".gz") {
		var small bytes.Buffer
		z := gzip.NewWriter(&small)
		if _, err := io.Copy(z, &out); err != nil {
			return fmt.Errorf("write the baseline %s: %w", path, err)
		}
		if err := z.Close(); err != nil {
			return fmt.Errorf("write the baseline %s: %w", path, err)
		}
		out = small
	}
	if err := renameio.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the baseline: %w", err)
	}
	return nil
}

func encodeBaseline(w io.Writer, r *Run) error {
	var records bytes.Buffer
	lines := json.NewEncoder(&records)
	lines.SetEscapeHTML(false)
	head := baselineHead{Version, r.bare()}
	head.Run.Records = &Seal{}
	for i, k := range r.Kernels {
		for c := range k.All() {
			c := *c
			c.Boot = -1
			if c.Status == Pass || c.Status == Skip {
				c.Steps = gotten(c.Steps)
			}
			if err := lines.Encode(record{Kernel: i, CaseResult: &c}); err != nil {
				return err
			}
			head.Run.Records.Count++
		}
		head.Run.Kernels[i].Planned = k.Len()
	}
	sum := sha256.Sum256(records.Bytes())
	head.Run.Records.SHA256 = hex.EncodeToString(sum[:])
	first := json.NewEncoder(w)
	first.SetEscapeHTML(false)
	if err := first.Encode(head); err != nil {
		return err
	}
	_, err := records.WriteTo(w)
	return err
}

// gotten is the observations of steps, without the expectations.
func gotten(steps []StepResult) []StepResult {
	out := make([]StepResult, len(steps))
	for i := range steps {
		out[i] = StepResult{Got: steps[i].Got, ID: steps[i].ID, Measured: steps[i].Measured}
	}
	return out
}

// bare is the run with only what belongs to its decisions: kernels that decide the same give
// the same baseline, wherever and whenever they ran.
func (r *Run) bare() *Run {
	out := &Run{Version: r.Version, Tool: r.Tool, Selection: r.Selection, Seed: r.Seed, AllowEmpty: r.AllowEmpty}
	for _, k := range r.Kernels {
		small := &KernelRun{
			Ref: k.Ref, Arch: k.Arch, Release: k.Release, Append: k.Append, Note: k.Note, Drift: k.Drift,
			Repeated: k.Repeated, Error: k.Error, Unbuilt: k.Unbuilt,
		}
		for _, b := range k.Boots {
			if len(b.Findings) == 0 && b.Blame == "" && b.Fate != vm.Panicked && b.Fate != vm.Hung {
				continue // it has no symptom
			}
			small.Boots = append(small.Boots, Boot{
				Fate: b.Fate, Reason: b.Reason, Findings: b.Findings, Blame: b.Blame, Blamed: b.Blamed, Known: b.Known,
			})
		}
		out.Kernels = append(out.Kernels, small)
	}
	return out
}

// Baseline reads a baseline as a run; path ends in .gz if the file is compressed.
func (l *Loader) Baseline(path string) (*Run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the baseline: %w", err)
	}
	defer f.Close()
	in := bufio.NewReader(f)
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("read the baseline %s: %w", path, err)
		}
		in = bufio.NewReader(z)
	}
	line, err := in.ReadBytes('\n')
	var head baselineHead
	if err == nil {
		err = json.Unmarshal(line, &head)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s:1: not a baseline: %w; write one with tokentest compare --write-baseline", path, err)
	case head.Baseline < 1 || head.Run == nil:
		return nil, fmt.Errorf("%s:1: not a baseline; write one with tokentest compare --write-baseline", path)
	}
	if err := head.Run.usable(path); err != nil {
		return nil, err
	}
	head.Run.complete()
	return head.Run, l.read(head.Run, in, newLedger(path, head.Run.Records, false), 2)
}

// Side reads one side of a comparison: the directory of a run, a directory that holds those
// of several runs (the parts of a split run), a baseline, or several of these, separated by
// commas.
func (l *Loader) Side(name string) (*Side, error) {
	s := &Side{Name: name}
	for _, path := range strings.Split(name, ",") {
		runs, parts, err := l.any(path)
		if err != nil {
			return nil, err
		}
		s.Runs, s.parted = append(s.Runs, runs...), s.parted || parts
	}
	return s, nil
}

// any reads a baseline, a run, or the runs in a directory, which may be parts of one.
func (l *Loader) any(path string) (runs []*Run, parts bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, fmt.Errorf("find a run or a baseline: %w", err)
	}
	if !info.IsDir() {
		r, err := l.Baseline(path)
		return []*Run{r}, false, err
	}
	dirs := []string{path}
	if _, err := os.Stat(filepath.Join(path, runFile)); errors.Is(err, fs.ErrNotExist) && !hasInvocation(path) {
		if dirs, err = runsBelow(path); err != nil {
			return nil, false, err
		}
		parts = true
	}
	for _, dir := range dirs {
		r, err := l.Load(dir)
		if err != nil {
			return nil, false, err
		}
		runs = append(runs, r)
	}
	return runs, parts, nil
}

// Runs lists the directories of the runs in a directory, by name, which is the oldest first
// if the names are times.
func Runs(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*", runFile))
	if err != nil {
		return nil, fmt.Errorf("list the runs in %s: %w", dir, err)
	}
	for i := range names {
		names[i] = filepath.Dir(names[i])
	}
	slices.Sort(names)
	return names, nil
}

// Unended lists the directories of the runs in a directory that have not ended.
func Unended(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*", InvocationFile))
	if err != nil {
		return nil, fmt.Errorf("list the runs in %s: %w", dir, err)
	}
	var out []string
	for _, name := range names {
		run := filepath.Dir(name)
		if _, err := os.Stat(filepath.Join(run, runFile)); errors.Is(err, fs.ErrNotExist) {
			out = append(out, run)
		}
	}
	return out, nil
}

func runsBelow(dir string) ([]string, error) {
	if list, err := Unended(dir); err != nil || len(list) > 0 {
		return list, err // Load says what is wrong with the first
	}
	names, err := Runs(dir)
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s holds no run: neither it nor a directory in it has a %s: %w", dir, runFile, fs.ErrNotExist)
	}
	return names, err
}
