package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"tokentest/harness/result"
)

// JSONL renders a run as independent lines: one for the run, one for each kernel, one for
// each case, and at the end one with the verdict.
func JSONL(r *result.Run, w io.Writer, _ Options) error {
	j := &jsonWriter{w: bufio.NewWriter(w)}
	bare := *r
	bare.Kernels = nil
	j.line(struct {
		Type string `json:"type"`
		*result.Run
		lacking
		Kernels struct{} `json:"kernels,omitzero"`
	}{"run", &bare, lackingOf(r), struct{}{}})
	for i, k := range r.Kernels {
		j.line(struct {
			Type  string `json:"type"`
			Index int    `json:"kernel"`
			jsonKernel
		}{"kernel", i, newJSONKernel(k)})
		for c := range k.All() {
			j.caseLine(i, k, c)
		}
	}
	j.line(struct {
		Type     string `json:"type"`
		ExitCode int    `json:"exit_code"`
	}{"end", r.ExitCode()})
	if j.err != nil {
		return j.err
	}
	return flush(j.w)
}

// caseLine writes a case after the kernel's name.
func (j *jsonWriter) caseLine(i int, k *result.KernelRun, c *result.CaseResult) {
	ref, err := json.Marshal(k.Ref)
	if err != nil && j.err == nil {
		j.err = fmt.Errorf("encode the run: %w", err)
	}
	fmt.Fprintf(j.w, `{"type":"case","kernel":%d,"ref":%s,`, i, ref)
	j.w.Write(j.members(c))
	j.w.WriteByte('\n')
}

func (j *jsonWriter) line(v any) {
	j.w.Write(j.compact(v))
	j.w.WriteByte('\n')
}
