package mutate

import (
	"os"
	"strings"
	"testing"

	"tokentest/harness/cover"
	"tokentest/harness/guestprog"
	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/testlog"
	"tokentest/harness/vm"
)

// answerOf makes an answer; tests are NAME=STATUS.
func answerOf(fate vm.Fate, exit string, tests ...string) *answer {
	a := &answer{boot: &result.Boot{Fate: fate}, exit: exit}
	for _, t := range tests {
		name, status, _ := strings.Cut(t, "=")
		a.tests = append(a.tests, result.CaseResult{ID: name, Status: result.Status(status)})
	}
	return a
}

// What a program says about a mutant counts only if its machine ended well.
func TestProgramCompare(t *testing.T) {
	base := answerOf(vm.Clean, "status 0", "a=pass", "b=fail")
	for _, tt := range []struct {
		name string
		got  *answer
		want Verdict
		by   string
	}{
		{"the same", answerOf(vm.Clean, "status 0", "a=pass", "b=fail"), Survived, ""},
		{"another order", answerOf(vm.Clean, "status 0", "b=fail", "a=pass"), Survived, ""},
		{"a failure", answerOf(vm.Clean, "status 1", "a=fail", "b=fail"), ByCase, "a: fail instead of pass"},
		{"a success", answerOf(vm.Clean, "status 0", "a=pass", "b=pass"), ByCase, "b: pass instead of fail"},
		{"a test less", answerOf(vm.Clean, "status 0", "a=pass"), ByCase, "b: missing instead of fail"},
		{"a test more", answerOf(vm.Clean, "status 0", "a=pass", "b=fail", "c=pass"), ByCase, "c: pass, and had no result"},
		{"only the status", answerOf(vm.Clean, "status 3", "a=pass", "b=fail"), ByCase, "exit: status 3 instead of status 0"},
		{"a splat", answerOf(vm.Tainted, "status 0", "a=pass", "b=fail"), ByMachine, ": tainted: "},
		{"a panic", answerOf(vm.Panicked, ""), ByMachine, ": panicked: "},
		{"a lost machine", answerOf(vm.Lost, "", "a=pass"), Unknown, ": lost: "},
		{"no end", answerOf(vm.Clean, ""), Unknown, ": the machine ended before the program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &Outcome{}
			base.compare(tt.got, o)
			by := o.Case + ": " + o.Reason
			if o.Verdict == Survived {
				by = ""
			}
			if o.Verdict != tt.want || by != tt.by {
				t.Errorf("%s by %q, want %s by %q", o.Verdict, by, tt.want, tt.by)
			}
		})
	}
}

// Outcomes of one program are not taken for another.
func TestProgramDigest(t *testing.T) {
	file := t.TempDir() + "/prog"
	digest := func(content string, args ...string) string {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		s := &subject{Program: &Program{Options: guestprog.Options{Args: append([]string{file}, args...), Here: "/"}}}
		var err error
		if s.files, err = s.program(nil); err != nil {
			t.Fatal(err)
		}
		of, err := s.digest()
		if err != nil {
			t.Fatal(err)
		}
		return of
	}
	one := digest("#!/bin/sh\n")
	if digest("#!/bin/sh\n") != one {
		t.Error("the same program has another digest")
	}
	if digest("#!/bin/bash\n") == one || digest("#!/bin/sh\n", "-v") == one {
		t.Error("another program has the same digest")
	}
}

func TestProgramMistakes(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"none", Options{Program: &Program{}}, "no program after --"},
		{"cases", Options{Cover: cover.Options{Args: []string{"map_create"}}, Program: &Program{}}, "name no case"},
		{"all cases", Options{Cover: cover.Options{Full: true}, Program: &Program{}}, "no --full"},
		{"a format", Options{Program: &Program{Format: "xml", Options: guestprog.Options{Args: []string{"a"}}}},
			`--parse "xml"`},
		{"no file", Options{Cover: cover.Options{Lab: lab.Lab{CacheDir: t.TempDir(), Offline: true}}, Program: &Program{
			Format: testlog.Auto, Options: guestprog.Options{Args: []string{"/no/such"}, Here: "/"}}}, "/no/such"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Run(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
