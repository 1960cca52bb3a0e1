// Package fault damages the harness on purpose: it leaves out a rule of the oracle, or damages what a machine sends.
// scripts/canary.sh shows with it that each fault turns a run red.
//
// It damages nothing by itself; a command injects what a hidden flag asks for.
//
// Start with Faults.
package fault

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"tokentest/cases/oracle"
	"tokentest/harness/lab"
	"tokentest/harness/usage"
)

// Faults are deliberate faults of the harness. The zero value has none.
type Faults struct {
	Rule    string // the name of a rule that the oracle leaves out
	Corrupt int    // the number of a byte of a machine's records to flip; 0 is none
	Channel string // HOW@BYTE: flip, drop, repeat from, or delay after, that byte of the records
}

// Inject makes a lab have the faults. The error for a fault that does not exist is a *usage.Error.
func (f Faults) Inject(to *lab.Lab) error {
	if f.Rule != "" && !slices.Contains(oracle.Rules(), f.Rule) {
		return usage.Errorf("--lie-rule %q: no such rule; there are %s", f.Rule, strings.Join(oracle.Rules(), " "))
	}
	to.Faults.OmitRule = f.Rule
	if f.Corrupt > 0 {
		f.Channel = fmt.Sprintf("flip@%d", f.Corrupt)
	}
	if f.Channel != "" {
		do, at, err := parseChannel(f.Channel)
		if err != nil {
			return err
		}
		to.Faults.Tap = func(r io.Reader) io.Reader { return &channel{r: r, do: do, at: at} }
	}
	return nil
}

// channel is a control channel that damages what passes through it.
type channel struct {
	r    io.Reader
	do   string
	at   int // the byte to damage
	seen int
	rest []byte // bytes to return once more
}

// Read reads, and damages the byte at the position.
func (c *channel) Read(p []byte) (int, error) {
	if n := copy(p, c.rest); n > 0 {
		c.rest = c.rest[n:]
		return n, nil
	}
	if c.do == "delay" {
		time.Sleep(readDelay)
	}
	n, err := c.r.Read(p)
	i := c.at - c.seen
	c.seen += n
	if i < 0 || i >= n {
		return n, err
	}
	switch c.do {
	case "flip":
		p[i] ^= 1
	case "drop":
		copy(p[i:], p[i+1:n])
		n--
	case "repeat":
		c.rest = slices.Clone(p[i:n])
	}
	return n, err
}

// readDelay is how long each read takes with "delay".
const readDelay = 20 * time.Millisecond

// channels are the ways in which a control channel can be damaged.
var channels = []string{"flip", "drop", "repeat", "delay"}

// parseChannel reads HOW@BYTE.
func parseChannel(s string) (do string, at int, err error) {
	do, where, _ := strings.Cut(s, "@")
	at, err = strconv.Atoi(where)
	if err != nil || at < 0 || !slices.Contains(channels, do) {
		return "", 0, usage.Errorf("--lie-channel %q: must be HOW@BYTE, where HOW is one of %s", s,
			strings.Join(channels, ", "))
	}
	return do, at, nil
}
