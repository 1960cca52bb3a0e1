package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Age is a time span as a flag: 30d, 2w or 12h.
type Age time.Duration

// Set reads a number and a unit.
func (a *Age) Set(s string) error {
	bad := errors.New("must be an age such as 30d, 2w or 12h")
	unit, ok := map[byte]time.Duration{'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[last(s)]
	if !ok {
		return bad
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 14) // three centuries, which is what time.Duration holds
	if err != nil || n == 0 {
		return bad
	}
	*a = Age(time.Duration(n) * unit)
	return nil
}

func last(s string) byte {
	if s == "" {
		return 0
	}
	return s[len(s)-1]
}

func (a *Age) String() string {
	if *a == 0 {
		return "" // it is not set
	}
	return ageText(time.Duration(*a))
}

// Type is for help.
func (a *Age) Type() string { return "age" }

// Size is a number of bytes as a flag: 500M or 5G. Below 0 it is not set.
type Size int64

// Set reads a number and a unit, of powers of 1024.
func (n *Size) Set(s string) error {
	bad := errors.New("must be a size such as 500M or 5G")
	text := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(s), "B"), "I")
	shift, ok := map[byte]int{'K': 10, 'M': 20, 'G': 30, 'T': 40}[last(text)]
	if ok {
		text = text[:len(text)-1]
	}
	v, err := strconv.ParseFloat(text, 64)
	if v *= float64(int64(1) << shift); err != nil || !(v >= 0 && v < math.MaxInt64) || !ok && text != "0" {
		return bad
	}
	*n = Size(v)
	return nil
}

func (n *Size) String() string {
	if *n < 0 {
		return ""
	}
	return sizeText(int64(*n))
}

// Type is for help.
func (n *Size) Type() string { return "size" }

// sizeText is a size for people.
func sizeText(bytes int64) string {
	n, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for n >= 1024 && len(units) > 1 {
		n, units = n/1024, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", n, units[0])
}

// ageText is a time span for people.
func ageText(d time.Duration) string {
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		switch n := int64(d / u.of); {
		case n == 1:
			return "1 " + u.name
		case n > 1:
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return "less than a minute"
}

// Totals is the sum of a kind.
type Totals struct {
	Kind    string    `json:"kind"`
	Entries int       `json:"entries"`
	Bytes   int64     `json:"bytes"`
	Used    time.Time `json:"used"` // the last time
	About   string    `json:"about"`
}

// Sum adds the entries of each kind up, in the order in which they come.
func Sum(list []Entry, about func(kind string) string) []Totals {
	out := []Totals{}
	for _, e := range list {
		if n := len(out); n == 0 || out[n-1].Kind != e.Kind {
			out = append(out, Totals{Kind: e.Kind, About: about(e.Kind)})
		}
		t := &out[len(out)-1]
		t.Entries++
		t.Bytes += e.Bytes
		if e.Used.After(t.Used) {
			t.Used = e.Used
		}
	}
	return out
}

// Listing is what the cache holds.
type Listing struct {
	Dir     string   `json:"dir"`
	Runs    string   `json:"runs_dir,omitempty"`
	Bytes   int64    `json:"bytes"`
	Kinds   []Totals `json:"kinds"`
	Entries []Entry  `json:"entries"`
}

// Write prints the sums, or with every all entries.
func (l *Listing) Write(to io.Writer, now time.Time, every bool) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	if every {
		for _, e := range l.Entries {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Kind, sizeText(e.Bytes), usedText(now, e), e.Name)
		}
	} else if len(l.Kinds) > 0 {
		fmt.Fprintln(w, "kind\tentries\tsize\tlast used\twhat")
		for _, k := range l.Kinds {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s ago\t%s\n", k.Kind, k.Entries, sizeText(k.Bytes), ageText(now.Sub(k.Used)), k.About)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	dir := l.Dir
	if l.Runs != "" && !slices.ContainsFunc(l.Entries, func(e Entry) bool { return IsKind(e.Kind) }) {
		dir = l.Runs
	}
	_, err := fmt.Fprintf(to, "%s in %s\n", sizeText(l.Bytes), dir)
	return err
}

func usedText(now time.Time, e Entry) string {
	if e.InUse {
		return "in use"
	}
	return ageText(now.Sub(e.Used)) + " ago"
}

// Pruned is what Prune did.
type Pruned struct {
	Dir     string  `json:"dir"`
	DryRun  bool    `json:"dry_run"`
	Bytes   int64   `json:"bytes"` // of what was removed
	Removed []Entry `json:"removed"`
	InUse   []Entry `json:"in_use"`
}

// Write prints a line for each entry, and the sum.
func (p *Pruned) Write(to io.Writer, now time.Time) error {
	verb, sum := "removed", "freed"
	if p.DryRun {
		verb, sum = "would remove", "would free"
	}
	for _, e := range p.Removed {
		fmt.Fprintf(to, "%s %s: %s (%s, last used %s ago)\n", verb, e.Kind, e.Name, sizeText(e.Bytes),
			ageText(now.Sub(e.Used)))
	}
	for _, e := range p.InUse {
		fmt.Fprintf(to, "left %s: %s (%s): a process uses it\n", e.Kind, e.Name, sizeText(e.Bytes))
	}
	_, err := fmt.Fprintf(to, "%s %s\n", sum, sizeText(p.Bytes))
	return err
}

// WriteJSON prints a Listing or Pruned.
func WriteJSON(to io.Writer, what any) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(what)
}
