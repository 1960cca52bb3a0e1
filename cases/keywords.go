package cases

import "strings"

// keyword is a word that begins a line which is no step.
type keyword struct {
	name, usage, doc string
	parse            func(p *parser, n int, words []string, note string) error
}

// keywords is the table that the parser and its help are made from.
var keywords []keyword

func init() {
	keywords = []keyword{
		{
			"about",
			"about TEXT",
			"what the file shows, in a line",
			func(p *parser, _ int, words []string, _ string) error {
				p.f.About = strings.Join(words, " ")
				return nil
			},
		},
		{
			"question",
			"question TEXT",
			"what a reviewer asks; several lines are one paragraph. The report \"threats\" has it",
			func(p *parser, _ int, words []string, _ string) error {
				p.f.question = append(p.f.question, words...)
				return nil
			},
		},
		{"answer", "answer TEXT", "what then holds: reported where the file's cases pass, and not elsewhere",
			func(p *parser, _ int, words []string, _ string) error {
				p.f.answer = append(p.f.answer, words...)
				return nil
			}},
		{"full", "full", "not in the default suite: --full or the file's name runs it",
			func(p *parser, _ int, _ []string, _ string) error {
				p.f.Full = true
				return nil
			}},
		{"needs", "needs NEED [where AXIS=VALUE,...]",
			"skip the cases, or these cells, on a kernel without it; a kernel that should have it fails them",
			func(p *parser, n int, words []string, _ string) error { return p.needs(n, words) }},
		{"axis", "axis NAME VALUE... | axis NAME each LIST [-VALUE...]",
			"values that $NAME stands for, or a value and its text on each indented line below; " +
				"LIST is map_type, prog_load or command",
			func(p *parser, _ int, words []string, _ string) error { return p.axis(words) }},
		{"actor", "actor NAME KIND [uid=N[+COUNT]] [caps=CAPS] [mounts=WHICH] [abi=compat] [net] [pid] [cgroup]",
			"a process; its kinds and options are below",
			func(p *parser, n int, words []string, _ string) error { return p.actor(n, words) }},
		{"do", "do STEP", "makes the file a matrix: one case for each combination of the axes' values",
			func(p *parser, n int, words []string, _ string) error { return p.do(n, words) }},
		{"except", "except AXIS=VALUE,... AXIS!=VALUE,...", "leaves combinations out",
			func(p *parser, n int, words []string, _ string) error { return p.except(n, words) }},
		{"control", "control STEP | control allow|refuse AXIS=VALUE...",
			"a step, or cells, without which the file's cases say nothing: " +
				"one that must be allowed and one that must be refused",
			(*parser).control},
		{
			"pin",
			"pin AXIS=VALUE... ERRNO  # source",
			"what a person says that cells must answer; ok is 0",
			(*parser).pin,
		},
		{"known", "known FATE SINCE[-UNTIL] [arch=NAME] [config=[!]SYMBOL] TITLE [+ TITLE]  # reason",
			"the kernel is known to do this in the file's case, which has a machine to itself: " +
				"FATE is clean, tainted or panicked, TITLE what its log says", (*parser).known},
		{"parity", "parity FILE/SUBTEST/ASSERTION...",
			"the next step asks what the kernel's selftests assert there: cases/parity.txt lists it",
			func(p *parser, _ int, words []string, _ string) error { return p.parity(words) }},
	}
}

func keywordNamed(name string) *keyword {
	for i := range keywords {
		if keywords[i].name == name {
			return &keywords[i]
		}
	}
	return nil
}

func keywordNames() string {
	var names []string
	for _, k := range keywords {
		names = append(names, k.name)
	}
	return strings.Join(names, " ")
}
