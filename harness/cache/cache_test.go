package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tokentest/harness/cachedir"
	"tokentest/harness/lockfile"
)

// now is the time of all tests.
var now = time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)

// fill makes a cache whose entries were used days ago.
func fill(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path, days := range map[string]int{
		"kernels/aa/vmlinuz": 40, "kernels/bb/vmlinuz": 2, "kernels/.fill-cc/x": 50, "oci/dd/vmlinuz": 10,
		"oci/names/x.json": 1,
		"host/ee/vmlinuz":  3, "builds/ff/vmlinuz": 20, "trees/linux_1/src/x": 30, "direct/aa/vmlinux": 5, "direct/lock": 5,
		"images/agent-1/initrd.cpio": 4, "images/old.cpio": 60, "images/lock": 1, "snapshots/s1.state": 6,
		"snapshots/s1.json": 6,
		"btf/aa.json":       7, "apt/lists/x": 8, "times.json": 9, "locks/apt": 1, "trees/linux_1/out-1.lock": 1,
	} {
		name := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.Repeat("x", 4096*days)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, m := range map[string]string{
		"kernels/aa": `{"Release":"6.1","Package":{"Name":"linux-image","Version":"6.1-1"}}`,
		"oci/dd":     `{"Release":"6.2","Origin":{"Repo":"r/k","Digest":"sha256:dd"}}`,
		"host/ee":    `{"Release":"6.3","Origin":{"Host":"/boot/vmlinuz"}}`,
		"builds/ff":  `{"Release":"6.4","Name":"linux abc"}`, "direct/aa": `{}`} {
		if err := os.WriteFile(filepath.Join(dir, name, cachedir.ManifestFile), []byte(m), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, days := range map[string]int{"kernels/aa": 40, "kernels/bb": 2, "kernels/.fill-cc": 50, "oci/dd": 10,
		"host/ee":   3,
		"builds/ff": 20, "trees/linux_1": 30, "direct/aa": 5, "images/agent-1": 4, "images/old.cpio": 60,
		"snapshots/s1.state": 6, "btf/aa.json": 7, "apt": 8} {
		at := now.Add(-time.Duration(days) * 24 * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, path), at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// names are the entries as KIND: NAME.
func names(list []Entry) (out []string) {
	for _, e := range list {
		out = append(out, e.Kind+": "+e.Name)
	}
	return out
}

func TestList(t *testing.T) {
	dir := fill(t)
	list, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"kernels: damaged: bb", "kernels: linux-image 6.1-1",
		"kernels: unfinished, of a process that was killed: .fill-cc", "oci: 6.2, r/k@sha256:dd", "host: 6.3, /boot/vmlinuz",
		"builds: 6.4, linux abc", "trees: linux_1", "direct: aa", "images: agent-1", "images: old.cpio", "snapshots: s1",
		"btf: aa.json", "apt: lists and packages"}
	if got := names(list); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, e := range list {
		days := int64(now.Sub(e.Used) / (24 * time.Hour))
		if e.Bytes < days*4096 || e.Bytes > (2*days+5)*4096 || e.InUse {
			t.Errorf("%s: %d bytes, used %d days ago, %v", e.Name, e.Bytes, days, e.InUse)
		}
	}
	if one, err := List(dir, "btf", "oci"); err != nil || len(one) != 2 {
		t.Errorf("two kinds: %v, %v", one, err)
	}
	if none, err := List(filepath.Join(dir, "none")); err != nil || none != nil {
		t.Errorf("no cache: %v, %v", none, err)
	}
	// A file with two names takes its space once.
	if err := os.Link(filepath.Join(dir, "kernels/aa/vmlinuz"), filepath.Join(dir, "builds/ff/vmlinux")); err != nil {
		t.Fatal(err)
	}
	if again, _ := List(dir); Total(again) != Total(list) {
		t.Errorf("with a link: %d, without: %d", Total(again), Total(list))
	}
}

func TestPrune(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		s    Selection
		want []string // are removed, the oldest first
	}{
		{Selection{OlderThan: 30 * day, MaxBytes: -1}, []string{"images: old.cpio",
			"kernels: unfinished, of a process that was killed: .fill-cc", "kernels: linux-image 6.1-1", "trees: linux_1"}},
		{Selection{OlderThan: 40 * day, MaxBytes: -1, Kinds: []string{"kernels", "trees"}},
			[]string{"kernels: unfinished, of a process that was killed: .fill-cc", "kernels: linux-image 6.1-1"}},
		{Selection{MaxBytes: 60 << 10, Kinds: []string{"host", "snapshots", "direct", "btf"}},
			[]string{"btf: aa.json", "snapshots: s1"}},
		{Selection{MaxBytes: 0, Kinds: []string{"oci", "apt"}},
			[]string{"oci: 6.2, r/k@sha256:dd", "apt: lists and packages"}},
		{Selection{MaxBytes: 1 << 30}, nil},
		{Selection{MaxBytes: -1}, nil},
	} {
		for _, c.s.DryRun = range []bool{true, false} {
			dir := fill(t)
			before, _ := List(dir)
			removed, left, err := Prune(dir, now, c.s)
			if got := names(removed); err != nil || left != nil || !slices.Equal(got, c.want) {
				t.Errorf("%+v: %q, left %q, %v", c.s, got, names(left), err)
			}
			after, _ := List(dir)
			if len(before)-len(after) != len(removed) && !c.s.DryRun || c.s.DryRun && len(before) != len(after) {
				t.Errorf("%+v: %d entries, %d are left", c.s, len(before), len(after))
			}
			for _, small := range []string{"times.json", "images/lock", "oci/names/x.json", "locks/apt"} {
				if _, err := os.Stat(filepath.Join(dir, small)); err != nil {
					t.Error(err)
				}
			}
			if parts, _ := filepath.Glob(filepath.Join(dir, "snapshots", "*")); len(parts)%2 != 0 {
				t.Errorf("a part of a saved machine is left: %q", parts)
			}
		}
	}
}

// What a process uses, or works on, stays; the rest goes.
func TestPruneInUse(t *testing.T) {
	locked := func(name string) func(dir string) error {
		return func(dir string) error {
			f, err := lockfile.Lock(t.Context(), filepath.Join(dir, name), func() {})
			t.Cleanup(func() { f.Close() }) // until then it is held, and not collected
			return err
		}
	}
	for what, lock := range map[string]func(dir string) error{
		"kernels: linux-image 6.1-1":       func(dir string) error { return cachedir.Hold(filepath.Join(dir, "kernels/aa")) },
		"trees: linux_1":                   locked("trees/linux_1/out-1.lock"),
		"apt: lists and packages":          locked("locks/apt"),
		"images: agent-1 images: old.cpio": locked("images/lock"),
	} {
		dir := fill(t)
		if err := lock(dir); err != nil {
			t.Fatal(err)
		}
		for _, dry := range []bool{true, false} {
			removed, left, err := Prune(dir, now, Selection{DryRun: dry})
			got := names(left)
			slices.Sort(got)
			if err != nil || strings.Join(got, " ") != what || len(removed) != 13-len(left) {
				t.Errorf("%s, dry run %v: left %q, removed %q, %v", what, dry, got, names(removed), err)
			}
		}
		if rest, err := List(dir); err != nil || len(rest) != len(strings.Split(what, ": "))-1 {
			t.Errorf("%s: %q, %v", what, names(rest), err)
		}
	}
}

func TestFlags(t *testing.T) {
	for in, want := range map[string]time.Duration{"30d": 720 * time.Hour, "2w": 336 * time.Hour, "12h": 12 * time.Hour} {
		var a Age
		if err := a.Set(in); err != nil || time.Duration(a) != want {
			t.Errorf("%s: %v, %v", in, a, err)
		}
	}
	for _, in := range []string{"", "3", "d", "0d", "-1d", "1.5d", "1m", "1dd", "99999999d"} {
		var a Age
		if err := a.Set(in); err == nil {
			t.Errorf("%s is taken: %v", in, a)
		}
	}
	for in, want := range map[string]int64{"0": 0, "5G": 5 << 30, "500M": 500 << 20, "1.5k": 1536, "2GiB": 2 << 30,
		"2gb": 2 << 30, "0G": 0} {
		var n Size
		if err := n.Set(in); err != nil || int64(n) != want {
			t.Errorf("%s: %d, %v", in, n, err)
		}
	}
	for _, in := range []string{"", "5", "G", "-1G", "1X", "NaNG", "InfG", "1e30T"} {
		var n Size
		if err := n.Set(in); err == nil {
			t.Errorf("%s is taken: %d", in, n)
		}
	}
	for in, want := range map[string]string{"kernel": "kernels", "snap": "snapshots", "trees": "trees", "": "",
		"runs2": ""} {
		if got := Near(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// The texts are for people, the JSON for programs.
func TestWrite(t *testing.T) {
	list, err := List(fill(t), "kernels", "btf")
	if err != nil {
		t.Fatal(err)
	}
	list[0].InUse = true
	about := func(kind string) string { return "all " + kind }
	l := Listing{Dir: "/c", Entries: list, Bytes: 3 << 20, Kinds: Sum(list, about)}
	var text, every, data bytes.Buffer
	if err := errors.Join(l.Write(&text, now, false), l.Write(&every, now, true), WriteJSON(&data, &l)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kernels  3 ", "2 days ago", "all btf\n", "3.0 MiB in /c\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	if !strings.Contains(every.String(), "in use ") || !strings.Contains(every.String(), "40 days ago") {
		t.Errorf("got\n%s", &every)
	}
	var back Listing
	if err := json.Unmarshal(data.Bytes(), &back); err != nil || len(back.Entries) != 4 || len(back.Kinds) != 2 ||
		!back.Entries[0].InUse || back.Kinds[0].Entries != 3 {
		t.Errorf("got %+v, %v", back, err)
	}
	p := Pruned{Removed: list[1:2], InUse: list[:1], Bytes: 1, DryRun: true}
	text.Reset()
	if err := p.Write(&text, now); err != nil || fmt.Sprint(strings.Count(text.String(), "\n")) != "3" ||
		!strings.Contains(text.String(), "would remove kernels: linux-image 6.1-1 (") ||
		!strings.Contains(text.String(), ": a process uses it\n") || !strings.HasSuffix(text.String(), "would free 1 B\n") {
		t.Errorf("got %q, %v", &text, err)
	}
}
