package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tokentest/cases/oracle"
	"tokentest/harness/lab"
	"tokentest/harness/usage"
)

// faults are deliberate faults of the harness, from hidden flags. scripts/canary.sh injects
// them and checks that each makes the run fail.
type faults struct {
	rule    string
	corrupt int
	channel string
}

func (f *faults) register(fl *pflag.FlagSet) {
	fl.StringVar(&f.rule, "lie-rule", "", "")
	fl.IntVar(&f.corrupt, "lie-corrupt", 0, "")
	fl.StringVar(&f.channel, "lie-channel", "", "")
	for _, name := range []string{"lie-rule", "lie-corrupt", "lie-channel"} {
		fl.MarkHidden(name)
	}
}

func (f *faults) inject(to *lab.Lab) error {
	if f.rule != "" && !slices.Contains(oracle.Rules(), f.rule) {
		return usage.Errorf("--lie-rule %q: no such rule; there are %s", f.rule, strings.Join(oracle.Rules(), " "))
	}
	to.Faults.OmitRule = f.rule
	if f.corrupt > 0 {
		f.channel = fmt.Sprintf("flip@%d", f.corrupt)
	}
	if f.channel != "" {
		do, at, err := parseChannel(f.channel)
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
