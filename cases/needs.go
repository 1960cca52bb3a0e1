package cases

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/uapi"
)

// needSpec is a form of a needs line.
type needSpec struct {
	words string // what it begins with
	takes string // the word after it, if there is one
	doc   string
	need  func(word string) (Need, error)
}

// needSpecs is the table that the parser and its help are made from.
var needSpecs = []needSpec{
	{"token", "", "the kernel has BPF_TOKEN_CREATE", func(string) (Need, error) { return Need{Kind: NeedToken}, nil }},
	{"no token", "", "the kernel has no BPF_TOKEN_CREATE", func(string) (Need, error) {
		return Need{Kind: NeedNoToken}, nil
	}},
	{"config", "SYMBOL", "an option is set", func(w string) (Need, error) {
		return Need{Kind: NeedConfig, Name: strings.TrimPrefix(w, "CONFIG_")}, nil
	}},
	{"release", "X.Y", "the kernel is of that release or a later one", func(w string) (Need, error) {
		r, err := uapi.ParseRelease(w)
		return Need{Kind: NeedRelease, Since: r}, err
	}},
	{"before", "X.Y", "the kernel is older than that release", func(w string) (Need, error) {
		r, err := uapi.ParseRelease(w)
		return Need{Kind: NeedBefore, Since: r}, err
	}},
	{
		"setting",
		"NAME=VALUE,...",
		"a setting of the running kernel has one of the values, or the kernel has no such setting; \"tokentest help " +
			"machine\" lists them",
		settingNeed,
	},
	{"mitigations", "", "the kernel was not booted with mitigations=off",
		func(string) (Need, error) { return Need{Kind: NeedGuards}, nil }},
}

func (s *needSpec) usage() string { return strings.TrimSpace(s.words + " " + s.takes) }

func needUsages() string {
	var out []string
	for i := range needSpecs {
		out = append(out, needSpecs[i].usage())
	}
	return strings.Join(out, ", ")
}

// needs reads NEED [where AXIS=VALUE...].
func (p *parser) needs(n int, words []string) error {
	var some filter
	if i := slices.Index(words, "where"); i >= 0 {
		f, rest, err := p.filter(n, words[i+1:])
		if err != nil {
			return err
		}
		if len(rest) > 0 || len(f.terms) == 0 {
			return fmt.Errorf("want needs NEED where AXIS=VALUE..., after the axis lines")
		}
		some, words = f, words[:i]
	}
	need, err := parseNeed(strings.Join(words, " "))
	switch {
	case err != nil:
		return err
	case len(some.terms) > 0:
		p.f.someNeeds = append(p.f.someNeeds, someNeed{some, need})
	default:
		p.f.needs = append(p.f.needs, need)
	}
	return nil
}

func parseNeed(line string) (Need, error) {
	for i := range needSpecs {
		s := &needSpecs[i]
		rest, ok := strings.CutPrefix(line, s.words)
		word := strings.TrimSpace(rest)
		if !ok || (word == "") != (s.takes == "") || strings.Contains(word, " ") {
			continue
		}
		return s.need(word)
	}
	return Need{}, fmt.Errorf("unknown need %q: want one of %s", line, needUsages())
}

// someNeed is a need of the cells that a filter selects.
type someNeed struct {
	filter
	need Need
}
