package main

import (
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"tokentest/cases/oracle"
	"tokentest/harness/lab"
)

// lies are deliberate faults of the harness itself. The canary tells them, to
// show that each turns the run red.
type lies struct {
	rule    string
	corrupt int
}

func (l *lies) register(fl *pflag.FlagSet) {
	fl.StringVar(&l.rule, "lie-rule", "", "")
	fl.IntVar(&l.corrupt, "lie-corrupt", 0, "")
	for _, name := range []string{"lie-rule", "lie-corrupt"} {
		fl.MarkHidden(name)
	}
}

func (l *lies) tell(to *lab.Lab) error {
	if l.rule != "" && !slices.Contains(oracle.Rules(), l.rule) {
		return usage("--lie-rule %q: no such rule; there are %s", l.rule, strings.Join(oracle.Rules(), " "))
	}
	to.OmitRule = l.rule
	if l.corrupt > 0 {
		to.Tap = func(r io.Reader) io.Reader { return &flipper{r: r, at: l.corrupt} }
	}
	return nil
}

// flipper flips one bit of the byte at a position.
type flipper struct {
	r       io.Reader
	at, at0 int
}

func (f *flipper) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if i := f.at - f.at0; i >= 0 && i < n {
		p[i] ^= 1
	}
	f.at0 += n
	return n, err
}
