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

// lies are deliberate faults of the harness itself. The canary tells them, to
// show that each turns the run red.
type lies struct {
	rule    string
	corrupt int
	channel string
}

func (l *lies) register(fl *pflag.FlagSet) {
	fl.StringVar(&l.rule, "lie-rule", "", "")
	fl.IntVar(&l.corrupt, "lie-corrupt", 0, "")
	fl.StringVar(&l.channel, "lie-channel", "", "")
	for _, name := range []string{"lie-rule", "lie-corrupt", "lie-channel"} {
		fl.MarkHidden(name)
	}
}

func (l *lies) tell(to *lab.Lab) error {
	if l.rule != "" && !slices.Contains(oracle.Rules(), l.rule) {
		return usage.Errorf("--lie-rule %q: no such rule; there are %s", l.rule, strings.Join(oracle.Rules(), " "))
	}
	to.Faults.OmitRule = l.rule
	if l.corrupt > 0 {
		l.channel = fmt.Sprintf("flip@%d", l.corrupt)
	}
	if l.channel != "" {
		do, at, err := parseChannel(l.channel)
		if err != nil {
			return err
		}
		to.Faults.Tap = func(r io.Reader) io.Reader { return &channel{r: r, do: do, at: at} }
	}
	return nil
}

// channel is a control channel that is not what it should be.
type channel struct {
	r    io.Reader
	do   string
	at   int // the byte at which it happens
	seen int
	rest []byte // what is to be read again
}

// Read reads, and damages what a position lies in.
func (c *channel) Read(p []byte) (int, error) {
	if n := copy(p, c.rest); n > 0 {
		c.rest = c.rest[n:]
		return n, nil
	}
	if c.do == "delay" {
		time.Sleep(lieDelay)
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

// lieDelay is how long a channel that delays takes for each read.
const lieDelay = 20 * time.Millisecond

// channels are the ways in which the control channel can be bad.
var channels = []string{"flip", "drop", "repeat", "delay"}

// parseChannel reads HOW@BYTE.
func parseChannel(s string) (do string, at int, err error) {
	do, where, _ := strings.Cut(s, "@")
	at, err = strconv.Atoi(where)
	if err != nil || at < 0 || !slices.Contains(channels, do) {
		return "", 0, usage.Errorf("--lie-channel %q: want HOW@BYTE, where HOW is one of %s", s, strings.Join(channels, ", "))
	}
	return do, at, nil
}
