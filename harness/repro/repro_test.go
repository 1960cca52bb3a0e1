package repro

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

var update = flag.Bool("update", false, "write the golden files anew")

// release is the kernel whose answers the tests write: one as it boots. AppArmor is the active one of the modules that
// exclude each other, so that the cases of SELinux are not asked.
var release = func() *step.Facts {
	f := cases.FactsAt(uapi.Release{Major: 6, Minor: 12})
	f.LSM = []string{"capability", "landlock", "lockdown", "yama", "apparmor", "bpf"}
	return f
}()

func corpus(t *testing.T) *cases.Corpus {
	t.Helper()
	c, err := cases.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// golden compares a text with a file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; go test ./harness/repro -update writes it, got:\n%s", file, got)
	}
}

// mostRefused is how many cases of the default suite may be ones that cannot be written yet.
const mostRefused = 48

// medianLines is how long the programs of cells, and those of scenarios, are.
var medianLines = map[bool]int{false: 131, true: 314}

// TestSelftests compares tests in the kernel's own form: a matrix whose cells are variants, and a scenario of two
// processes.
func TestSelftests(t *testing.T) {
	list, err := corpus(t).Select([]string{"map_create/*/owner/*/with/hash", "nested_userns"}, true)
	if err != nil {
		t.Fatal(err)
	}
	list = slices.DeleteFunc(list, func(c *cases.Case) bool {
		return !c.Scenario() && !strings.HasSuffix(c.ID, "/with/hash") // a control
	})
	tests, err := Selftests(list, release)
	if err != nil || len(tests) != 2 {
		t.Fatalf("%d files, %v", len(tests), err)
	}
	for i := range tests {
		golden(t, tests[i].Name+".kselftest.c", []byte(tests[i].Text))
	}
	golden(t, "Makefile", []byte(fragment(tests)))
	golden(t, "config", []byte(config(tests)))
}

// constant is the definition of an object of a program.
var constant = regexp.MustCompile(`(?m)^static (?:const )?[a-z_ 0-9]+?\*?(\w+)(?:\[[^]]*\])* = `)

// TestRefused counts the cases of the default suite that cannot be written. The number must only go down.
func TestRefused(t *testing.T) {
	list, err := corpus(t).Select(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	var refused bytes.Buffer
	lines := map[bool][]int{} // of the programs of scenarios, and of cells
	count, asked := 0, 0
	for _, c := range list {
		if unmet, _ := c.Unmet(release); unmet != nil || c.UnmetByStep(release) != nil {
			continue
		}
		asked++
		var b bytes.Buffer
		err := Write(&b, c, release)
		var no *RefusedError
		switch {
		case errors.As(err, &no):
			count++
			fmt.Fprintf(&refused, "%s\t%s\t%s\n", no.Case, no.Step, no.Why)
		case err != nil:
			t.Error(err)
		default:
			lines[c.Scenario()] = append(lines[c.Scenario()], bytes.Count(b.Bytes(), []byte("\n")))
			for _, m := range constant.FindAllSubmatch(b.Bytes(), -1) { // a compiler warns of one that is not used
				if used := regexp.MustCompile(`\b` + string(m[1]) + `\b`); len(used.FindAll(b.Bytes(), 2)) < 2 {
					t.Errorf("%s: %s is not used", c.ID, m[1])
				}
			}
		}
	}
	if count > mostRefused {
		t.Errorf("%d of %d cases cannot be written, at most %d may be: the number only goes down", count, asked, mostRefused)
	}
	head := fmt.Appendf(nil, "# %d of %d cases\n", count, asked)
	for scenario, of := range map[bool]string{false: "cell", true: "scenario"} {
		slices.Sort(lines[scenario])
		n := len(lines[scenario])
		t.Logf("lines of a %s: median %d, 95 %% %d, longest %d", of, lines[scenario][n/2], lines[scenario][n*95/100],
			lines[scenario][n-1])
		if median := lines[scenario][n/2]; median > medianLines[scenario] {
			t.Errorf("half of the %ss have %d lines or more, want %d: programs only become shorter", of, median,
				medianLines[scenario])
		}
	}
	golden(t, "refused.txt", append(head, refused.Bytes()...))
}

// TestLayouts compares where members stand with the kernel's header.
func TestLayouts(t *testing.T) {
	for _, l := range layouts {
		for _, m := range l.members {
			off, _ := l.offset(m.name)
			want, ok := fieldsOf[l][m.name]
			if !ok {
				continue
			}
			if got := (uapi.Field{Off: uint16(off), Size: uint16(m.size)}); got != want {
				t.Errorf("%s.%s is at %+v, want %+v", l.name, m.name, got, want)
			}
		}
	}
}

// fieldsOf are the last members of each layout, and so of all before them.
var fieldsOf = map[*layout]map[string]uapi.Field{
	mapCreateAttr: {"map_name": uapi.Attr_map_name, "map_extra": uapi.Attr_map_extra,
		"excl_prog_hash_size": uapi.Attr_excl_prog_hash_size, "map_token_fd": uapi.Attr_map_token_fd},
	progLoadAttr: {"prog_name": uapi.Attr_prog_name, "attach_btf_id": uapi.Attr_attach_btf_id,
		"prog_token_fd": uapi.Attr_prog_token_fd, "keyring_id": uapi.Attr_keyring_id},
	btfLoadAttr:     {"btf_size": uapi.Attr_btf_size, "btf_token_fd": uapi.Attr_btf_token_fd},
	tokenCreateAttr: {"bpffs_fd": uapi.Attr_token_create_bpffs_fd},
	elemAttr:        {"map_fd": uapi.Attr_map_fd, "key": uapi.Attr_key, "value": uapi.Attr_value},
	batchAttr: {"keys": uapi.Attr_batch_keys, "values": uapi.Attr_batch_values, "map_fd": uapi.Attr_batch_map_fd,
		"count": uapi.Attr_batch_count, "out_batch": uapi.Attr_batch_out_batch},
	objAttr: {"bpf_fd": uapi.Attr_bpf_fd, "file_flags": uapi.Attr_file_flags, "path_fd": uapi.Attr_path_fd},
	attachAttr: {"target_fd": uapi.Attr_target_fd, "attach_bpf_fd": uapi.Attr_attach_bpf_fd,
		"attach_type": uapi.Attr_attach_type, "attach_flags": uapi.Attr_attach_flags},
	testAttr: {"prog_fd": uapi.Attr_test_prog_fd, "data_size_in": uapi.Attr_test_data_size_in,
		"data_in": uapi.Attr_test_data_in, "repeat": uapi.Attr_test_repeat},
	idAttr: {"start_id": uapi.Attr_start_id, "next_id": uapi.Attr_next_id, "open_flags": uapi.Attr_open_flags,
		"token_fd": uapi.Attr_fd_by_id_token_fd},
	infoAttr:   {"bpf_fd": uapi.Attr_info_bpf_fd, "info_len": uapi.Attr_info_info_len, "info": uapi.Attr_info_info},
	queryAttr:  {"target_fd": uapi.Attr_query_target_fd, "prog_ids": uapi.Attr_query_prog_ids},
	rawTPAttr:  {"name": uapi.Attr_raw_tracepoint_name, "prog_fd": uapi.Attr_raw_tracepoint_prog_fd},
	taskAttr:   {"pid": uapi.Attr_task_fd_query_pid, "fd": uapi.Attr_task_fd_query_fd},
	linkAttr:   {"target_fd": uapi.Attr_link_create_target_fd, "attach_type": uapi.Attr_link_create_attach_type},
	updateAttr: {"link_fd": uapi.Attr_link_update_link_fd, "new_prog_fd": uapi.Attr_link_update_new_prog_fd},
	linkFDAttr: {"link_fd": uapi.Attr_iter_create_link_fd},
	bindAttr:   {"map_fd": uapi.Attr_prog_bind_map_map_fd},
	streamAttr: {"stream_buf": uapi.Attr_prog_stream_read_stream_buf, "stream_id": uapi.Attr_prog_stream_read_stream_id,
		"prog_fd": uapi.Attr_prog_stream_read_prog_fd},
	assocAttr: {"map_fd": uapi.Attr_prog_assoc_struct_ops_map_fd, "prog_fd": uapi.Attr_prog_assoc_struct_ops_prog_fd},
}

// goldens are the cases whose programs are kept for review: a cell of a matrix, a scenario with two
// namespaces, a known defect.
var goldens = []string{"map_create/any/owner/CAP_BPF/with/hash", "nested_userns", "known_emfile", "raw_refused"}

func TestGolden(t *testing.T) {
	all := corpus(t)
	for _, id := range goldens {
		var b bytes.Buffer
		if err := Write(&b, all.Case(id), release); err != nil {
			t.Error(err)
			continue
		}
		golden(t, FileName(all.Case(id)), b.Bytes())
	}
}

// TestWriters says that each operation that can be written is one of the language.
func TestWriters(t *testing.T) {
	for o := step.Op(1); o < step.Ops; o++ {
		if writers[o] != nil && !o.Known() {
			t.Errorf("operation %d is not known", o)
		}
	}
}
