package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParseEnum(t *testing.T) {
	text := read(t, "testdata/new.h")
	for _, tt := range []struct {
		tag  string
		want []enumerator
	}{
		{"bpf_cmd", []enumerator{
			{name: "BPF_MAP_CREATE"}, {name: "BPF_PROG_LOAD", value: 1}, {name: "BPF_PROG_RUN", value: 1, alias: true},
			{name: "BPF_TOKEN_CREATE", value: 2}, {name: "BPF_LATER", value: 16}, {name: "BPF_NEXT", value: 17},
			{name: "BPF_COMMON_ATTRS", value: 65536},
		}},
		{"bpf_map_type", []enumerator{
			{name: "BPF_MAP_TYPE_UNSPEC"}, {name: "BPF_MAP_TYPE_HASH", value: 1},
			{name: "BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED", value: 2},
			{name: "BPF_MAP_TYPE_CGROUP_STORAGE", value: 2, alias: true}, {name: "BPF_MAP_TYPE_LAST", value: 3},
		}},
	} {
		got, err := parseEnum(text, tt.tag)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("parseEnum(%s) = %v, %v\nwant %v", tt.tag, got, err, tt.want)
		}
	}
}

func TestParseEnumErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"\nenum bpf_cmds {\n};", "no enum bpf_cmd"},
		{"\nenum bpf_cmd {\n\tA B,\n};", "read "},
		{"\nenum bpf_cmd {\n\tA = NOBODY,\n};", "A: "},
		{"\nenum bpf_cmd {\n\tA = 1 << 99,\n};", "A: "},
	} {
		if got, err := parseEnum(tt.text, "bpf_cmd"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("parseEnum(%q) = %v, %v, want an error with %q", tt.text, got, err, tt.want)
		}
	}
}

// newNames lists what new.h has and old.h does not, except BPF_TOKEN_CREATE.
const newNames = `BPF_LATER 6.10
BPF_NEXT 6.10
BPF_COMMON_ATTRS 6.12
BPF_MAP_TYPE_CGROUP_STORAGE 6.2
BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED 6.2
BPF_MAP_TYPE_LAST 6.12
`

func TestRun(t *testing.T) {
	since := write(t, "since.txt", newNames+"# between two headers\nBPF_TOKEN_CREATE 6.9 # a comment\n")
	out := filepath.Join(t.TempDir(), "z.go")
	if err := run([]string{"-since", since, "-o", out, "-layout", out + ".layout", "6.1=testdata/old.h",
		"6.12=testdata/new.h"}); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(read(t, out)), " ")
	for _, want := range []string{
		`{0, "map_create", Release{6, 1}, false}`, `{1, "prog_run", Release{6, 1}, true}`,
		`{2, "token_create", Release{6, 9}, false}`, `{65536, "common_attrs", Release{6, 12}, false}`,
		`{2, "cgroup_storage", Release{6, 2}, true}`, `BPF_MAP_TYPE_LAST MapType = 3`, `DO NOT EDIT`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the generated file lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "__MAX") {
		t.Error("the generated file holds a __MAX enumerator")
	}
}

func TestSinceAgainstHeaders(t *testing.T) {
	for _, tt := range []struct{ name, since, want string }{
		{"no entry, and not in the oldest header", "", "BPF_TOKEN_CREATE: in the header of 6.12 and not of 6.1"},
		{"older than a header that lacks it", "BPF_TOKEN_CREATE 6.1", "BPF_TOKEN_CREATE is in the header of 6.12"},
		{"newer than a header that has it", "BPF_TOKEN_CREATE 6.13", "BPF_TOKEN_CREATE is in the header of 6.12"},
		{"newer than the oldest header", "BPF_MAP_CREATE 6.2", "BPF_MAP_CREATE is in the header of 6.1"},
		{"three words", "# above\nBPF_MAP_CREATE 6 1", "since.txt:2: want NAME RELEASE"},
	} {
		out := filepath.Join(t.TempDir(), "z.go")
		err := run([]string{"-since", write(t, "since.txt", tt.since+"\n"), "-o", out, "-layout", out + ".layout",
			"6.1=testdata/old.h", "6.12=testdata/new.h"})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a file was written all the same", tt.name)
		}
	}
}

// Every entry of the real since.txt names an enumerator, and the generated
// table has taken it over.
func TestSinceIsInTheTable(t *testing.T) {
	known, err := readSince("../since.txt")
	if err != nil {
		t.Fatal(err)
	}
	table := read(t, "../zenums.go")
	for name, release := range known {
		short := name
		for _, spec := range enums {
			if rest, ok := strings.CutPrefix(name, spec.prefix); ok && len(rest) < len(short) {
				short = rest
			}
		}
		want := `"` + strings.ToLower(short) + `", Release{` + strings.ReplaceAll(release, ".", ", ") + `}`
		if !strings.Contains(table, want) {
			t.Errorf("zenums.go lacks %s of since.txt's %s", want, name)
		}
	}
}
