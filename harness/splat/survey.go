package splat

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Stamps says whether a log's kernel puts time stamps, or a log daemon its name, before
// its lines.
type Stamps int

// The values of Stamps.
const (
	StampsUnknown Stamps = iota
	StampsAll            // a line without a stamp is a program's
	StampsNone           // a line that looks stamped is a program's
)

// Read is what the lines of a log were taken for. Empty lines do not count.
type Read struct {
	Stamps Stamps
	Lines  int
	Kernel int // lines that are the kernel's
	forms  map[form]int
}

// anatomy matches lines that only the kernel prints.
var anatomy = re(`^(?:` + cutHereText + `|Call [Tt]race:|Modules linked in:|RIP: 0010:|pc : |---\[ end |` +
	`Linux version \d|CPU: \d+ .*PID: \d+ Comm: |Kernel panic - not syncing: |Command line: |Kernel command line: )`)

// Survey reads a whole log for its form. A program's line may look as if the kernel had
// stamped it: the stamps count if some are on lines that only the kernel prints, or if
// most lines have one.
func Survey(log []byte) Read {
	r := Read{forms: map[form]int{}}
	stamped, known := 0, map[bool]int{}
	for text := range bytes.Lines(log) {
		l := unprefix(strings.TrimRight(string(text[:min(len(text), maxLine)]), "\r\n "))
		if l.form == formBare && l.msg == "" {
			continue
		}
		r.Lines++
		r.forms[l.form]++
		if l.stamped() {
			stamped++
		}
		if l.form != formForeign && anatomy.MatchString(l.last().msg) {
			known[l.stamped()]++
		}
	}
	switch {
	case stamped > 0 && (known[true] > 0 || known[false] == 0 || stamped*2 >= r.Lines):
		r.Stamps, r.Kernel = StampsAll, stamped
	case known[false] > 0:
		r.Stamps, r.Kernel = StampsNone, r.forms[formBare]
	}
	return r
}

// String describes it in one line.
func (r Read) String() string {
	text := fmt.Sprintf("%d lines", r.Lines)
	switch r.Stamps {
	case StampsUnknown:
		return text + ", none of them recognised as the kernel's"
	case StampsNone:
		text += fmt.Sprintf(", %d taken for the kernel's, without time stamps", r.Kernel)
	case StampsAll:
		var of []string
		for _, f := range slices.SortedFunc(maps.Keys(r.forms), func(a, b form) int {
			return cmp.Or(cmp.Compare(r.forms[b], r.forms[a]), cmp.Compare(a, b))
		}) {
			if name := formNames[f]; name != "" {
				of = append(of, fmt.Sprintf("%d with %s", r.forms[f], name))
			}
		}
		text += fmt.Sprintf(", %d taken for the kernel's: %s", r.Kernel, strings.Join(of, ", "))
	}
	if others := r.Lines - r.Kernel; others > 0 {
		text += fmt.Sprintf("; %d for programs'", others)
	}
	return text
}
