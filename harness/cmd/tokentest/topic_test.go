package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tokentest/harness/cachedir"
	"tokentest/harness/farm"
	"tokentest/harness/plan"
	"tokentest/harness/runs"
)

// Each file of a topic begins with its own name and a title, and no topic has the
// name of a command.
func TestTopics(t *testing.T) {
	files, err := filepath.Glob("topics/*.md")
	if err != nil {
		t.Fatal(err)
	}
	list := topics()
	if len(list) == 0 || len(list) != len(files) {
		t.Fatalf("%d topics in %d files", len(list), len(files))
	}
	for i, topic := range list {
		if topic.name != strings.TrimSuffix(filepath.Base(files[i]), ".md") || topic.title == "" || topic.text == "" {
			t.Errorf("%s: the first line is not \"# NAME: title\" with the file's name", files[i])
		}
		for _, c := range (&app{}).root().Commands() {
			if c.Name() == topic.name && c.Runnable() {
				t.Errorf("topic %s has the name of a command", topic.name)
			}
		}
		var out bytes.Buffer
		if code := run([]string{"help", topic.name}, nil, &out, &out); code != 0 ||
			!strings.Contains(out.String(), topic.plain()) {
			t.Errorf("help %s: exit code %d: %.200s", topic.name, code, out.String())
		}
	}
}

// Each topic has a manual page, also those that are made of tables.
func TestTopicManuals(t *testing.T) {
	dir := t.TempDir()
	if err := writeTopics(dir, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range (&app{}).root().Commands() {
		if c.Runnable() || c.HasSubCommands() {
			continue
		}
		n++
		text, err := os.ReadFile(filepath.Join(dir, "tokentest-"+c.Name()+".1"))
		if err != nil || !strings.Contains(string(text), ".SH DESCRIPTION\n") || !strings.Contains(string(text), "Jan 1970") {
			t.Errorf("%s: %v: %.200s", c.Name(), err, text)
		}
		if strings.Contains(string(text), ".TS\n") {
			t.Errorf("%s: it has a table, which is wider than 80 columns", c.Name())
		}
	}
	if want := len(topics()) + len(generated()); n != want || n < 3 {
		t.Errorf("%d topics, want %d", n, want)
	}
	for name, want := range map[string]string{"cases": ".SH OPERATIONS\n", "machine": "net.core.bpf_jit_harden"} {
		if text, _ := os.ReadFile(filepath.Join(dir, "tokentest-"+name+".1")); !strings.Contains(string(text), want) {
			t.Errorf("%s: no %q in its page", name, want)
		}
	}
	if err := writeTopics(filepath.Join(dir, "none"), time.Unix(0, 0)); err == nil {
		t.Error("no error for a directory that does not exist")
	}
}

// The README is short, has the headings that others link to, and its links lead
// to files and headings.
func TestReadmeMap(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 10_000 {
		t.Errorf("the README has %d bytes, want at most 10000: move something into a topic", len(text))
	}
	for _, heading := range []string{"What a BPF token is", "A run that fails", "Requirements and limits", "Quick start",
		"I want to", "Reading a result", "CI", "How a verdict is made", "Developing", "Licence"} {
		if !strings.Contains(string(text), "\n## "+heading+"\n") {
			t.Errorf("no heading %q", heading)
		}
	}
	for _, name := range documents(t) {
		for _, why := range badLinks(t, name) {
			t.Errorf("%s: %s", name, why)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)]+)\)`)
	define  = regexp.MustCompile(`(?m)^\[(\w+)\]: (\S+)$`)
	refer   = regexp.MustCompile(`\[([a-z]+)\](?:[^(:\]]|$)`)
	heading = regexp.MustCompile(`(?m)^##+ (.*)$`)
	unlink  = regexp.MustCompile(`[^a-z0-9 -]`)
)

// badLinks are the links of a document that lead nowhere.
func badLinks(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	anchors, defined := map[string]bool{}, map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
		anchors["#"+strings.ReplaceAll(unlink.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	var targets, out []string
	for _, m := range define.FindAllStringSubmatch(string(text), -1) {
		defined[m[1]] = true
		targets = append(targets, m[2])
	}
	for _, m := range link.FindAllStringSubmatch(string(text), -1) {
		targets = append(targets, m[1])
	}
	for _, target := range targets {
		if strings.HasPrefix(target, "#") {
			if !anchors[target] {
				out = append(out, "no heading "+target)
			}
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(name), target)); err != nil {
			out = append(out, err.Error())
		}
	}
	for _, m := range refer.FindAllStringSubmatch(string(text), -1) {
		if len(defined) > 0 && !defined[m[1]] {
			out = append(out, "no definition of ["+m[1]+"]")
		}
	}
	return out
}

// The topic config has each key of a plan file, the topic environment each variable of our own.
func TestTopicsAreComplete(t *testing.T) {
	text := map[string]string{}
	for _, topic := range topics() {
		text[topic.name] = topic.text
	}
	found := 0
	for _, m := range regexp.MustCompile(`(?m)^#([a-z-]+) = `).FindAllStringSubmatch(plan.WriteConfig(), -1) {
		found++
		if !strings.Contains(text["config"], "| `"+m[1]+"` | ") {
			t.Errorf("help config has no key %s", m[1])
		}
	}
	if found < 20 {
		t.Errorf("a plan file has %d keys", found)
	}
	for _, name := range []string{runs.Variable, cachedir.Variable, farm.Variable, formatVariable, originVariable} {
		if !strings.Contains(text["environment"], "| `"+name+"` | ") {
			t.Errorf("help environment has no %s", name)
		}
	}
}
