package splat

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the headers of the corpus")

// header describes the report of a log; a corpus file starts with it.
func header(r Report) string {
	var b strings.Builder
	if r.Fatal != nil {
		fmt.Fprintf(&b, "FATAL: %s: %s\n", r.Fatal.Kind, r.Fatal.Title)
	}
	if r.InitExit != "" {
		fmt.Fprintf(&b, "INIT: %s\n", r.InitExit)
	}
	if r.AgentReason != "" {
		fmt.Fprintf(&b, "REASON: %s\n", r.AgentReason)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "TITLE: %s: %s\n", f.Kind, f.Title)
		if f.Mark != "" {
			fmt.Fprintf(&b, "UNDER: %s\n", f.Mark)
		}
	}
	if b.Len() == 0 {
		return "NOTHING\n"
	}
	return b.String()
}

// TestCorpus checks every log of the corpus. A new file needs no more than a
// blank line and a log; -update writes its header.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/console/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, log, ok := strings.Cut("\n"+string(data), "\n\n")
			if !ok {
				t.Fatal("no blank line before the log")
			}
			got := header(Scan([]byte(log))) + "\n" + log
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(data) {
				t.Errorf("%s differs (-update rewrites it)\ngot:\n%s\nwant:\n%s", file, got, data)
			}
			checkOffsets(t, []byte(log))
			checkPieces(t, []byte(log))
		})
	}
}

// checkOffsets checks that a finding's offset leads to its first line.
func checkOffsets(t *testing.T, log []byte) {
	for _, f := range Scan(log).Findings {
		if len(f.Lines) > 0 && !strings.HasPrefix(string(log[f.Offset:]), f.Lines[0]) {
			t.Errorf("%s: offset %d leads to %.60q, want %q", f.Title, f.Offset, log[f.Offset:], f.Lines[0])
		}
	}
}

// checkPieces checks that the scanner finds the same in a log that comes byte by byte.
func checkPieces(t *testing.T, log []byte) {
	var s Scanner
	for i := range log {
		s.Write(log[i : i+1])
	}
	if diff := cmp.Diff(Scan(log), s.Close()); diff != "" {
		t.Errorf("byte by byte (-whole +bytes): %s", diff)
	}
}

func TestScanFlood(t *testing.T) {
	one := "WARNING: CPU: 0 PID: 9 at kernel/a.c:12 a+0x10/0x20\n"
	long := "BUG: " + strings.Repeat("x", 1<<20) + "\n"
	got := Scan([]byte(strings.Repeat(one, 10000) + long)).Findings
	if len(got) != maxFindings+1 || got[maxFindings].Title != "9901 more findings" {
		t.Errorf("got %d findings, the last %q", len(got), got[len(got)-1].Title)
	}
	for _, f := range Scan([]byte(long)).Findings {
		if len(f.Title) > maxLine || len(f.Lines[0]) > maxLine {
			t.Errorf("kept a line of %d bytes", len(f.Lines[0]))
		}
	}
	if got := Scan([]byte(one + strings.Repeat("line\n", 1000))).Findings; len(got[0].Lines) != maxLines {
		t.Errorf("kept %d lines, want %d", len(got[0].Lines), maxLines)
	}
}

// TestPanicAfterFlood: the panic counts even if there are too many findings to list.
func TestPanicAfterFlood(t *testing.T) {
	warning := "WARNING: CPU: 0 PID: 9 at kernel/a.c:12 a+0x10/0x20\n"
	r := Scan([]byte(strings.Repeat(warning, 1000) + "Kernel panic - not syncing: late\n"))
	if r.Fatal == nil || r.Fatal.Title != "kernel panic: late" {
		t.Errorf("got %+v, want the panic", r.Fatal)
	}
}

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"use-after-free in foo.isra.0+0x12/0x340 [nf_tables]":       "use-after-free in foo",
		"kernel BUG at mm/slub.c:4021!":                             "kernel BUG at mm/slub.c",
		"bad value ffff88800123abcd at 0x10":                        "bad value ADDR at ADDR",
		"block(0,0) of kmalloc-64 failed 12 times":                  "block(0,0) of kmalloc-64 failed N times",
		"stuck on CPU#3 for 22s PID: 12":                            "stuck on CPU for 22s PID",
		"sha256_block and e1000 and ipv6":                           "sha256_block and e1000 and ipv6",
		"out of bounds in /home/me/linux/drivers/misc/bugs.c:434:2": "out of bounds in drivers/misc/bugs.c",
		"WARNING in f (../kernel/bpf/token.c:12)":                   "WARNING in f (kernel/bpf/token.c)",
		"kernel BUG at /src/mm/slub.c:4021!":                        "kernel BUG at mm/slub.c",
		"comm /bin/sh in fs/exec.c":                                 "comm /bin/sh in fs/exec.c",
		"kworker/0:1 blocked":                                       "kworker/: blocked",
		"deadbeef01 in facade_function":                             "ADDR in facade_function",
	} {
		if got := normalise(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestHints: a rule without a hint costs every line a regular expression.
func TestHints(t *testing.T) {
	for i, h := range hints {
		if h == "" {
			t.Errorf("%s has no hint", rules[i].match)
		}
	}
}

func FuzzScan(f *testing.F) {
	files, _ := filepath.Glob("testdata/console/*.txt")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		for _, finding := range Scan(log).Findings {
			if finding.Kind == "" || finding.Title == "" || finding.Offset > int64(len(log)) {
				t.Errorf("got %+v", finding)
			}
		}
	})
}

func BenchmarkScan(b *testing.B) {
	line := "[    1.234567] systemd[1]: Started a service with an ordinary name.\n"
	log := []byte(strings.Repeat(line, 1000))
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		Scan(log)
	}
}
