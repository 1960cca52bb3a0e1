package client

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tokentest/harness/farm"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// Target is the farm that a user names: the URL of one, or local:N. The zero value is none: the run is done here.
type Target struct {
	URL   string
	Local int // workers on this host; 0 means URL

	text string
}

// maxLocal is the most workers that local:N starts.
const maxLocal = 256

// Set, String and Type make *Target the value of a flag.
func (t *Target) Set(text string) (err error) {
	*t = Target{text: text}
	if number, ok := strings.CutPrefix(text, "local:"); ok {
		if t.Local, err = strconv.Atoi(number); err != nil || t.Local < 1 || t.Local > maxLocal {
			return fmt.Errorf("must be local:N, with N from 1 to %d", maxLocal)
		}
		return nil
	}
	t.text = farm.Redact(text)
	if strings.Contains(text, hidden) { // from the record of a run: its directory or the environment has the URL
		return nil
	}
	t.URL = text
	_, err = farm.ParseURL(text)
	return err
}

// hidden is in the URL of a recorded command line, whose token is hidden.
const hidden = "://TOKEN@"

func (t *Target) String() string { return t.text }

// Type is what pflag calls the type of the value.
func (*Target) Type() string { return "string" }

// Refused are the flags of a run that only machines of this process can have.
var Refused = []string{"console", "gdb", "repeat", "until-fail", "snapshot", "shard", "slowest", "watch", "affected-by",
	"lie-rule", "lie-corrupt", "lie-channel"}

// Check refuses flags that a farm cannot have. given are those of Refused that the user gave.
func (t *Target) Check(given []string) error {
	if t.text == "" || len(given) == 0 {
		return nil
	}
	return usage.Errorf("--on: leave out %s: the machines are not of this process", given[0])
}

// CheckHost returns an error that says what this host lacks: for a run on a farm elsewhere it needs no QEMU.
func (t *Target) CheckHost(l *lab.Lab, refs ...string) error {
	if t.text != "" && t.Local == 0 {
		return l.CheckSources()
	}
	return l.Check(refs...)
}

// Run runs the plan on the farm, or here if there is none. stdin is the text of the case file -, and drawn are the
// random worlds, by their groups.
func (t *Target) Run(
	ctx context.Context, l *lab.Lab, p *plan.Plan, args []string, stdin string, drawn map[string]string,
) (*result.Run, error) {
	if t.text == "" {
		return l.Run(ctx, p, args)
	}
	texts, err := texts(p, stdin, drawn)
	if err != nil {
		return l.Record(p, args), err
	}
	return Run(ctx, l, p, args, Options{On: *t, Texts: texts, Worlds: len(drawn)})
}

// texts reads the user's case files, by the names that the plan has for them.
func texts(p *plan.Plan, stdin string, drawn map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for group, name := range p.Files {
		if _, random := drawn[group]; random {
			continue
		}
		if stdin != "" && filepath.Base(name) == plan.StdinFile {
			out[plan.Stdin] = stdin
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read a case file for the farm: %w", err)
		}
		out[name] = string(text)
	}
	return out, nil
}
