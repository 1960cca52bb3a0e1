package cases

import (
	"fmt"
	"strings"

	"tokentest/cases/uapi"
)

// needSpec is a form of a needs line.
type needSpec struct {
	words string // what it begins with
	takes string // the word behind, if there is one
	doc   string
	need  func(word string) (Need, error)
}

// needSpecs is the table that the parser and its help are made from.
var needSpecs = []needSpec{
	{"token", "", "the kernel has BPF_TOKEN_CREATE", func(string) (Need, error) { return Need{Kind: NeedToken}, nil }},
	{"no token", "", "it has not", func(string) (Need, error) { return Need{Kind: NeedNoToken}, nil }},
	{"config", "SYMBOL", "an option is set", func(w string) (Need, error) {
		return Need{Kind: NeedConfig, Name: strings.TrimPrefix(w, "CONFIG_")}, nil
	}},
	{"release", "X.Y", "it is of that release or a later one", func(w string) (Need, error) {
		r, err := uapi.ParseRelease(w)
		return Need{Kind: NeedRelease, Since: r}, err
	}},
	{"before", "X.Y", "it is older than that release", func(w string) (Need, error) {
		r, err := uapi.ParseRelease(w)
		return Need{Kind: NeedBefore, Since: r}, err
	}},
	{"mitigations", "", "it was not booted with mitigations=off", func(string) (Need, error) { return Need{Kind: NeedGuards}, nil }},
}

func (s *needSpec) usage() string { return strings.TrimSpace(s.words + " " + s.takes) }

func needUsages() string {
	var out []string
	for i := range needSpecs {
		out = append(out, needSpecs[i].usage())
	}
	return strings.Join(out, ", ")
}

func (p *parser) needs(words []string) error {
	line := strings.Join(words, " ")
	for i := range needSpecs {
		s := &needSpecs[i]
		rest, ok := strings.CutPrefix(line, s.words)
		word := strings.TrimSpace(rest)
		if !ok || (word == "") != (s.takes == "") || strings.Contains(word, " ") {
			continue
		}
		n, err := s.need(word)
		if err != nil {
			return err
		}
		p.f.needs = append(p.f.needs, n)
		return nil
	}
	return fmt.Errorf("unknown need %q: want one of %s", line, needUsages())
}
