package repro

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

var update = flag.Bool("update", false, "write the golden files anew")

// release is the kernel whose answers the tests write.
var release = cases.FactsAt(uapi.Release{Major: 6, Minor: 12})

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
const mostRefused = 773

// TestRefused counts the cases of the default suite that cannot be written. The number must only go down.
func TestRefused(t *testing.T) {
	list, err := corpus(t).Select(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	var refused bytes.Buffer
	count, asked := 0, 0
	for _, c := range list {
		if unmet, _ := c.Unmet(release); unmet != nil {
			continue
		}
		asked++
		err := Write(&bytes.Buffer{}, c, release)
		var no *RefusedError
		switch {
		case errors.As(err, &no):
			count++
			fmt.Fprintf(&refused, "%s\t%s\t%s\n", no.Case, no.Step, no.Why)
		case err != nil:
			t.Error(err)
		}
	}
	if count > mostRefused {
		t.Errorf("%d of %d cases cannot be written, at most %d may be: the number only goes down", count, asked, mostRefused)
	}
	golden(t, "refused.txt", append(fmt.Appendf(nil, "# %d of %d cases\n", count, asked), refused.Bytes()...))
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
				t.Errorf("%s.%s is at %+v, want %+v", l.cmd, m.name, got, want)
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
}

// goldens are the cases whose programs are kept for review: a cell of a matrix, a scenario with two
// namespaces, a known defect.
var goldens = []string{"map_create/any/owner/CAP_BPF/with/hash", "nested_userns", "known_emfile"}

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
