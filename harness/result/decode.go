package result

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Loader reads stored runs, and stores once what they have in common. The zero value reads
// everything of a run but the set-ups.
type Loader struct {
	// Keep chooses cases by their names; nil means all.
	Keep func(id string) bool
	// Worlds also reads the observations of the set-ups, which Again needs.
	Worlds bool

	pool *pool
}

var (
	beforeKernel = []byte(`{"kernel":`)
	beforeCase   = []byte(`,"case":"`)
	beforeWorld  = []byte(`,"world":`)
)

func (l *Loader) records(r *Run, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the run's records: %w", err)
	}
	defer f.Close()
	return l.read(r, bufio.NewReaderSize(f, 1<<16), newLedger(path, r.Records, true), 1)
}

// read reads lines, the first of which is the nth of the file, and checks them against the
// ledger.
func (l *Loader) read(r *Run, in *bufio.Reader, led *ledger, n int) error {
	if l.pool == nil {
		l.pool = newPool()
	}
	for _, k := range r.Kernels {
		k.packed = &packedCases{pool: l.pool}
	}
	for ; ; n++ {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			led.end(n, len(line) > 0) // text after the last newline is a record that was cut off
			r.account(led)
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the run's records: %w", err)
		}
		record, counts := led.take(line, n)
		if !counts {
			continue
		}
		if err := l.line(r, record); err != nil {
			return fmt.Errorf("%s:%d: %w", led.path, n, err)
		}
	}
}

// account stores what the records lack.
func (r *Run) account(led *ledger) {
	r.Damage, r.MoreDamage, r.Unverified = led.damage, led.more, led.unverified()
	for _, k := range r.Kernels {
		if k.Error == "" {
			k.Absent = max(0, k.Planned-k.packed.recorded)
		}
	}
}

// line reads one record. A record in another form than this program writes goes to the JSON
// decoder.
func (l *Loader) line(r *Run, line []byte) error {
	kernel, name, rest, ok := split(line)
	if !ok {
		return l.decode(r, line, nil)
	}
	k, err := r.kernel(kernel)
	switch {
	case err != nil:
		return err
	case name == nil && !l.Worlds: // a world
		return nil
	case name == nil:
		return l.decode(r, line, nil)
	case l.Keep != nil && !l.Keep(string(name)):
		k.packed.recorded++
		return nil
	}
	n, known := l.pool.bodyAt[string(rest)]
	if !known {
		return l.decode(r, line, rest)
	}
	k.packed.recorded++
	k.packed.add(l.pool.name(name), n)
	return nil
}

// decode reads a record with a new body, or of another form.
func (l *Loader) decode(r *Run, line, rest []byte) error {
	var rec record
	if err := json.Unmarshal(line, &rec); err != nil {
		return err
	}
	k, err := r.kernel(rec.Kernel)
	switch {
	case err != nil:
		return err
	case rec.World != nil:
		if l.Worlds {
			k.Worlds = append(k.Worlds, *rec.World)
		}
		return nil
	case rec.CaseResult == nil || rec.ID == "":
		return unknown(line)
	}
	rec.CaseResult.complete()
	if k.packed.recorded++; l.Keep == nil || l.Keep(rec.ID) {
		k.packed.add(l.pool.name([]byte(rec.ID)), l.pool.keep(rec.CaseResult, rest))
	}
	return nil
}

// unknown accepts a record of an unknown kind, which a newer tokentest may write.
func unknown(line []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		return err
	}
	delete(members, "kernel")
	for member := range members {
		if !slices.Contains([]string{"case", "world", "status", "reason", "cause", "boot", "steps", "times"}, member) {
			return nil
		}
	}
	return fmt.Errorf("neither a case nor a world")
}

// kernel returns the kernel of a record.
func (r *Run) kernel(i int) (*KernelRun, error) {
	if i < 0 || i >= len(r.Kernels) {
		return nil, fmt.Errorf("kernel %d is not in the run", i)
	}
	return r.Kernels[i], nil
}

// split splits a line into the kernel's index, the name of the case and the rest. A world
// has no name. ok is false if the name needs decoding.
func split(line []byte) (kernel int, name, rest []byte, ok bool) {
	text, ok := bytes.CutPrefix(line, beforeKernel)
	if !ok {
		return 0, nil, nil, false
	}
	i := 0
	for ; i < len(text) && i < 6 && text[i] >= '0' && text[i] <= '9'; i++ {
		kernel = 10*kernel + int(text[i]-'0')
	}
	if text = text[i:]; i > 0 && bytes.HasPrefix(text, beforeWorld) {
		return kernel, nil, nil, true
	}
	text, ok = bytes.CutPrefix(text, beforeCase)
	end := bytes.IndexByte(text, '"')
	if !ok || i == 0 || end <= 0 || bytes.IndexByte(text[:end], '\\') >= 0 {
		return 0, nil, nil, false
	}
	return kernel, text[:end], text[end:], true
}

// readLine reads up to a newline; the line is valid until the next read.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	whole := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = in.ReadSlice('\n')
		whole = append(whole, line...)
	}
	return whole, err
}
