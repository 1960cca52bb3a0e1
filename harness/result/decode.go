package result

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
)

// recordDecoder decodes lines of records.jsonl. A million cases have a
// hundred thousand names, and what follows the name is one of a few hundred
// texts: each is decoded once, and what is equal is kept once.
type recordDecoder struct {
	names map[string]string
	tails map[string]*CaseResult
}

func newRecordDecoder() *recordDecoder {
	return &recordDecoder{names: map[string]string{}, tails: map[string]*CaseResult{}}
}

var (
	beforeKernel = []byte(`{"kernel":`)
	beforeCase   = []byte(`,"case":"`)
)

// maxTails bounds what is kept: a run whose every answer differs is decoded
// line by line.
const maxTails = 1 << 16

// decode decodes a line. What does not look as this program writes it is left
// to the JSON decoder alone.
func (d *recordDecoder) decode(line []byte, rec *record) error {
	kernel, name, tail, ok := split(line)
	if !ok {
		return json.Unmarshal(line, rec)
	}
	c := d.tails[string(tail)]
	if c == nil {
		if err := json.Unmarshal(line, rec); err != nil || rec.CaseResult == nil {
			return err
		}
		if len(d.tails) < maxTails {
			kept := *rec.CaseResult
			d.tails[string(tail)] = &kept
		}
		rec.CaseResult.ID = d.name(name)
		return nil
	}
	own := *c
	own.ID = d.name(name)
	rec.Kernel, rec.CaseResult = kernel, &own
	return nil
}

func (d *recordDecoder) name(raw []byte) string {
	if s, ok := d.names[string(raw)]; ok {
		return s
	}
	s := string(raw)
	d.names[s] = s
	return s
}

// split takes a case's line apart, when its name needs no decoding.
func split(line []byte) (kernel int, name, tail []byte, ok bool) {
	rest, ok := bytes.CutPrefix(line, beforeKernel)
	if !ok {
		return 0, nil, nil, false
	}
	i := 0
	for ; i < len(rest) && i < 6 && rest[i] >= '0' && rest[i] <= '9'; i++ {
		kernel = 10*kernel + int(rest[i]-'0')
	}
	rest, ok = bytes.CutPrefix(rest[i:], beforeCase)
	end := bytes.IndexByte(rest, '"')
	if !ok || i == 0 || end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 {
		return 0, nil, nil, false
	}
	return kernel, rest[:end], rest[end:], true
}

// readLine reads up to a newline; the line is good until the next read.
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
