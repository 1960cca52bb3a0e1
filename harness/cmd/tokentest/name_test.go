package main

import (
	"bytes"
	"strings"
	"testing"
)

// Every printed command begins with the name that the tool was called by.
func TestPrintedCommands(t *testing.T) {
	defer func(was string) { self = was }(self)
	self = "bin/tt"
	for line, want := range map[string]string{
		"":                                "\n  bin/tt run  ",
		"help running":                    "\n    bin/tt run --resume results/runs/RUN\n",
		"run --help":                      "\n  bin/tt run [CASE|FILE...] [flags]\n",
		"run -h":                          "\n  bin/tt run --kernel deb:6.12\n",
		"rn":                              "; see bin/tt --help\n",
		"run --jobs x":                    "; see bin/tt run --help\n",
		"list cases no_such_case":         "; bin/tt list cases shows the names\n",
		"report nowhere --format pretty":  "; bin/tt run makes one\n",
		"help compare":                    "\n  bin/tt compare --write-baseline mine.jsonl.gz results/runs/RUN\n",
		"run --resume nowhere --accel=no": "; see bin/tt run --help\n",
	} {
		t.Run(line, func(t *testing.T) {
			t.Setenv("TOKENTEST_RUNS", t.TempDir())
			var out bytes.Buffer
			run(strings.Fields(line), nil, &out, &out)
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
			if strings.Contains(out.String(), " tokentest run") {
				t.Errorf("a command with another name:\n%s", out.String())
			}
		})
	}
}
