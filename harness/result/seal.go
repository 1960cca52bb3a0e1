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

// Seal is what the records of a run that ended add up to.
type Seal struct {
	Count  int    `json:"count"`  // records: of cases and of worlds
	SHA256 string `json:"sha256"` // of all of them, as they are in the file
}

// Each record ends with its number and with the checksum of all that precedes
// the checksum, so that one line tells what is wrong with it.
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

// unsealed takes number and checksum off a line, which it changes. A line that
// has none stays as it is.
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

// Fault is a way in which records are not as they were written.
type Fault string

// The faults.
const (
	Altered    Fault = "altered"    // its checksum is not that of its text
	Unnumbered Fault = "unnumbered" // it has no number, and the others have
	Skipped    Fault = "skipped"    // records that precede it are not there
	Misplaced  Fault = "misplaced"  // it comes after one that it precedes
	Repeated   Fault = "repeated"   // it is there already
	Surplus    Fault = "surplus"    // there were not so many
	Torn       Fault = "torn"       // its line has no end
	CutOff     Fault = "cut off"    // records that follow are not there
	Other      Fault = "other"      // number by number as written, and yet another file
)

// Damage is a place where the records of a run are not as they were written.
type Damage struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	Fault Fault  `json:"fault"`
	// Record is the number of the record at the line, Want that which it must
	// have or how many there must be; 0 where that is not known.
	Record int `json:"record,omitempty"`
	Want   int `json:"want,omitempty"`
}

// String says in one line where the damage is, and what it is.
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

// maxDamage is how many places of a file are named; a sorted file has as many
// as lines.
const maxDamage = 8

// ledger holds records against what was written, line by line.
type ledger struct {
	path     string
	seal     *Seal // nil for a run that did not end, and for an older one
	numbered bool  // each record must have a number
	plain    bool  // one has none
	count    int   // lines
	next     int   // the number that comes next
	gaps     []gap
	digest   hash.Hash
	damage   []Damage
	more     int // damage that is not in the list
}

// gap is the numbers from first to before end that were passed over.
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

// take checks a line, and returns the record in it when it counts.
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

// number checks the number of a record that is whole.
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

// fill reports whether a number was passed over, and takes it for found.
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

// end checks what can be known at the end of the file only. Of a run that did
// not end, a torn last record is what the end left.
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

// unverified says that nothing tells whether the records are as they were written.
func (l *ledger) unverified() bool { return l.seal == nil && !l.numbered && l.count > 0 }
