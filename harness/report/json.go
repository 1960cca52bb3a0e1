package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"

	"tokentest/harness/result"
)

// jsonRun is run.json with the exit code that the run gives.
type jsonRun struct {
	*result.Run
	lacking
	ExitCode int      `json:"exit_code"`
	Kernels  struct{} `json:"kernels,omitzero"` // hides the run's kernels, which follow one by one
}

// lacking is what is known about a run after its records were read.
type lacking struct {
	Damage     []result.Damage `json:"damage,omitempty"`
	MoreDamage int             `json:"more_damage,omitempty"`
	Unverified bool            `json:"unverified,omitempty"`
	Resume     []string        `json:"resume,omitempty"`
}

func lackingOf(r *result.Run) lacking {
	return lacking{r.Damage, r.MoreDamage, r.Unverified, r.Resume}
}

// jsonKernel is a kernel of run.json with the counts of its cases.
type jsonKernel struct {
	*result.KernelRun
	Counts map[result.Status]int `json:"counts"`
	Absent int                   `json:"absent,omitempty"` // cases that have no record
}

func newJSONKernel(k *result.KernelRun) jsonKernel { return jsonKernel{k, k.Counts(), k.Absent} }

// JSON renders everything: run.json with each kernel's cases, one a line. It encodes them
// one by one, so that a million cases need no extra memory.
func JSON(r *result.Run, w io.Writer, _ Options) error {
	j := &jsonWriter{w: bufio.NewWriter(w)}
	j.object("", jsonRun{Run: r, lacking: lackingOf(r), ExitCode: r.ExitCode()}, "kernels", len(r.Kernels), func(i int) {
		k := r.Kernels[i]
		next, stop := iter.Pull(k.All())
		defer stop()
		j.object("    ", newJSONKernel(k), "cases", k.Len(), func(int) {
			c, _ := next()
			j.w.WriteByte('{')
			j.w.Write(j.members(c))
		})
	})
	fmt.Fprintln(j.w)
	if j.err != nil {
		return j.err
	}
	return flush(j.w)
}

// jsonWriter keeps the first encoding error; w keeps the first write error.
type jsonWriter struct {
	w     *bufio.Writer
	err   error
	tails map[string][]byte // everything after a case's name, by tailKey
	name  []byte
}

// object writes v with one more member at the end: a list of n elements.
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

// maxTails limits how many encoded tails are kept.
const maxTails = 1 << 14

// members renders a case's members and the closing brace. Most of a run's million cases
// differ only in their names: the rest is encoded once.
func (j *jsonWriter) members(c *result.CaseResult) []byte {
	key := tailKey(c)
	tail := j.tails[key]
	if tail == nil {
		bare := *c
		bare.ID = ""
		tail = bytes.TrimPrefix(j.compact(bare), []byte(`{"case":""`))
		if j.tails == nil {
			j.tails = map[string][]byte{}
		}
		if key != "" && len(j.tails) < maxTails {
			j.tails[key] = tail
		}
	}
	j.name = append(append(j.name[:0], `"case":`...), j.compact(c.ID)...)
	return append(j.name, tail...)
}

// tailKey is equal for cases that differ only in their names; "" for a case with more than
// a few members.
func tailKey(c *result.CaseResult) string {
	switch {
	case c.Status == result.Skip && len(c.Steps) == 0:
		return fmt.Sprintf("%d %s %v", c.Boot, c.Reason, c.Cause)
	case c.Status != result.Pass || len(c.Steps) != 1 || len(c.Steps[0].Got.Values) > 0 || c.Reason != "",
		c.Cause.Kind != "":
		return ""
	}
	s := &c.Steps[0]
	if s.Text+s.Rule+s.Func+s.Pin != "" || s.Want != nil || s.Wrong {
		return ""
	}
	return string(append(strconv.AppendInt(nil, int64(c.Boot)<<24|int64(s.Got.Proof)<<16|int64(s.Got.Errno), 10), s.ID...))
}

// compact renders v on one line.
func (j *jsonWriter) compact(v any) []byte {
	if s, ok := v.(string); ok && plainJSON(s) {
		return append(append([]byte{'"'}, s...), '"')
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil && j.err == nil {
		j.err = fmt.Errorf("encode the run: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// plainJSON reports whether a text needs no escape in JSON.
func plainJSON(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// encode renders v, indented with prefix. It does not escape for HTML, because no page
// contains the result.
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
