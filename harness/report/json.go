package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"tokentest/harness/result"
)

// jsonRun is run.json with the exit code that the run gives.
type jsonRun struct {
	*result.Run
	ExitCode int      `json:"exit_code"`
	Kernels  struct{} `json:"kernels,omitzero"` // hides the run's; they follow one by one
}

// jsonKernel is a kernel of run.json with what its cases count.
type jsonKernel struct {
	*result.KernelRun
	Counts map[result.Status]int `json:"counts"`
}

// JSON renders everything: run.json with each kernel's cases in it. Cases are
// encoded one by one, so that a million of them need no memory of their own.
func JSON(r *result.Run, w io.Writer, _ Options) error {
	j := &jsonWriter{w: bufio.NewWriter(w)}
	j.object("", jsonRun{Run: r, ExitCode: r.ExitCode()}, "kernels", len(r.Kernels), func(i int) {
		k := r.Kernels[i]
		j.object("    ", jsonKernel{k, k.Counts()}, "cases", len(k.Cases), func(i int) {
			j.w.Write(j.encode("        ", &k.Cases[i]))
		})
	})
	fmt.Fprintln(j.w)
	if j.err != nil {
		return j.err
	}
	return flush(j.w)
}

// jsonWriter keeps the first error of an encoding; w keeps that of a write.
type jsonWriter struct {
	w   *bufio.Writer
	err error
}

// object writes v with one more member behind its own: a list of n elements.
func (j *jsonWriter) object(prefix string, v any, member string, n int, element func(int)) {
	head := bytes.TrimSuffix(j.encode(prefix, v), []byte("\n"+prefix+"}"))
	fmt.Fprintf(j.w, "%s,\n%s  %q: [", head, prefix, member)
	for i := range n {
		if i > 0 {
			j.w.WriteByte(',')
		}
		fmt.Fprintf(j.w, "\n%s    ", prefix)
		element(i)
	}
	if n > 0 {
		fmt.Fprintf(j.w, "\n%s  ", prefix)
	}
	fmt.Fprintf(j.w, "]\n%s}", prefix)
}

// encode renders v as it stands behind prefix. Its text stays readable: no HTML
// page ever holds it.
func (j *jsonWriter) encode(prefix string, v any) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, "  ")
	if err := e.Encode(v); err != nil && j.err == nil {
		j.err = fmt.Errorf("encode the run: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
