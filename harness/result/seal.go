package result

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"slices"
	"strconv"
)

// Seal counts and digests the records of a run that has ended.
type Seal struct {
	Count  int    `json:"count"`  // of records: cases and worlds
	SHA256 string `json:"sha256"` // of the file
}

// Each record ends with its number and with the checksum of everything before the checksum,
// so that a line shows by itself what is wrong with it.
var (
	beforeNumber = []byte(`,"n":`)
	beforeSum    = []byte(`,"sum":"`)
	afterSum     = []byte("\"}\n")
)

// sumLen is the length of a checksum: CRC-32C in hexadecimal.
const sumLen = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed numbers a record: an object on a line, from {" to }\n.
func sealed(line []byte, n int) []byte {
	out := append(bytes.TrimSuffix(line, []byte("}\n")), beforeNumber...)
	out = strconv.AppendInt(out, int64(n), 10)
	sum := crc32.Checksum(out, castagnoli)
	return fmt.Appendf(out, "%s%08x%s", beforeSum, sum, afterSum)
}

// unsealed removes number and checksum from a line, which it changes. A line without them
// stays as it is.
func unsealed(line []byte) (record []byte, n int, numbered, whole bool) {
	at := len(line) - len(afterSum) - sumLen - len(beforeSum)
	if at < 0 || !bytes.HasPrefix(line[at:], beforeSum) || !bytes.HasSuffix(line, afterSum) {
		return line, 0, false, true
	}
	head, sum := line[:at], line[at+len(beforeSum):len(line)-len(afterSum)]
	i := bytes.LastIndex(head, beforeNumber)
	if i < 0 {
		return line, 0, true, false
	}
	var want [sumLen / 2]byte
	n, err := strconv.Atoi(string(head[i+len(beforeNumber):]))
	if err != nil {
		return line, 0, true, false
	}
	_, err = hex.Decode(want[:], sum)
	if err != nil || binary.BigEndian.Uint32(want[:]) != crc32.Checksum(head, castagnoli) {
		return line, 0, true, false
	}
	line[i] = '}'
	return line[:i+1], n, true, true
}

// Fault is a way in which stored records differ from what was written.
type Fault string

// The faults.
const (
	Altered    Fault = "altered"    // the checksum does not match
	Unnumbered Fault = "unnumbered" // the record has no number, but others have
	Skipped    Fault = "skipped"    // records before it are missing
	Misplaced  Fault = "misplaced"  // a later record comes before it
	Repeated   Fault = "repeated"   // its number occurred before
	Surplus    Fault = "surplus"    // its number is above the count in the seal
	Torn       Fault = "torn"       // the last line has no newline
	CutOff     Fault = "cut off"    // records after it are missing
	Other      Fault = "other"      // all numbers are right, but the digest differs
)

// Damage is a place where the stored records of a run differ from what was written.
type Damage struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	Fault Fault  `json:"fault"`
	// Record is the number of the record at the line, Want the number that it must have
	// or the count of records; 0 is unknown.
	Record int `json:"record,omitempty"`
	Want   int `json:"want,omitempty"`
}

// String describes the damage in one line.
func (d *Damage) String() string {
	text := ""
	switch d.Fault {
	case Altered:
		text = "the record was altered (its checksum does not match), and does not count"
	case Unnumbered:
		text = "the record has no number and no checksum, and does not count"
	case Skipped:
		text = fmt.Sprintf("record %d where record %d must be", d.Record, d.Want)
	case Misplaced:
		text = fmt.Sprintf("record %d is out of place", d.Record)
	case Repeated:
		text = fmt.Sprintf("record %d is there twice", d.Record)
	case Surplus:
		text = fmt.Sprintf("record %d, and the run ended with %d", d.Record, d.Want)
	case Torn:
		text = "the last record is cut off, and does not count"
	case CutOff:
		text = fmt.Sprintf("the file ends after record %d of %d", d.Record, d.Want)
	case Other:
		text = "the records are not those that the run ended with: their SHA-256 differs"
	}
	return fmt.Sprintf("%s:%d: %s", d.File, d.Line, text)
}

// maxDamage is how many places of a file are listed; a file that was sorted is damaged in
// every line.
const maxDamage = 8

// ledger checks records against what was written, line by line.
type ledger struct {
	path     string
	seal     *Seal // nil for a run that did not end, and for an older one
	numbered bool  // each record must have a number
	plain    bool  // one has none
	count    int   // lines
	next     int   // the next number
	gaps     []gap
	digest   hash.Hash
	damage   []Damage
	more     int // places that are not in damage
}

// gap is a range of missing numbers, from first to before end.
type gap struct{ first, end int }

func newLedger(path string, seal *Seal, numbered bool) *ledger {
	return &ledger{path: path, seal: seal, numbered: numbered && seal != nil, next: 1, digest: sha256.New()}
}

func (l *ledger) fault(line int, f Fault, record, want int) {
	if len(l.damage) >= maxDamage {
		l.more++
		return
	}
	l.damage = append(l.damage, Damage{File: l.path, Line: line, Fault: f, Record: record, Want: want})
}

// take checks a line, and returns its record if it counts.
func (l *ledger) take(line []byte, at int) (record []byte, counts bool) {
	l.count++
	l.digest.Write(line)
	record, n, numbered, whole := unsealed(line)
	switch {
	case !whole:
		l.fault(at, Altered, 0, l.next)
		l.next++
		return nil, false
	case !numbered && l.numbered:
		l.fault(at, Unnumbered, 0, 0)
		return nil, false
	case !numbered:
		l.plain = true
		return record, true
	}
	l.numbered = true
	return record, l.number(n, at)
}

// number checks the number of an intact record.
func (l *ledger) number(n, at int) (counts bool) {
	switch {
	case l.seal != nil && n > l.seal.Count:
		l.fault(at, Surplus, n, l.seal.Count)
		return false
	case n == l.next:
		l.next++
		return true
	case n > l.next:
		l.fault(at, Skipped, n, l.next)
		l.gaps = append(l.gaps, gap{l.next, n})
		l.next = n + 1
		return true
	case l.fill(n):
		l.fault(at, Misplaced, n, 0)
		return true
	}
	l.fault(at, Repeated, n, 0)
	return false
}

// fill reports whether a number is missing so far, and records that it was found.
func (l *ledger) fill(n int) bool {
	i := slices.IndexFunc(l.gaps, func(g gap) bool { return g.first <= n && n < g.end })
	if i < 0 {
		return false
	}
	g := l.gaps[i]
	l.gaps[i].end = n
	if n+1 < g.end {
		l.gaps = append(l.gaps, gap{n + 1, g.end})
	}
	return true
}

// end checks what only the end of the file shows. In a run that did not end, an incomplete
// last record is no damage.
func (l *ledger) end(at int, torn bool) {
	switch {
	case l.seal == nil:
		return
	case torn:
		l.fault(at, Torn, 0, 0)
	case l.numbered && l.next-1 < l.seal.Count:
		l.fault(at, CutOff, l.next-1, l.seal.Count)
	case !l.numbered && l.count < l.seal.Count:
		l.fault(at, CutOff, l.count, l.seal.Count)
	case len(l.damage) == 0 && hex.EncodeToString(l.digest.Sum(nil)) != l.seal.SHA256:
		l.fault(at, Other, 0, 0)
	}
}

// unverified reports whether nothing shows that the records are as they were written.
func (l *ledger) unverified() bool { return l.seal == nil && !l.numbered && l.count > 0 }
